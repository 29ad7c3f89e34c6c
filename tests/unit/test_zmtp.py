"""ZMTP as real publishers speak it, and as strangers may: cut anywhere, refused, bounded."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from kerneld.parse.zmtp import (
    FRAMES_A_TURN,
    MAX_FRAME_BYTES,
    MAX_FRAMES,
    Broken,
    Message,
    Refused,
    Subscriber,
    TooLarge,
)

# Generated: greetings and frames that no libzmq sends; what one does send is recorded from it here.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"
SAID: tuple[Message, ...] = (
    (b"kernel.x.status", b"<IDS|MSG>", b"", b"{}", b"x" * 255, b"y" * 256),
    (b"kernel.",),
    (b"kernel.y", b"z" * 300_000, b"\x00\x01\xff"),
    *((b"kernel.z", str(number).encode()) for number in range(FRAMES_A_TURN)),
)


def greeted(topics: tuple[bytes, ...] = (b"kernel.",)) -> Subscriber:
    made = Subscriber(topics)
    made.hear(memoryview(GREETING + READY))
    assert made.is_subscribed
    return made


def frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return struct.pack(">BQ", flags | 2, len(body)) + body


def heard_of(subscriber: Subscriber, *pieces: bytes) -> list[Message]:
    messages = []
    for piece in pieces:
        messages += subscriber.hear(memoryview(piece))
        while subscriber.has_more:
            messages += subscriber.hear(memoryview(b""))
    return messages


@pytest.fixture(scope="module")
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made = zmq.Context()
    yield made
    made.destroy(0)


@pytest.fixture(scope="module")
def recorded(context: zmq.Context[zmq.Socket[bytes]]) -> bytes:
    """All that a real publisher sends, from its greeting on."""
    publisher = context.socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    subscriber, record, heard = Subscriber((b"kernel.",)), b"", list[Message]()
    with socket.create_connection(("127.0.0.1", port), 5) as connection, closing(publisher):
        while len(heard) < len(SAID):
            if subscriber.answer:
                connection.sendall(subscriber.answer)
                subscriber.answer = b""
                if subscriber.is_subscribed:
                    assert publisher.recv() == b"\x01kernel."
                    for message in SAID:
                        publisher.send_multipart(message)
            said = connection.recv(1 << 20)
            record += said
            heard += heard_of(subscriber, said)
    return record


def test_a_real_publishers_bytes_are_its_messages(recorded: bytes) -> None:
    assert heard_of(Subscriber(()), recorded) == list(SAID)
    for size in (1, 7, 65536):
        pieces = [recorded[at : at + size] for at in range(0, len(recorded), size)]
        assert heard_of(Subscriber(()), *pieces) == list(SAID)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_wherever_they_are_cut(recorded: bytes, data: st.DataObject) -> None:
    edges = st.integers(0, 1000) | st.integers(0, len(recorded))
    cuts = [0, *sorted(data.draw(st.lists(edges, max_size=30))), len(recorded)]
    pieces = [recorded[early:late] for early, late in pairwise(cuts)]
    subscriber = Subscriber(())
    assert heard_of(subscriber, *pieces) == list(SAID)
    assert subscriber.held_bytes == 0


@given(st.booleans(), st.lists(st.binary(max_size=100), max_size=5))
def test_no_bytes_raise_anything_else(is_greeted: bool, pieces: list[bytes]) -> None:
    subscriber = greeted() if is_greeted else Subscriber((b"",))
    try:
        heard_of(subscriber, *pieces)
    except (Refused, Broken):
        pass
    assert subscriber.held_bytes <= 500


@given(st.binary(max_size=100))
def test_no_command_raises_anything_else(body: bytes) -> None:
    for made in (greeted(), Subscriber((b"",))):
        try:
            heard_of(made, GREETING * (not made.is_subscribed), frame(body, flags=4))
        except (Refused, Broken):
            pass


@pytest.mark.parametrize(
    ("said", "word", "answered"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "ZMTP 3", 10),
        (b"\x01\x00", "ZMTP 3", 10),
        (GREETING[:9] + b"\x7e", "ZMTP 3", 10),
        (GREETING[:10] + b"\x01", "ZMTP 3", 10),
        (GREETING[:12] + b"PLAIN" + bytes(47), "keys or a password", 12),
        (GREETING + READY.replace(b"PUB", b"REP"), "publishes nothing", 91),
        (GREETING + frame(b"\x05ERROR\x03no!", flags=4), "refuses", 91),
        (GREETING + frame(b"kernel."), "ZMTP 3", 91),
    ],
    ids=["http", "ZMTP 1", "no signature", "ZMTP 2", "PLAIN", "no publisher", "ERROR", "early message"],
)
def test_who_is_no_publisher_is_refused_with_a_reason(said: bytes, word: str, answered: int) -> None:
    """And is not sent what it can't understand."""
    subscriber = Subscriber((b"kernel.",))
    with pytest.raises(Refused) as refusal:
        heard_of(subscriber, said)
    assert word in refusal.value.reason
    assert len(subscriber.answer) == answered


