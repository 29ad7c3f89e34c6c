"""The free space of the filesystem that a path lies on; the path itself is never touched."""

import os

from kerneld.parse.mounts import mount_of, parse_mountinfo
from kerneld.proc.files import SLOW_FILESYSTEMS


def free_bytes(path: str, *, proc_root: str = "/proc") -> int | None:
    """For users without privilege. None: not to be had, or asking could wait for another machine.

    Asked is the point where it is mounted, which its administrator chose, not a user's path.
    """
    try:
        with open(f"{proc_root}/self/mountinfo", "rb") as mounts:
            mount = mount_of(parse_mountinfo(mounts.read()), path)
        if mount is None or mount.fs_type.startswith(SLOW_FILESYSTEMS):
            return None
        found = os.statvfs(mount.point)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
