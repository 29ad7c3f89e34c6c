#!/bin/sh
# keep.sh CGROUP… -- COMMAND…: runs COMMAND in new cgroups until its own standard input ends, then kills
# what is left in them and removes them: whatever becomes of the tests, no process of theirs stays.
set -eu
cgroups=
while [ "$1" != -- ]; do
    mkdir "$1"
    cgroups="$cgroups $1"
    shift
done
shift
(
    for cgroup in $cgroups; do echo 0 >"$cgroup/cgroup.procs"; done
    exec "$@"
) </dev/null &
read -r _ || :
# shellcheck disable=SC2086 # a list of folders, none with a blank
while pids=$(find $cgroups -name cgroup.procs -exec cat {} + | sort -u) && [ -n "$pids" ]; do
    kill -KILL $pids 2>/dev/null || :
    sleep 0.02
done
find $cgroups -depth -type d -exec rmdir {} +
