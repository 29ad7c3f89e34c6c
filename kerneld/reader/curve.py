"""A connection to a kernel that encrypts into its messages: libzmq, which knows CURVE.

Loaded for such kernels alone; https://rfc.zeromq.org/spec/25/.
"""

import select
import struct

import zmq

from kerneld.parse.zmtp import MAX_FRAME_BYTES, MAX_FRAMES, Message
from kerneld.reader.ear import Ear

_MESSAGES_A_TURN = 64
_RECONNECT_MS = 20
_MAX_SOCKETS = 8192
_EVENT = struct.Struct("=hi")
"""http://api.zeromq.org/4-3:zmq-socket-monitor: event, value"""


class Curve:
    """libzmq's threads and sockets: one for all that it hears."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)

    def subscribe(self, ear: Ear) -> "CurveSubscription":
        """Of a kernel whose key is known."""
        assert ear.server_key is not None
        sub = self._context.socket(zmq.SUB)
        public_key, secret_key = zmq.curve_keypair()
        sub.set(zmq.CURVE_PUBLICKEY, public_key)
        sub.set(zmq.CURVE_SECRETKEY, secret_key)
        sub.set(zmq.CURVE_SERVERKEY, ear.server_key)
        return CurveSubscription(ear, sub)


class CurveSubscription:
    """libzmq's descriptors tell of changes only: what is there must be taken until nothing is."""

    def __init__(self, ear: Ear, sub: "zmq.Socket[bytes]") -> None:
        self.is_subscribed, self.has_more, self.held_bytes = False, True, 0
        self.events = select.EPOLLIN
        self._has_ended = False
        self._sub = sub
        sub.set(zmq.LINGER, 0)
        sub.set(zmq.RCVHWM, 1000)
        sub.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        sub.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
        sub.set(zmq.IPV6, 1)
        for topic in ear.topics:
            sub.set(zmq.SUBSCRIBE, topic)
        self._monitor = sub.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
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
        self._both.close()
        self._sub.disable_monitor()
        self._monitor.close(0)
        self._sub.close(0)

    def _look_at_connection(self) -> None:
        """libzmq connects again after a peer's end, but never after a frame that was too large."""
        while self._monitor.poll(0):
            event, _ = _EVENT.unpack(self._monitor.recv_multipart()[0])
            self.is_subscribed = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self._has_ended |= event == zmq.EVENT_DISCONNECTED


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
