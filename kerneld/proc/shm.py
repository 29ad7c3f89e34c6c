"""The /dev/shm that a process sees, held open, and how much of it is free."""

import os

from kerneld.parse.mounts import mount_at

SHM = "/dev/shm"
_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES = 1 << 20


def open_shm(pid: int, *, proc_root: str = "/proc") -> int | None:
    """A descriptor of the tmpfs at this process's /dev/shm; None where it has none, or is not asked.

    Another mount namespace is entered only where its user namespace is ours: only there could no
    user have mounted a filesystem of his own below it, which would answer when he likes (FUSE).
    """
    device = mount_at(_read(f"{proc_root}/{pid}/mountinfo"), SHM, kind="tmpfs")
    if device is None:
        return None
    ours = _open(SHM, device)
    if ours is not None:
        return ours
    try:
        same = os.readlink(f"{proc_root}/{pid}/ns/user") == os.readlink(f"{proc_root}/self/ns/user")
    except OSError:
        return None
    return _open(f"{proc_root}/{pid}/root{SHM}", device) if same else None


def room(fd: int) -> tuple[int, int]:
    """Size and free bytes; 3 µs, and a tmpfs never makes one wait."""
    found = os.fstatvfs(fd)
    return found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize


def _open(path: str, device: tuple[int, int]) -> int | None:
    try:
        fd = os.open(path, _FLAGS)
    except OSError:
        return None
    number = os.fstat(fd).st_dev
    if (os.major(number), os.minor(number)) == device:
        return fd
    os.close(fd)
    return None


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _MOST_BYTES)
    except OSError:
        return b""
    finally:
        os.close(fd)
