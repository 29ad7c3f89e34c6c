"""/proc/PID/fd: the regular files that a living process has open to write."""

import os
import re

from kerneld.model.place import WrittenFile
from kerneld.model.process import ProcessKey
from kerneld.proc.pidfd import is_still

MOST_FDS, MOST_FILES = 512, 32
_INFO_BYTES = 4096
_ACCESS, _READ_ONLY = 3, os.O_RDONLY
_FLAGS = re.compile(rb"^flags:\t([0-7]{1,12})$", re.MULTILINE)
_INODE = re.compile(rb"^ino:\t([0-9]{1,20})$", re.MULTILINE)
_NO_FILES = ("/dev/", "/proc/", "/sys/", "/memfd:", "/SYSV")


def read_written_files(key: ProcessKey, *, proc_root: str = "/proc") -> tuple[WrittenFile, ...]:
    """The last opened first; none where its descriptors may not be seen, or before Linux 5.14."""
    folder = f"{proc_root}/{key.pid}"
    found: list[WrittenFile] = []
    try:
        numbers = sorted(map(int, os.listdir(f"{folder}/fd")), reverse=True)
        for number in numbers[:MOST_FDS]:
            file = _written_file(folder, number)
            found += [file] if file is not None else []
    except OSError:
        return ()
    return tuple(found[:MOST_FILES]) if is_still(proc_root, key) else ()


def _written_file(folder: str, number: int) -> WrittenFile | None:
    try:
        path = os.readlink(f"{folder}/fd/{number}")
        if not path.startswith("/") or path.startswith(_NO_FILES):
            return None
        inode = _written_inode(f"{folder}/fdinfo/{number}")
    except FileNotFoundError:
        return None  # closed since: a program at work opens and closes all the time
    return None if inode is None else WrittenFile(path, inode)


def _written_inode(path: str) -> int | None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        info = os.read(fd, _INFO_BYTES)
    finally:
        os.close(fd)
    flags, inode = _FLAGS.search(info), _INODE.search(info)
    if flags is None or inode is None or int(flags[1], 8) & _ACCESS == _READ_ONLY:
        return None
    return int(inode[1])
