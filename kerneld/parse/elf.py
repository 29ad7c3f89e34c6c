"""An ELF file's symbol tables: the function that stands at an offset in the file.

Source: elf(5), https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct

from kerneld.parse.procfs import text_of

Read = Callable[[int, int], bytes]
"""(offset, size) to bytes, fewer at the file's end"""

MAX_SYMBOLS = 1_000_000
"""of a table: 0.1 s; libtorch_cpu.so has about 100,000"""
MAX_SECTIONS, MAX_SEGMENTS = 4096, 256
MAX_NAME_BYTES = 512
_CHUNK_SYMBOLS = 65_536

_HEADER = Struct("=16sHHIQQQIHHHHHH")
_SEGMENT = Struct("=IIQQQQQQ")
_SECTION = Struct("=IIQQQQIIQQ")
_SYMBOL_BYTES = 24
_MAGIC = b"\x7fELF\x02" + (b"\x01" if sys.byteorder == "little" else b"\x02")
_PT_LOAD = 1
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_FUNCTIONS = (2, 10)
"""STT_FUNC, STT_GNU_IFUNC"""


@dataclass(frozen=True, slots=True)
class NoSymbol:
    """Why no function is named, in words."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Table:
    """kind: of section; the file's bytes of the symbols and of their names."""

    kind: int
    offset: int
    size: int
    names_offset: int


def function_at(read: Read, offset: int) -> str | NoSymbol:
    """The function whose bytes stand at this offset of the file; a table in it may be anything."""
    header = read(0, _HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        return NoSymbol("it is no 64-bit ELF file of this machine")
    fields = _HEADER.unpack(header)
    address = _address_of(read, fields, offset)
    if address is None:
        return NoSymbol("its ELF header loads nothing from there")
    tables = sorted(_tables(read, fields), key=lambda table: table.kind != _SHT_SYMTAB)
    if not tables:
        return NoSymbol("it has no symbols")
    for table in tables:
        name = _find(read, table, address)
        if name:
            return name
    stripped = all(table.kind != _SHT_SYMTAB for table in tables)
    return NoSymbol(f"it has no symbol there{': it is stripped' if stripped else ''}")


def _rows(read: Read, row: Struct, place: tuple[int, int, int], most: int) -> Iterator[tuple[int, ...]]:
    """The entries of a header table; place: its offset, the size of an entry, their number."""
    offset, size, count = place
    if size != row.size:
        return
    data = read(offset, row.size * min(count, most))
    yield from row.iter_unpack(data[: len(data) // row.size * row.size])


def _address_of(read: Read, fields: tuple[int, ...], offset: int) -> int | None:
    place = fields[5], fields[9], fields[10]
    for kind, _, start, address, _, size, _, _ in _rows(read, _SEGMENT, place, MAX_SEGMENTS):
        if kind == _PT_LOAD and start <= offset < start + size:
            return offset - start + address
    return None


def _tables(read: Read, fields: tuple[int, ...]) -> list[_Table]:
    sections = list(_rows(read, _SECTION, (fields[6], fields[11], fields[12]), MAX_SECTIONS))
    return [
        _Table(section[1], section[4], section[5], sections[section[6]][4])
        for section in sections
        if section[1] in (_SHT_SYMTAB, _SHT_DYNSYM) and section[6] < len(sections)
    ]


def _find(read: Read, table: _Table, address: int) -> str:
    """The name of the smallest function around the address, the first one of equals; "" for none."""
    best: tuple[int, int] | None = None
    most = min(table.size // _SYMBOL_BYTES, MAX_SYMBOLS)
    for first in range(0, most, _CHUNK_SYMBOLS):
        count = min(_CHUNK_SYMBOLS, most - first)
        data = read(table.offset + first * _SYMBOL_BYTES, count * _SYMBOL_BYTES)
        data = data[: len(data) // _SYMBOL_BYTES * _SYMBOL_BYTES]
        if not data:
            break
        for size, name in _around(data, address):
            if best is None or size < best[0]:
                best = size, name
    if best is None:
        return ""
    return text_of(read(table.names_offset + best[1], MAX_NAME_BYTES).partition(b"\0")[0])


def _around(data: bytes, address: int) -> Iterator[tuple[int, int]]:
    """(size, offset of the name) of each function in these symbols that the address is in.

    A symbol is three words: name, type and section; value; size. 60 ns each, most of them skipped.
    """
    words = memoryview(data).cast("Q")
    values, sizes = words[1::3].tolist(), words[2::3].tolist()
    pairs = enumerate(zip(values, sizes, strict=True))
    for index in [i for i, (value, size) in pairs if value <= address < value + size]:
        start = index * _SYMBOL_BYTES
        is_defined = data[start + 6] or data[start + 7]
        if data[start + 4] & 15 in _FUNCTIONS and is_defined:
            yield sizes[index], int.from_bytes(data[start : start + 4], sys.byteorder)
