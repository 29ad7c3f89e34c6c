"""Files, pipes and devices to blocks of their bytes; what is compressed is unpacked."""

import bz2
import errno
import gzip
import lzma
import os
import re
import select
import stat
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from kerneld.errors import UsageError

BLOCK_BYTES = 1 << 20
SILENCE_S = 0.5
POLL_S = 0.25
MARK_BYTES = 512
"""of a followed file, by which it is known again: a line has a time, as a rule"""
MAX_RECORD_BYTES = 16_384
"""of /dev/kmsg: less room is EINVAL"""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_NO_TEXT: tuple[tuple[bytes, str], ...] = (
    (b"LPKSHHRH", "a journal's own file: `journalctl --file {name} -o json | kerneld scan`"),
    (b"\x7fELF", "a program or a core dump, no log"),
    (b"\xff\xfe", "UTF-16 text: `iconv -f UTF-16 -t UTF-8 {name} | kerneld scan`"),
    (b"\xfe\xff", "UTF-16 text: `iconv -f UTF-16 -t UTF-8 {name} | kerneld scan`"),
)
HOLE = bytes(16)
"""where a file was cut under its writer, or the power failed, NULs stand instead of lines"""
_HOLES = re.compile(rb"\0{16,}")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b\0\x07")) + b"\x7f"
Progress = Callable[[int, int], None]


def blocks(
    name: str, *, follow: bool = False, progress: Progress | None = None
) -> Iterator[bytes | None]:
    """The bytes of one file, in blocks; None: nothing came for a while. `-`: standard input.

    progress(bytes read, size) is told of plain files. Raises UsageError for what is no log.
    """
    if name == "-":
        try:
            yield from _checked(_stream(0), "standard input")
        except OSError as problem:
            raise _unreadable("standard input", problem) from None
        return
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as problem:
        raise _unreadable(name, problem) from None
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{name} is a directory: name the log files in it")
        if stat.S_ISCHR(mode):
            yield from _device(fd, name, follow=follow)
        elif stat.S_ISREG(mode):
            yield from _checked(_regular(fd, name, follow=follow, progress=progress), name)
        else:
            os.set_blocking(fd, True)
            yield from _checked(_stream(fd), name)
    except OSError as problem:
        raise _unreadable(name, problem) from None
    finally:
        os.close(fd)


def changed_at(name: str) -> float | None:
    """When a file was last written, in seconds since 1970; None for a stream."""
    if name == "-":
        return None
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_mtime if stat.S_ISREG(status.st_mode) else None


def _unreadable(name: str, problem: OSError) -> UsageError:
    hints = {
        errno.ENOENT: "is the path right?",
        errno.EACCES: "read it as root: `sudo kerneld scan …`",
        errno.EPERM: "read it as root: `sudo kerneld scan …`",
    }
    return UsageError(
        f"{name} can't be read: {problem.strerror}; {hints.get(problem.errno or 0, 'try a copy')}"
    )


def _checked(found: Iterator[bytes | None], name: str) -> Iterator[bytes | None]:
    """The same blocks, but an error where the first is no text."""
    seen = False
    for block in found:
        if block and HOLE in block:
            block = _HOLES.sub(b"", block)
        if block and not seen:
            seen = True
            _refuse_binary(block[:8192], name)
        if block != b"":
            yield block


def _refuse_binary(head: bytes, name: str) -> None:
    for magic, what in _NO_TEXT:
        if head.startswith(magic):
            raise UsageError(f"{name} is {what.format(name=name)}")
    odd = len(head) - len(head.translate(None, _CONTROLS))
    if odd * 20 > len(head) or head.count(0) * 3 > len(head):
        raise UsageError(
            f"{name} is no text: kerneld scan reads logs, plain or as .gz, .bz2, .xz or .zst"
        )


def _regular(fd: int, name: str, *, follow: bool, progress: Progress | None) -> Iterator[bytes | None]:
    head = os.pread(fd, 8, 0)
    packed = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if packed is not None:
        if follow:
            raise UsageError(f"{name} is compressed: it can't be followed, leave --follow out")
        yield from _unpacked(fd, name, packed)
        return
    size, done = os.fstat(fd).st_size, 0
    while block := os.read(fd, BLOCK_BYTES):
        done += len(block)
        if progress is not None:
            progress(done, size)
        yield block
    if follow:
        yield from _followed(fd, name, done)


def _unpacked(fd: int, name: str, packed: str) -> Iterator[bytes]:
    if packed == "zstd":
        yield from _zstd(fd, name)
        return
    with os.fdopen(os.dup(fd), "rb") as raw, _opened(raw, packed) as file:
        try:
            while block := file.read1(BLOCK_BYTES):
                yield block
        except (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError) as problem:
            raise UsageError(
                f"{name} is damaged ({packed}): {problem}; unpack what can be saved"
            ) from None


def _opened(raw: IO[bytes], packed: str) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    if packed == "gzip":
        return gzip.open(raw)
    return bz2.open(raw) if packed == "bzip2" else lzma.open(raw)


def _zstd(fd: int, name: str) -> Iterator[bytes]:
    """By the program of that name: the standard library has no zstd before 3.14."""
    try:
        process = subprocess.Popen(
            ["zstd", "-dcq"], stdin=fd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        raise UsageError(
            f"{name} is packed with zstd: install the program `zstd`, or unpack it and scan that"
        ) from None
    assert process.stdout is not None
    try:
        yield from _read_all(process.stdout)
    finally:
        process.stdout.close()
        status = process.wait()
    if status:
        raise UsageError(f"{name} is damaged (zstd, exit status {status}); unpack what can be saved")


def _read_all(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _stream(fd: int) -> Iterator[bytes | None]:
    """A pipe or a terminal; None when nothing came for a while: a live source is told of at once."""
    while True:
        if not select.select([fd], [], [], SILENCE_S)[0]:
            yield None
            select.select([fd], [], [])
        block = os.read(fd, BLOCK_BYTES)
        if not block:
            return
        yield block


def _device(fd: int, name: str, *, follow: bool) -> Iterator[bytes | None]:
    """/dev/kmsg: one record a read."""
    while True:
        try:
            record = os.read(fd, MAX_RECORD_BYTES)
        except BrokenPipeError:
            continue  # the ring was overwritten meanwhile: the next read is the oldest record left
        except BlockingIOError:
            if not follow:
                return
            yield None
            select.select([fd], [], [])
            continue
        if not record:
            return
        yield record


def _followed(fd: int, name: str, done: int) -> Iterator[bytes | None]:
    """What is appended; a file that was cut is read from its start, one that was replaced anew.

    One that was cut and has grown beyond its old size since is known by what stands before its end.
    """
    own = os.dup(fd)
    mark = _mark(own, done)
    try:
        while True:
            yield None
            time.sleep(POLL_S)
            now = os.fstat(own)
            if now.st_size < done or _mark(own, done) != mark:
                os.lseek(own, 0, os.SEEK_SET)
                done = 0
            elif now.st_size == done and (newer := _replacement(name, now)) is not None:
                os.close(own)
                own, done = newer, 0
            while block := os.read(own, BLOCK_BYTES):
                done += len(block)
                yield block
            mark = _mark(own, done)
    finally:
        os.close(own)


def _mark(fd: int, done: int) -> bytes:
    """The last bytes that were read."""
    size = min(done, MARK_BYTES)
    return os.pread(fd, size, done - size)


def _replacement(name: str, known: os.stat_result) -> int | None:
    """The file that stands under this name now, if it is another one (log rotation)."""
    try:
        found = os.stat(name)
        if (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino):
            return None
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
