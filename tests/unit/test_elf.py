"""Which function stands at an offset of a library, by a real compiler's files; and what may harm."""

import os
import random
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kerneld.parse.elf import MAX_NAME_BYTES, MAX_SYMBOLS, NoSymbol, Read, function_at

SOURCE = """
static __attribute__((noinline)) int hidden(volatile int *place) { return *place; }
int shown(volatile int *place) { return hidden(place) + 1; }
int after(int number) { return number; }
"""
SYMBOL_BYTES = 24


def reader(data: bytes) -> Read:
    def read(offset: int, size: int) -> bytes:
        assert size <= 16 << 20, "no file makes it ask for more"
        return data[offset : offset + size]

    return read


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elf")
    (folder / "two.c").write_text(SOURCE)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", "two.so", "two.c"], cwd=folder, check=True)
    subprocess.run(["strip", "-o", "stripped.so", "two.so"], cwd=folder, check=True)
    return folder / "two.so"


def offsets(path: Path) -> dict[str, int]:
    """Of each function, by nm: below 0x2000 a small library's addresses are its offsets."""
    told = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines()]
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3 and row[1] in "tT"}


def test_the_function_is_named_from_its_first_byte_to_its_last(library: Path) -> None:
    read, at = reader(library.read_bytes()), offsets(library)
    for name in ("hidden", "shown", "after"):
        assert function_at(read, at[name]) == name
    assert function_at(read, at["after"] - 1) in ("shown", NoSymbol("it has no symbol there"))


def test_a_stripped_library_names_what_it_exports_and_nothing_else(library: Path) -> None:
    read, at = reader(library.with_name("stripped.so").read_bytes()), offsets(library)
    assert function_at(read, at["shown"]) == "shown"
    assert function_at(read, at["hidden"]) == NoSymbol("it has no symbol there: it is stripped")


def test_every_function_of_a_large_library_is_found_where_nm_has_it() -> None:
    """glibc's file has its code at the offset of its address."""
    path = Path("/proc/self/exe").resolve()
    told = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines()]
    functions = {int(r[0], 16): r[2].partition("@")[0] for r in rows if len(r) == 3 and r[1] == "T"}
    data = path.read_bytes()
    base = _load_bias(data)
    read = reader(data)
    for address in random.Random(1).sample(sorted(functions), 50):
        assert isinstance(function_at(read, address - base), str)
    address = next(a for a, name in functions.items() if name == "PyObject_Repr")
    assert function_at(read, address - base) == "PyObject_Repr"


def _load_bias(data: bytes) -> int:
    """Address less offset of the program's code."""
    (start,), (count,) = struct.unpack_from("=Q", data, 32), struct.unpack_from("=H", data, 56)
    for index in range(count):
        kind, flags, offset, address = struct.unpack_from("=IIQQ", data, start + 56 * index)
        if kind == 1 and flags & 1:
            return address - offset
    raise AssertionError("no code")


# ---------------------------------------------------------------- hostile


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 99, b"\0" * 4096], ids=repr)
def test_what_is_no_elf_file_is_told(data: bytes) -> None:
    assert isinstance(function_at(reader(data[:9000]), 0), NoSymbol)


def test_a_library_that_was_cut_anywhere_ends_well(library: Path) -> None:
    data, at = library.read_bytes(), offsets(library)["shown"]
    for length in [*range(1024), *range(1024, len(data), 97)]:
        assert isinstance(function_at(reader(data[:length]), at), NoSymbol | str)


def test_random_bytes_in_its_tables_end_well(library: Path) -> None:
    data, at, chance = library.read_bytes(), offsets(library)["shown"], random.Random(7)
    for _ in range(3000):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 30)):
            # the header and the section table at the end are what leads to all else
            place = chance.choice((chance.randrange(64), chance.randrange(len(data) - 1900, len(data))))
            broken[place] = chance.choice((0, 255, chance.randrange(256)))
        assert isinstance(function_at(reader(bytes(broken)), at), NoSymbol | str)


def generated(symbols: Callable[[int, int], bytes], *, size: int, names: bytes = b"\0boom\0") -> Read:
    """An ELF file with one segment and a symbol table of that size, made as it is read."""
    header = struct.pack(
        "=16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 120, 0, 64, 56, 1, 64, 3, 0
    )
    segment = struct.pack("=IIQQQQQQ", 1, 5, 0, 0, 0, 1 << 40, 1 << 40, 4096)
    rows = [
        (0,) * 10,
        (0, 2, 0, 0, 4096, size, 2, 0, 8, 24),
        (0, 3, 0, 0, 1024, len(names), 0, 0, 1, 0),
    ]
    table = b"".join(struct.pack("=IIQQQQIIQQ", *row) for row in rows)
    start = (header + segment + table).ljust(1024, b"\0") + names

    def read(offset: int, count: int) -> bytes:
        assert count <= 16 << 20
        return symbols(offset - 4096, count) if offset >= 4096 else start[offset : offset + count]

    return read


def test_a_table_of_any_size_costs_a_moment() -> None:
    """An exabyte of symbols, each around the address: a million are looked at."""
    row = struct.pack("=IBBHQQ", 1, 2, 0, 1, 0, 1 << 30)
    asked = 0

    def symbols(_: int, count: int) -> bytes:
        nonlocal asked
        asked += count
        return (row * (count // SYMBOL_BYTES + 1))[:count]

    began_s = time.thread_time()
    assert function_at(generated(symbols, size=1 << 60), 4096) == "boom"
    assert asked == MAX_SYMBOLS * SYMBOL_BYTES
    assert time.thread_time() - began_s < 3


def test_a_name_without_an_end_is_cut_and_keeps_no_control_over_the_page() -> None:
    row = struct.pack("=IBBHQQ", 1, 2, 0, 1, 0, 1 << 30)
    read = generated(lambda _, n: row[:n], size=24, names=b"\0" + b"\xff\x1b]0;x\n" * 1000)
    name = function_at(read, 5000)
    assert isinstance(name, str)
    assert name.encode()
    assert len(name) <= 4 * MAX_NAME_BYTES


@pytest.mark.parametrize(
    "row",
    [
        struct.pack("=IBBHQQ", 1, 1, 0, 1, 0, 1 << 30),
        struct.pack("=IBBHQQ", 1, 2, 0, 0, 0, 1 << 30),
        struct.pack("=IBBHQQ", 1, 2, 0, 1, 5001, 1 << 30),
        struct.pack("=IBBHQQ", 1, 2, 0, 1, 0, 5000),
    ],
    ids=["data", "undefined", "begins-after", "ends-before"],
)
def test_what_is_no_function_around_the_address_is_not_named(row: bytes) -> None:
    told = function_at(generated(lambda _, n: row[:n], size=24), 5000)
    assert isinstance(told, NoSymbol)


def test_os_pread_is_what_reads(library: Path) -> None:
    """As the reader process does it."""
    fd = os.open(library, os.O_RDONLY)
    told = function_at(lambda offset, size: os.pread(fd, size, offset), offsets(library)["shown"])
    os.close(fd)
    assert told == "shown"
