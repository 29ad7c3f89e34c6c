"""A connection to a kernel that encrypts into its messages: libzmq, which knows CURVE.

Loaded for such kernels alone; https://rfc.zeromq.org/spec/25/.
"""

import select
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from kerneld.parse.zmtp import MAX_FRAME_BYTES, MAX_FRAMES, Message
from kerneld.reader.ear import Ear

_MESSAGES_A_TURN = 64
_NO_RECONNECT = -1
_SHAKE_HANDS_MS = 1000
_ASKS_AGAIN_S = 0.5
"""who does not within this time waits no more"""
_MAX_SOCKETS = 8192
_EVENT = struct.Struct("=hi")
"""http://api.zeromq.org/4-3:zmq-socket-monitor: event, value"""


_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class Curve:
    """libzmq's threads and sockets: one for all that it hears.

    on_shaking: gets the file whose kernel it shakes hands with, 0 for none; one at a time, so that
    another reader knows whom to leave alone: a crafted key in that ends libzmq's process
    (`Assertion failed: rc == 0 (src/curve_client_tools.hpp:106)`, 4.3.5).
    """

    def __init__(self, on_shaking: Callable[[int], None]) -> None:
        with _os_errors():
            self._context = zmq.Context()
            self._context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
        self._on_shaking = on_shaking
        self._shaking: CurveSubscription | None = None
        self._asked_s: dict[int, float] = {}
        """when each that waits for its turn asked last; who waits longest comes first"""

    def subscribe(self, ear: Ear) -> "CurveSubscription":
        """Of a kernel whose key is known. Raises OSError while it is another's turn to shake hands."""
        now_s = time.monotonic()
        self._asked_s[ear.handle] = now_s
        waiting = {one: at_s for one, at_s in self._asked_s.items() if now_s - at_s < _ASKS_AGAIN_S}
        self._asked_s = waiting
        is_busy = self._shaking is not None and self._shaking.shakes_hands
        if is_busy or ear.handle != next(iter(waiting)):
            raise BlockingIOError
        del waiting[ear.handle]
        self._on_shaking(ear.handle)
        try:
            with _os_errors():
                self._shaking = self._connected(ear)
        except OSError:
            self._on_shaking(0)
            raise
        return self._shaking

    def _connected(self, ear: Ear) -> "CurveSubscription":
        assert ear.server_key is not None
        sub = self._context.socket(zmq.SUB)
        try:
            public_key, secret_key = zmq.curve_keypair()
            sub.set(zmq.CURVE_PUBLICKEY, public_key)
            sub.set(zmq.CURVE_SECRETKEY, secret_key)
            sub.set(zmq.CURVE_SERVERKEY, ear.server_key)
            return CurveSubscription(ear, sub, self._on_shaking)
        except (zmq.ZMQError, OSError):
            sub.disable_monitor()
            sub.close(0)
            raise


class CurveSubscription:
    """libzmq's descriptors tell of changes only: what is there must be taken until nothing is."""

    def __init__(self, ear: Ear, sub: "zmq.Socket[bytes]", on_shaking: Callable[[int], None]) -> None:
        self._on_shaking, self.shakes_hands = on_shaking, True
        self.is_subscribed, self.has_more, self.held_bytes = False, True, 0
        self.events = select.EPOLLIN
        self._has_ended = False
        self._sub = sub
        sub.set(zmq.LINGER, 0)
        sub.set(zmq.RCVHWM, 1000)
        sub.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        sub.set(zmq.RECONNECT_IVL, _NO_RECONNECT)
        sub.set(zmq.CONNECT_TIMEOUT, _SHAKE_HANDS_MS)
        sub.set(zmq.HANDSHAKE_IVL, _SHAKE_HANDS_MS)
        sub.set(zmq.IPV6, 1)
        for topic in ear.topics:
            sub.set(zmq.SUBSCRIBE, topic)
        self._monitor = sub.get_monitor_socket(_WATCHED)
        sub.connect(ear.address.url)
        self._both = select.epoll()
        for one in (sub, self._monitor):
            self._both.register(one, select.EPOLLIN)

    def fileno(self) -> int:
        return self._both.fileno()

    def hear(self) -> list[Message]:
        """Also what came before the end: raises ConnectionResetError after that."""
        messages: list[Message] = []
        while len(messages) < _MESSAGES_A_TURN:
            try:
                messages.append(_receive(self._sub))
            except zmq.Again:
                break
        if self._has_ended and not messages:
            raise ConnectionResetError
        self._look_at_connection()
        self.has_more = self._has_ended or len(messages) == _MESSAGES_A_TURN
        return messages

    def narrow(self, wide: bytes, own: tuple[bytes, ...]) -> None:
        for topic in own:
            self._sub.set(zmq.SUBSCRIBE, topic)
        self._sub.set(zmq.UNSUBSCRIBE, wide)
        self.has_more = True

    def close(self) -> None:
        self._leave_off()
        self._both.close()
        self._sub.disable_monitor()
        self._monitor.close(0)
        self._sub.close(0)

    def _look_at_connection(self) -> None:
        while self._monitor.poll(0):
            event, _ = _EVENT.unpack(self._monitor.recv_multipart()[0])
            self.is_subscribed = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self._has_ended |= not self.is_subscribed
            self._leave_off()

    def _leave_off(self) -> None:
        """Hands are shaken, or never will be: another kernel's turn."""
        if self.shakes_hands:
            self.shakes_hands = False
            self._on_shaking(0)


@contextmanager
def _os_errors() -> Iterator[None]:
    """libzmq's own, that Linux gave it: no descriptors are left."""
    try:
        yield
    except zmq.ZMQError as problem:
        raise OSError(problem.errno, problem.strerror) from problem


def _receive(sub: "zmq.Socket[bytes]") -> Message:
    """All frames of one message; none of one of more frames or bytes than any kernel sends."""
    frames: list[bytes] = []
    room_bytes = MAX_FRAME_BYTES
    while True:
        frame = sub.recv(zmq.NOBLOCK)
        room_bytes -= len(frame)
        if room_bytes >= 0 and len(frames) < MAX_FRAMES:
            frames.append(frame)
        else:
            room_bytes = -1
        if not sub.get(zmq.RCVMORE):
            return tuple(frames) if room_bytes >= 0 else ()
