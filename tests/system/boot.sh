#!/bin/sh
# This machine's own userland into a second machine: a real systemd over a throw-away overlay of /.
# boot.sh STAGE GIVEN FOLDER… -- SYSTEMD…: STAGE an empty folder to mount on, GIVEN a tree that is copied
# into the machine, FOLDER what lies on a file system of its own and must be there too, SYSTEMD the
# command that becomes its manager. Runs in namespaces of its own; with them its mounts go.
set -eu
stage=$1 given=$2
root=$stage/root
shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 stage "$stage"
mkdir "$stage/upper" "$stage/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" tree "$root"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tracefs tracefs "$root/sys/kernel/tracing"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
for device in null zero full random urandom tty kmsg; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done

cgroups=$root/sys/fs/cgroup
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$cgroups"
else
    mount -t tmpfs -o mode=755 cgroup "$cgroups"
    mkdir "$cgroups/memory" "$cgroups/pids" "$cgroups/devices" "$cgroups/systemd" "$cgroups/unified"
    for controller in memory pids devices; do
        mount -t cgroup -o "$controller" cgroup "$cgroups/$controller"
    done
    mount -t cgroup -o none,name=systemd cgroup "$cgroups/systemd"
    mount -t cgroup2 cgroup2 "$cgroups/unified"
    # or systemd mounts the other hierarchies, in which it would stand at the host's root
    mount -o remount,ro "$cgroups"
fi

# An overlay of / does not show what is mounted below it.
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
    shift
done
shift

# Only what GIVEN wants is started: the host's own services would find their clock, disks and network.
rm -rf "$root/etc/systemd" "$root"/usr/lib/systemd/*/*.wants "$root"/usr/lib/systemd/*-generators
: >"$root/etc/fstab"
# A kerneld that this machine has of its own is not the one in question.
rm -rf "$root/var/lib/kerneld" "$root/etc/kerneld"
cp -a "$given/." "$root/"

mkdir -p "$root/mnt/old"
cd "$root"
pivot_root . mnt/old
umount -l /mnt/old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