def test_a_frame_beyond_the_bound_ends_it_before_its_first_byte_is_kept() -> None:
    subscriber = greeted()
    with pytest.raises(TooLarge):
        heard_of(subscriber, struct.pack(">BQ", 2, MAX_FRAME_BYTES + 1))
    assert subscriber.held_bytes < 16


def test_a_command_of_a_million_properties_is_not_read() -> None:
    """Nor kept: its handshake ends."""
    subscriber, command = Subscriber((b"",)), b"\x05READY" + bytes(5) * (MAX_FRAME_BYTES // 6)
    with pytest.raises(Broken):
        heard_of(subscriber, GREETING, frame(command, flags=4)[: 1 << 16])
    assert subscriber.held_bytes < 16


@pytest.mark.parametrize(
    "end",
    [struct.pack(">BQ", 2, MAX_FRAME_BYTES + 1), b"\xff" * 9, frame(b"\x05ERROR\x00", flags=4)],
    ids=["too large", "garbage", "ERROR"],
)
def test_what_was_said_before_the_end_is_heard(end: bytes) -> None:
    subscriber = greeted()
    said = frame(b"a", flags=1) + frame(b"b") + frame(b"last") + end
    assert subscriber.hear(memoryview(said)) == [(b"a", b"b"), (b"last",)]
    assert subscriber.has_more
    with pytest.raises(Broken):
        subscriber.hear(memoryview(b""))


def test_a_message_of_too_much_is_passed_over() -> None:
    """Too many frames, too many bytes; what comes after it is heard."""
    subscriber, half = greeted(), frame(b"x" * (MAX_FRAME_BYTES // 2 + 1), flags=1)
    assert heard_of(subscriber, frame(b"", flags=1) * 10_000) == []
    assert subscriber.held_bytes == 0
    assert heard_of(subscriber, frame(b"")) == [()]
    assert heard_of(subscriber, half, half) == []
    assert subscriber.held_bytes == 0
    assert heard_of(subscriber, frame(b""), frame(b"next")) == [(), (b"next",)]
    full = [frame(b"x", flags=1)] * (MAX_FRAMES - 1) + [frame(b"x")]
    assert heard_of(subscriber, *full) == [(b"x",) * MAX_FRAMES]


def test_what_is_unfinished_never_exceeds_a_message() -> None:
    subscriber = greeted()
    body = memoryview(frame(b"x" * (MAX_FRAME_BYTES - 1), flags=1) * 2)
    most, step = 0, 1 << 16
    for at in range(0, len(body), step):
        subscriber.hear(body[at : at + step])
        most = max(most, subscriber.held_bytes)
    assert most <= MAX_FRAME_BYTES + step


def test_a_ping_is_answered_with_its_context() -> None:
    subscriber = greeted()
    subscriber.answer = b""
    heard_of(subscriber, frame(b"\x04PING\x00\x64context", flags=4), frame(b"\x07UNKNOWN", flags=4))
    assert subscriber.answer == frame(b"\x04PONGcontext", flags=4)
    with pytest.raises(Broken):
        heard_of(subscriber, frame(b"\x05ERROR\x00", flags=4))
