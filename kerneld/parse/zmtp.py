"""The bytes of a ZeroMQ publisher into its messages, and into what its subscriber answers.

https://rfc.zeromq.org/spec/23/ (ZMTP 3.0), with the NULL mechanism. That version, and not 3.1, is
announced: to it every publisher takes subscriptions as messages.
"""

from struct import Struct

MAX_FRAME_BYTES = 8 * 1024 * 1024
"""of a message's frames together, too"""
MAX_COMMAND_BYTES = 4096
"""libzmq's READY has 25 to 300; a million properties in one took 0.6 s, in which nobody was heard"""
MAX_FRAMES = 64
FRAMES_A_TURN = 448
"""64 messages: one of iopub has 6 or 7 frames"""

Message = tuple[bytes, ...]
"""its frames; none: it had more frames or bytes than any kernel sends"""

_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_MECHANISM = b"NULL".ljust(20, b"\0")
_VERSION = b"\x03\x00"
_AFTER_VERSION = _MECHANISM + bytes(1 + 31)
"""not a server of it, filler"""
_VERSION_AT, _MECHANISM_AT, _GREETING_BYTES = 10, 12, 64
_READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
_PUBLISHERS = (b"PUB", b"XPUB")

_MORE, _LONG, _COMMAND = 1, 2, 4
_LONG_SIZE, _VALUE_SIZE = Struct(">Q"), Struct(">I")
_SUBSCRIBE, _CANCEL = b"\x01", b"\x00"
_TTL_BYTES, _MAX_CONTEXT_BYTES = 2, 16

_OTHER_PROTOCOL = "what listens at its iopub port does not speak ZMTP 3, as ZeroMQ does from 4.0 on"
_OTHER_MECHANISM = "what listens at its iopub port asks for keys or a password, and its file has none"
_NO_PUBLISHER = "what listens at its iopub port publishes nothing"
_REFUSES = "what listens at its iopub port refuses a subscriber"


