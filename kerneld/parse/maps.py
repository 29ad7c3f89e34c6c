"""/proc/PID/maps to the files that a process executes from, and which of them an address is in."""

import re

from kerneld.model.place import MappedFile
from kerneld.parse.kmsg_text import shown

_EXECUTABLE = re.compile(
    rb"^([0-9a-f]{1,16})-([0-9a-f]{1,16}) [r-][w-]x[sp] ([0-9a-f]{1,16}) "
    rb"[0-9a-f]{1,8}:[0-9a-f]{1,8} ([0-9]{1,20}) +(/[^\n]{1,4200})$",
    re.MULTILINE,
)
_DELETED = b" (deleted)"
_CAUGHT = re.compile(rb"^SigCgt:[ \t]+([0-9a-f]{1,32})$", re.MULTILINE)
_SIGSEGV = 1 << 10
_EXEC_BYTES = re.compile(rb"^Vm(?:Exe|Lib):[ \t]+([0-9]{1,16}) kB$", re.MULTILINE)


def executable_kib(status: bytes) -> int | None:
    """VmExe and VmLib of /proc/PID/status: it changes with each library that comes or goes.

    None: a process without memory, a zombie.
    """
    sizes = _EXEC_BYTES.findall(status)
    return sum(map(int, sizes)) if sizes else None


def catches_segfaults(status: bytes) -> bool:
    """Whether a handler is set for SIGSEGV, as faulthandler does (and R, and the JVM)."""
    found = _CAUGHT.search(status)
    return found is not None and bool(int(found[1], 16) & _SIGSEGV)


def executable_lines(lines: bytes) -> bytes:
    """Of whole lines, those of executable files."""
    return b"".join(found[0] + b"\n" for found in _EXECUTABLE.finditer(lines))


def file_at(lines: bytes, address: int, name: str) -> MappedFile | None:
    """The file that the address is in, if the Linux log would show its name so."""
    for found in _EXECUTABLE.finditer(lines):
        start, end, offset = (int(found[group], 16) for group in (1, 2, 3))
        if start <= address < end:
            mapped = _mapped(start, offset, int(found[4]), found[5])
            return mapped if shown(mapped.name) == name else None
    return None


def _mapped(start: int, offset: int, inode: int, path: bytes) -> MappedFile:
    """Linux writes a newline in a name as \\012; a name that holds these four is not found again."""
    return MappedFile(
        start=start,
        offset=offset,
        inode=inode,
        path=path.removesuffix(_DELETED).replace(b"\\012", b"\n").decode("utf-8", "surrogateescape"),
        is_deleted=path.endswith(_DELETED),
    )
