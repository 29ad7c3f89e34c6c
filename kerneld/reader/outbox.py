"""Datagrams to and from the collector: what it does not take at once waits here, in order."""

import array
import socket
from collections import deque

from kerneld.model.said import CellStarted
from kerneld.model.wire import MAX_DATAGRAM_BYTES, JournalParsed, Said, Told

_FULL = 64
_SEND_BUFFER_BYTES = 1 << 20
_ORDER_BYTES = 32 * 1024
"""a path of 4 KiB, each byte of which JSON may escape to six"""
_MOST_FDS = 4


class Outbox:
    """full is a request: facts stop then, answers to orders do not."""

    def __init__(self, collector: socket.socket) -> None:
        self._collector = collector
        self._collector.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._waiting: deque[bytes] = deque()
        self._stuck_since_s: float | None = None

    @property
    def empty(self) -> bool:
        return not self._waiting

    @property
    def full(self) -> bool:
        return len(self._waiting) >= _FULL

    def put(self, said: Said) -> None:
        self._waiting.append(datagram_of(said))

    def flush(self, now_s: float) -> float:
        """Send what goes; for how many seconds nothing went."""
        while self._waiting:
            try:
                self._collector.send(self._waiting[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._stuck_since_s = now_s if self._stuck_since_s is None else self._stuck_since_s
                return now_s - self._stuck_since_s
            except ConnectionError:
                return 0.0  # the next receive tells its end
            self._waiting.popleft()
            self._stuck_since_s = None
        return 0.0


def datagram_of(said: Said) -> bytes:
    """Control characters grow sixfold in JSON: a source or a batch's acts are halved until it fits."""
    while True:
        data = Told(said=said).model_dump_json().encode()
        if len(data) <= MAX_DATAGRAM_BYTES:
            return data
        if isinstance(said, CellStarted) and said.source:
            said = said.model_copy(update={"source": said.source[: len(said.source) // 2]})
        elif isinstance(said, JournalParsed) and len(said.acts) > 1:
            said = said.model_copy(update={"acts": said.acts[(len(said.acts) + 1) // 2 :]})
        else:
            return data


def receive(collector: socket.socket) -> tuple[bytes, list[int]]:
    """One datagram and its descriptors, close-on-exec. Empty: the other end is closed."""
    room = socket.CMSG_SPACE(_MOST_FDS * array.array("i").itemsize)
    data, ancillary, _, _ = collector.recvmsg(
        _ORDER_BYTES, room, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return data, list(fds)