class Refused(Exception):
    """The other end is none that can be subscribed to. reason: for people, never its own words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Broken(Exception):
    """What a publisher says is no ZMTP any more."""


class TooLarge(Broken):
    """A frame is beyond MAX_FRAME_BYTES: nothing of it is kept, so what follows is not known."""


class Subscriber:
    """One end of one connection: hears what came, and leaves in `answer` what is to be sent.

    is_subscribed: the handshake is over, and `answer` got the subscriptions. has_more: whole frames
    wait for the next turn, without new bytes. Raises Refused before that, Broken after it.
    """

    __slots__ = (
        "_frames", "_has_greeted", "_has_version", "_needed_bytes", "_problem", "_rest", "_room_bytes",
        "_topics", "answer", "has_more", "is_subscribed",
    )  # fmt: skip

    def __init__(self, topics: tuple[bytes, ...]) -> None:
        self._topics = topics
        self._has_version = self._has_greeted = self.is_subscribed = self.has_more = False
        self._problem: Broken | None = None
        self._rest = bytearray()
        self._needed_bytes = 0
        """of the rest and what follows it, before they say anything new"""
        self._frames: list[bytes] = []
        self._room_bytes = MAX_FRAME_BYTES
        """that the message may still fill; negative: it is passed over"""
        self.answer = _SIGNATURE
        """an older publisher understands no more than the signature, and is sent no more"""

    @property
    def held_bytes(self) -> int:
        """Of what is not whole yet."""
        return len(self._rest) + (MAX_FRAME_BYTES - self._room_bytes if self._frames else 0)

    def hear(self, data: memoryview) -> list[Message]:
        """The messages that these bytes end, at most a turn's."""
        if not self._rest:
            messages, taken = self._read(data)
            self._rest += data[taken:]
            return messages
        self._rest += data
        if len(self._rest) < self._needed_bytes:
            return []
        with memoryview(self._rest) as whole:
            messages, taken = self._read(whole)
        del self._rest[:taken]
        return messages

    def narrow(self, wide: bytes, own: tuple[bytes, ...]) -> None:
        """Ask for these topics in place of that one, without a gap."""
        for topic in own:
            self.answer += _frame(0, _SUBSCRIBE + topic)
        self.answer += _frame(0, _CANCEL + wide)

    def _read(self, data: memoryview) -> tuple[list[Message], int]:
        """What these bytes say, and how many of them said it; what ends it is told after that."""
        messages: list[Message] = []
        at = 0
        if self._problem is not None:
            raise self._problem
        if not self._has_greeted:
            if not self._greet(data):
                return messages, 0
            self._has_greeted, at = True, _GREETING_BYTES
        try:
            at = self._read_frames(data, at, messages)
        except Broken as problem:
            if not messages:
                raise
            self._problem, self.has_more = problem.with_traceback(None), True
        return messages, at

    def _greet(self, data: memoryview) -> bool:
        """Whether the greeting is whole; what is none is refused at its first wrong byte.

        libzmq hangs up on another mechanism than its own before it has named that: it is asked first.
        https://rfc.zeromq.org/spec/23/#version-negotiation
        """
        size = len(data)
        if (
            (size > 0 and data[0] != _SIGNATURE[0])
            or (size >= _VERSION_AT and not data[_VERSION_AT - 1] & 1)
            or (size > _VERSION_AT and data[_VERSION_AT] < _VERSION[0])
        ):
            raise Refused(_OTHER_PROTOCOL)
        if size > _VERSION_AT and not self._has_version:
            self._has_version = True
            self.answer += _VERSION
        if size < _GREETING_BYTES:
            return False
        if data[_MECHANISM_AT : _MECHANISM_AT + len(_MECHANISM)] != _MECHANISM:
            raise Refused(_OTHER_MECHANISM)
        self.answer += _AFTER_VERSION + _READY
        return True

    def _read_frames(self, data: memoryview, at: int, messages: list[Message]) -> int:
        """Frame after frame, with local names: here a loud kernel's time goes.

        https://rfc.zeromq.org/spec/23/#framing
        """
        frames, room_bytes, end = self._frames, self._room_bytes, len(data)
        self.has_more, self._needed_bytes = False, 0
        for _ in range(FRAMES_A_TURN):
            if end - at < 2:
                break
            flags, body = data[at], at + 2
            if flags <= _MORE:
                stop = body + data[at + 1]
            else:
                body, stop = _span(data, at)
            if flags < _COMMAND and (stop - body > room_bytes or len(frames) == MAX_FRAMES):
                frames.clear()
                room_bytes = -1
            if stop > end:
                self._needed_bytes = stop - at
                break
            at = stop
            if flags >= _COMMAND:
                self._obey(bytes(data[body:stop]))
                continue
            if not self.is_subscribed:
                raise Refused(_OTHER_PROTOCOL)
            if room_bytes >= 0:
                frames.append(bytes(data[body:stop]))
                room_bytes -= stop - body
            if not flags & _MORE:
                messages.append(tuple(frames))
                frames.clear()
                room_bytes = MAX_FRAME_BYTES
        else:
            self.has_more = True
        self._room_bytes = room_bytes
        return at

    def _obey(self, command: bytes) -> None:
        """The handshake's READY and ERROR; PING (https://rfc.zeromq.org/spec/37/) at any time after."""
        size = command[0] if command else 0
        name, content = command[1 : 1 + size], command[1 + size :]
        if not self.is_subscribed:
            self._shake_hands(name, content)
        elif name == b"ERROR":
            raise Broken
        elif name == b"PING":
            context = content[_TTL_BYTES : _TTL_BYTES + _MAX_CONTEXT_BYTES]
            self.answer += _frame(_COMMAND, b"\x04PONG" + context)

    def _shake_hands(self, name: bytes, content: bytes) -> None:
        """https://rfc.zeromq.org/spec/23/#the-null-security-mechanism"""
        if name != b"READY":
            raise Refused(_REFUSES if name == b"ERROR" else _OTHER_PROTOCOL)
        if _properties(content).get(b"socket-type") not in _PUBLISHERS:
            raise Refused(_NO_PUBLISHER)
        for topic in self._topics:
            self.answer += _frame(0, _SUBSCRIBE + topic)
        self.is_subscribed = True


def _span(data: memoryview, at: int) -> tuple[int, int]:
    """Where the body of the frame begins and ends; just behind the data while its size is not known."""
    flags = data[at]
    if flags > _COMMAND | _LONG or flags == _COMMAND | _MORE:
        raise Broken
    if not flags & _LONG:
        return at + 2, at + 2 + data[at + 1]
    body = at + 9
    if body > len(data):
        return body, body
    (size,) = _LONG_SIZE.unpack_from(data, at + 1)
    if flags & _COMMAND and size > MAX_COMMAND_BYTES:
        raise Broken
    if size > MAX_FRAME_BYTES:
        raise TooLarge
    return body, body + size


def _frame(flags: int, body: bytes) -> bytes:
    """Of up to 255 bytes: a topic is a word or two, a context 16 bytes."""
    return bytes((flags, len(body))) + body


def _properties(content: bytes) -> dict[bytes, bytes]:
    """A READY command's, their names in small letters; as many as are whole."""
    found, at = dict[bytes, bytes](), 0
    while at < len(content):
        value = at + 1 + content[at] + _VALUE_SIZE.size
        if value > len(content):
            break
        name = content[at + 1 : value - _VALUE_SIZE.size].lower()
        (size,) = _VALUE_SIZE.unpack_from(content, value - _VALUE_SIZE.size)
        found[name] = content[value : value + size]
        at = value + size
    return found
