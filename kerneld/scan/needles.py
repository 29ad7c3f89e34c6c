"""A block of bytes to the places where a line may tell of a death; nearly every other line is skipped.

Each line that a pattern of kerneld.parse takes has one of the needles (a test holds that). They are
looked for by libc's memmem: 16 of them went through 32 MiB of syslog at 390 MB/s, by bytes.find at
120, and as one alternation of `re` at 37 (tests/bench/bench_scan.py prints today's figures).
"""

import ctypes
import re
import sys
from collections.abc import Callable

NEEDLES = (
    b"rocess ",  # Killed process, Kill process, killing process, to process, Process … dumped core
    b"oom-kill",  # invoked oom-killer, oom-kill:constraint
    b"total_vm ",  # the head of the task table
    b"segfault",
    b" ip:",  # x86 traps
    b"unhandled ",  # arm64, powerpc, riscv
    b"undefined instruction: pc=",
    b"fatal signal",
    b" SIG",  # MIPS, memory failures, earlyoom, nohang
    b"memory corruption",
    b"unmap corrupted",
    b"Xid (",
    b"1326 ",  # audit's types, by number or by name
    b"1701 ",
    b"SECCOMP",
    b"ANOM_ABEND",
    b"lowmemorykiller",
    b"Killed /",  # systemd-oomd
    b"bad frame in ",
    b"illegal instruction (",  # powerpc
    b"bus error (",
    b"floating point exception (",
    b"unknown signal (",
    b"nohang",  # describes its victim many lines before it kills
)

TELLING = re.compile(
    rb"(?:illed|ill|illing) process |to process [0-9]|rocess [0-9]+ \(|User process fault"
    rb"|oom-kill(?:er)?:|total_vm +rss|segfault (?:at |\()| ip:[0-9a-fA-F(]|\]: unhandled "
    rb"|: unhandled page fault|undefined instruction: pc="
    rb"|fatal signal [0-9]|[Ss]end(?:ing)? (?:the )?SIG"
    rb"|memory corruption"
    rb"|unmap corrupted|Xid \(|lowmemorykiller|Killed /"
    rb"|(?:1326|1701|SECCOMP|ANOM_ABEND) (?:auid=|(?:msg=)?audit\()"
    rb"|bad frame in |nohang"
    rb"|(?:illegal instruction|bus error|floating point exception|unknown signal) \("
)
"""what a line with a needle must hold to be parsed: some needles stand in other lines, too"""

NOWHERE = sys.maxsize
Find = Callable[[bytes, int, int], int]


def finder(needle: bytes) -> Find:
    """find(block, start, address): the place of the needle at or behind start, or -1.

    address: where the block lies in memory, from address_of; 0 where memmem is not to be had.
    """
    memmem, length = _memmem(), len(needle)
    if memmem is None:
        return lambda block, start, address: block.find(needle, start)

    def find(block: bytes, start: int, address: int) -> int:
        place = memmem(address + start, len(block) - start, needle, length)
        return -1 if place is None else int(place) - address

    return find


def address_of(block: bytes) -> int:
    """Where the bytes lie; they must be kept while the address is used."""
    return ctypes.cast(ctypes.c_char_p(block), ctypes.c_void_p).value or 0


def _memmem() -> "Callable[[int, int, bytes, int], int | None] | None":
    try:
        function = ctypes.CDLL(None).memmem
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    return lambda address, size, needle, length: function(address, size, needle, length)


class Hits:
    """Places of the needles in one block, in order; each needle is looked for only as far as needed."""

    def __init__(self, finders: tuple[Find, ...]) -> None:
        self._finders = finders
        self._block = b""
        self._address = 0
        self._next: list[int] = []

    def of(self, block: bytes) -> "Hits":
        """Begin with another block."""
        self._block, self._address = block, address_of(block)
        self._next = [self._found(find, 0) for find in self._finders]
        return self

    def after(self, start: int) -> int:
        """The first place at or behind start, or -1."""
        first = min(self._next)
        while first < start:
            index = self._next.index(first)
            self._next[index] = self._found(self._finders[index], start)
            first = min(self._next)
        return -1 if first == NOWHERE else first

    def _found(self, find: Find, start: int) -> int:
        place = find(self._block, start, self._address)
        return NOWHERE if place < 0 else place


def finders() -> tuple[Find, ...]:
    return tuple(finder(needle) for needle in NEEDLES)
