"""A connection to a kernel's iopub socket into its messages: ZMTP over a socket that never waits."""

import os
import select
import socket
import struct
from errno import EINPROGRESS

from kerneld.parse.zmtp import Broken, Message, Subscriber
from kerneld.reader.ear import Address, Ear

READ_BYTES = 128 * 1024
"""a turn; a message of 4 MiB took 2.8 ms of CPU by 64 KiB, 2.0 by 128 or 256"""
_MAX_UNSENT_BYTES = 4096
"""beyond it a publisher asks and does not read"""
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_NOTHING = memoryview(b"")


class PlainSubscription:
    """At rest it is two small objects and a descriptor; only what is unfinished takes memory."""

    __slots__ = ("_buffer", "_is_connected", "_socket", "_subscriber")

    def __init__(self, ear: Ear, buffer: memoryview) -> None:
        """buffer: for what is read, READ_BYTES shared by all. Raises OSError where there is no one."""
        self._buffer = buffer
        self._subscriber = Subscriber(ear.topics)
        self._is_connected = False
        self._socket = _connecting(ear.address)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def events(self) -> int:
        sends = not self._is_connected or self._subscriber.answer
        return select.EPOLLIN | (select.EPOLLOUT if sends else 0)

    @property
    def is_subscribed(self) -> bool:
        return self._subscriber.is_subscribed and not self._subscriber.answer

    @property
    def has_more(self) -> bool:
        return self._subscriber.has_more

    @property
    def held_bytes(self) -> int:
        return self._subscriber.held_bytes

    def hear(self) -> list[Message]:
        """What one read brings, or what the last one left."""
        if not self._is_connected:
            self._connect()
        self._answer()
        return self._subscriber.hear(_NOTHING if self._subscriber.has_more else self._read())

    def narrow(self, wide: bytes, own: tuple[bytes, ...]) -> None:
        """Said with the next turn, which begins at once."""
        self._subscriber.narrow(wide, own)

    def close(self) -> None:
        self._socket.close()

    def _connect(self) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        if self._socket.getsockname() == self._socket.getpeername():
            # Linux gave this end the very port that nobody listens at: it must be free for the kernel
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            raise ConnectionRefusedError
        self._is_connected = True

    def _read(self) -> memoryview:
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return _NOTHING
        if size == 0:
            raise ConnectionResetError
        return self._buffer[:size]

    def _answer(self) -> None:
        unsent = self._subscriber.answer
        if not unsent:
            return
        try:
            sent = self._socket.send(unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(unsent)  # its end is read after its last words
        self._subscriber.answer = unsent[sent:]
        if len(self._subscriber.answer) > _MAX_UNSENT_BYTES:
            raise Broken


def _connecting(address: Address) -> socket.socket:
    made = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if address.own_host is not None:
            made.bind((address.own_host, 0))
        error = made.connect_ex(address.where)
        if error not in (0, EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except OSError:
        made.close()
        raise
    return made
