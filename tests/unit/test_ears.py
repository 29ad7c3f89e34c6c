"""The thread that hears, beside real publishers and strangers: nobody keeps it from the others."""

import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from itertools import count
from pathlib import Path

import pytest
import zmq

from kerneld.parse.zmtp import MAX_FRAME_BYTES, Message
from kerneld.reader.backlog import Backlog
from kerneld.reader.ear import Address, Ear
from kerneld.reader.ears import MAX_UNFINISHED_BYTES, STATES_AT_ONCE, Ears
from kerneld.reader.plain import READ_BYTES, PlainSubscription

DEADLINE_S = 10.0
LOCALHOST = "127.0.0.1"
# Generated: what a publisher says first, for strangers that then say what no libzmq would.
HELLO = (
    b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32)
    + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"
)  # fmt: skip
HUGE = struct.pack(">BQ", 2, MAX_FRAME_BYTES)
HANDLES = count(1)

Publisher = zmq.Socket[bytes]


class Hearing:
    """Ears, and everything that they told."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.ears = Ears(self.backlog, os.eventfd(0, os.EFD_NONBLOCK), on_shaking=id)
        self.ears.start()
        self.messages: list[tuple[int, Message]] = []
        self.states: list[tuple[int, str]] = []
        self.dropped = 0
        self._opened: list[int] = []

    def open(self, address: Address, *topics: bytes) -> int:
        handle = next(HANDLES)
        self.ears.open(Ear(handle, address, topics or (b"kernel.",)))
        self._opened.append(handle)
        return handle

    def look(self) -> None:
        while self.ears.states:
            self.states.append(self.ears.states.popleft())
        while (heard := self.backlog.take(time.monotonic())) is not None:
            self.messages.append((heard.handle, heard.frames))
        self.dropped += self.backlog.take_dropped()

    def wait_for(self, wanted: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + DEADLINE_S
        while not wanted():
            self.look()
            assert time.monotonic() < until, f"no {what}: {self.states} {self.messages[-3:]}"
            time.sleep(0.005)

    def await_state(self, handle: int, reason: str) -> None:
        self.wait_for(lambda: (handle, reason) in self.states, f"{reason!r} of {handle}")

    def await_messages(self, handle: int, count: int) -> None:
        self.wait_for(lambda: len(self.of(handle)) == count, f"message {count} of {handle}")

    def of(self, handle: int) -> list[Message]:
        return [frames for one, frames in self.messages if one == handle]

    def close(self) -> None:
        for handle in self._opened:
            self.ears.close(handle)


@pytest.fixture
def hearing() -> Iterator[Hearing]:
    made = Hearing()
    with closing(made):
        yield made


@pytest.fixture
def context() -> Iterator[zmq.Context[Publisher]]:
    made = zmq.Context()
    yield made
    made.destroy(0)


def publishing(context: zmq.Context[Publisher], url: str = f"tcp://{LOCALHOST}:*") -> Publisher:
    """libzmq gives back a closed socket's port a little later."""
    made = context.socket(zmq.XPUB)
    made.set(zmq.IPV6, 1)
    made.set(zmq.XPUB_VERBOSER, 1)
    made.set(zmq.RCVTIMEO, int(1000 * DEADLINE_S))
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            made.bind(url)
            return made
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > until:
                raise
        time.sleep(0.001)


def port_of(publisher: Publisher) -> int:
    return int(publisher.get_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def tcp(port: int) -> Address:
    return Address(socket.AF_INET, (LOCALHOST, port))


def address_of(publisher: Publisher) -> Address:
    return tcp(port_of(publisher))


# ------------------------------------------------------------------ real publishers


@pytest.mark.parametrize("transport", ["ipv4", "ipv6", "ipc"])
def test_a_publisher_is_heard(
    hearing: Hearing, context: zmq.Context[Publisher], tmp_path: Path, transport: str
) -> None:
    path = str(tmp_path / "k-1")
    urls = {"ipv4": f"tcp://{LOCALHOST}:*", "ipv6": "tcp://[::1]:*", "ipc": f"ipc://{path}"}
    publisher = publishing(context, urls[transport])
    if transport == "ipc":
        address = Address(socket.AF_UNIX, path)
    elif transport == "ipv6":
        address = Address(socket.AF_INET6, ("::1", port_of(publisher)))
    else:
        address = address_of(publisher)
    handle = hearing.open(address)
    hearing.await_state(handle, "")
    assert publisher.recv() == b"\x01kernel."
    publisher.send_multipart([b"unwanted", b"1"])
    publisher.send_multipart([b"kernel.x", b"2"])
    hearing.wait_for(lambda: hearing.of(handle) == [(b"kernel.x", b"2")], "message")


def test_its_own_topics_take_the_wide_ones_place(
    hearing: Hearing, context: zmq.Context[Publisher]
) -> None:
    publisher = publishing(context)
    handle = hearing.open(address_of(publisher), b"kernel.", b"status")
    assert {publisher.recv(), publisher.recv()} == {b"\x01kernel.", b"\x01status"}
    publisher.send_multipart([b"kernel.abc.execute_result", b"1"])
    asked = [publisher.recv() for _ in range(5)]
    own = (b"status", b"execute_input", b"error", b"shutdown")
    assert asked == [*(b"\x01kernel.abc." + word for word in own), b"\x00kernel."]
    publisher.send_multipart([b"kernel.abc.execute_result", b"2"])
    publisher.send_multipart([b"kernel.abc.status", b"3"])
    hearing.wait_for(lambda: hearing.of(handle) == [(b"kernel.abc.status", b"3")], "message")


def test_results_of_a_kernel_that_lets_nobody_choose_are_left_out(
    hearing: Hearing, context: zmq.Context[Publisher]
) -> None:
    publisher = publishing(context)
    handle = hearing.open(address_of(publisher), b"")
    assert publisher.recv() == b"\x01"
    for topic in (b"x.stream.stdout", b"x.display_data", b"x.status"):
        publisher.send_multipart([topic, b""])
    hearing.wait_for(lambda: hearing.of(handle) == [(b"x.status", b"")], "message")


def test_a_publisher_that_pings_keeps_its_subscriber(
    hearing: Hearing, context: zmq.Context[Publisher]
) -> None:
    publisher = context.socket(zmq.XPUB)
    publisher.set(zmq.HEARTBEAT_IVL, 50)
    publisher.set(zmq.HEARTBEAT_TIMEOUT, 100)
    handle = hearing.open(tcp(publisher.bind_to_random_port(f"tcp://{LOCALHOST}")))
    hearing.await_state(handle, "")
    assert publisher.recv() == b"\x01kernel."
    assert not publisher.poll(400), "it did not unsubscribe"
    publisher.send_multipart([b"kernel.x"])
    hearing.wait_for(lambda: hearing.of(handle) == [(b"kernel.x",)], "message")


def test_each_kernel_that_comes_after_the_last_is_heard(
    hearing: Hearing, context: zmq.Context[Publisher]
) -> None:
    """On its port; what one says in its last moment, too."""
    publisher = publishing(context)
    port = port_of(publisher)
    handle = hearing.open(tcp(port))
    for life in range(5):
        assert publisher.recv() == b"\x01kernel."
        publisher.send_multipart([b"kernel.x", b"%d" % life])
        publisher.close(1000)
        hearing.await_messages(handle, life + 1)
        hearing.look()
        assert hearing.states == [(handle, "")] * (life + 1)
        publisher = publishing(context, f"tcp://{LOCALHOST}:{port}")


def test_of_many_messages_none_is_lost(hearing: Hearing, context: zmq.Context[Publisher]) -> None:
    publisher = publishing(context)
    publisher.set(zmq.XPUB_NODROP, 1)
    handle = hearing.open(address_of(publisher))
    publisher.recv()
    sent = 0
    for size in (0, 100, 255, 256, 70_000):
        for _ in range(200):
            publisher.send_multipart([b"kernel.x", b"%d" % sent, b"x" * size, b""])
            sent += 1
            hearing.look()
    hearing.wait_for(lambda: len(hearing.of(handle)) + hearing.dropped >= sent, "last message")
    assert [int(frames[1]) for frames in hearing.of(handle)] == list(range(sent))
    assert {len(frames[2]) for frames in hearing.of(handle)} == {0, 100, 255, 256, 70_000}


def test_what_came_before_a_frame_that_is_too_large_is_heard_and_the_next_too(
    hearing: Hearing, context: zmq.Context[Publisher]
) -> None:
    publisher = publishing(context)
    handle = hearing.open(address_of(publisher))
    assert publisher.recv() == b"\x01kernel."
    for number in range(3):
        publisher.send_multipart([b"kernel.x", b"%d" % number])
    publisher.send_multipart([b"kernel.x", bytes(MAX_FRAME_BYTES + 1)])
    while publisher.recv() != b"\x01kernel.":
        pass
    publisher.send_multipart([b"kernel.x", b"3"])
    hearing.await_messages(handle, 4)
    assert [int(frames[1]) for frames in hearing.of(handle)] == [0, 1, 2, 3]
    assert hearing.dropped == 1


def test_who_asks_for_a_password_is_told_of_once_and_heard_when_another_comes(
    hearing: Hearing, context: zmq.Context[Publisher]
) -> None:
    guarded = context.socket(zmq.XPUB)
    guarded.set(zmq.PLAIN_SERVER, 1)
    port = guarded.bind_to_random_port(f"tcp://{LOCALHOST}")
    handle = hearing.open(tcp(port))
    hearing.wait_for(lambda: any("password" in reason for _, reason in hearing.states), "refusal")
    time.sleep(0.1)
    hearing.look()
    assert len(hearing.states) == 1
    guarded.unbind(f"tcp://{LOCALHOST}:{port}")
    open_one = publishing(context, f"tcp://{LOCALHOST}:{port}")
    assert open_one.recv() == b"\x01kernel."
    hearing.await_state(handle, "")


def test_a_connection_at_rest_takes_less_than_a_kib() -> None:
    buffer = memoryview(bytearray(READ_BYTES))
    with socket.create_server(("127.0.0.1", 0)) as server:
        ear = Ear(1, tcp(server.getsockname()[1]), (b"kernel.",))
        tracemalloc.start()
        try:
            made = [PlainSubscription(ear, buffer) for _ in range(50)]
            each_bytes = tracemalloc.get_traced_memory()[0] / len(made)
        finally:
            tracemalloc.stop()
        for one in made:
            one.close()
    assert each_bytes < 1024


ALONE = """
import fcntl, os, socket, struct, time
from pathlib import Path
import zmq
from kerneld.reader.backlog import Backlog
from kerneld.reader.ear import Address, Ear
from kerneld.reader.ears import Ears

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")
ears = Ears(Backlog(), os.eventfd(0), on_shaking=id)
ears.start()
ears.open(Ear(1, Address(socket.AF_INET6, ("::1", 40000)), (b"kernel.",)))
time.sleep(0.2)
publisher = zmq.Context().socket(zmq.XPUB)
publisher.setsockopt(zmq.IPV6, 1)
publisher.bind("tcp://[::1]:40000")
assert publisher.poll(5000)
os._exit(0)
"""


@pytest.mark.needs_root
def test_the_port_of_a_kernel_that_is_gone_stays_free_for_the_next() -> None:
    """IPv6 has one loopback address: a socket connects to itself where Linux chooses that very port."""
    subprocess.run(["unshare", "-n", sys.executable, "-c", ALONE], check=True, timeout=20)


@pytest.mark.parametrize("key", [None, zmq.curve_keypair()[0]], ids=["plain", "curve"])
def test_the_port_it_connects_from_is_free_for_kernels(hearing: Hearing, key: bytes | None) -> None:
    """A kernel that is restarted binds its ports anew, a second later."""
    with socket.create_server((LOCALHOST, 0)) as kernel, socket.socket() as another:
        hearing.ears.open(Ear(1, tcp(kernel.getsockname()[1]), (b"",), key))
        peer, (_, port) = kernel.accept()
        with peer:
            another.bind((LOCALHOST, port))


# ------------------------------------------------------------------ strangers


Say = Callable[[socket.socket], None]


def drip(peer: socket.socket) -> None:
    for byte in HELLO + b"\x00\xff" + b"x" * 255:
        peer.send(bytes((byte,)))
        time.sleep(0.001)


def then_close(said: bytes) -> Say:
    return lambda peer: peer.sendall(said)


def then_wait(said: bytes) -> Say:
    def say(peer: socket.socket) -> None:
        peer.sendall(said)
        time.sleep(60)

    return say


def flood(piece: bytes) -> Say:
    def say(peer: socket.socket) -> None:
        peer.sendall(HELLO)
        while True:
            peer.sendall(piece)

    return say


STRANGERS: dict[str, Say] = {
    "silent": then_wait(b""),
    "closes at once": then_close(b""),
    "a greeting and no more": then_wait(HELLO[:64]),
    "half a frame and no more": then_wait(HELLO + HUGE + b"x"),
    "closes in mid-frame": then_close(HELLO + HUGE + b"x"),
    "a byte at a time": drip,
    "garbage": then_close(os.urandom(10_000)),
    "garbage after its hello": then_close(HELLO + b"\xf8" * 10_000),
    "an endless multipart": flood(b"\x01\x00" * 10_000),
    "endless messages of nothing": flood(b"\x00\x00" * 10_000),
    "pings and reads nothing": flood(b"\x04\x17\x04PING\x00\x00" + b"c" * 16),
    "frames too large": flood(struct.pack(">BQ", 2, MAX_FRAME_BYTES + 1)),
}


def receiving(say: Say) -> socket.socket:
    """A server that says this to each who connects."""
    server = socket.create_server((LOCALHOST, 0))

    def serve(peer: socket.socket) -> None:
        with peer:
            try:
                say(peer)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_keeps_nobody_from_being_heard(
    hearing: Hearing, context: zmq.Context[Publisher], stranger: str
) -> None:
    publisher = publishing(context)
    with receiving(STRANGERS[stranger]) as server:
        bad = hearing.open(tcp(server.getsockname()[1]))
        time.sleep(0.05)
        good = hearing.open(address_of(publisher))
        publisher.recv()
        slowest_s = 0.0
        for number in range(10):
            began = time.monotonic()
            publisher.send_multipart([b"kernel.x", b"%d" % number])
            hearing.await_messages(good, number + 1)
            slowest_s = max(slowest_s, time.monotonic() - began)
            held = {handle: line.held_bytes for handle, line in hearing.ears._lines.items()}
            assert held[bad] <= MAX_FRAME_BYTES + READ_BYTES
        assert slowest_s < 1
        server.shutdown(socket.SHUT_RDWR)


def shake_hands_and_leave(peer: socket.socket) -> None:
    peer.sendall(HELLO)
    said = b""
    while b"kernel." not in said:
        said += peer.recv(256)


def test_who_shakes_hands_again_and_again_is_told_of_once_a_second(hearing: Hearing) -> None:
    """Some times at once: kernels may be restarted quickly."""
    with receiving(shake_hands_and_leave) as server:
        handle = hearing.open(tcp(server.getsockname()[1]))
        hearing.wait_for(lambda: len(hearing.states) >= STATES_AT_ONCE, "states")
        until = time.monotonic() + 1.2
        hearing.wait_for(lambda: time.monotonic() > until, "end")
        server.shutdown(socket.SHUT_RDWR)
    more = len(hearing.states) - STATES_AT_ONCE
    assert 1 <= more <= 2
    assert set(hearing.states) == {(handle, "")}


def test_what_all_leave_unfinished_is_bounded(hearing: Hearing) -> None:
    """The one that holds most loses its connection."""
    most = 0
    with receiving(then_wait(HELLO + HUGE + bytes(MAX_FRAME_BYTES - 1))) as server:
        for _ in range(MAX_UNFINISHED_BYTES // MAX_FRAME_BYTES + 2):
            hearing.open(tcp(server.getsockname()[1]))

        def dropped() -> bool:
            nonlocal most
            most = max(most, hearing.ears._held_bytes)
            return hearing.dropped > 3

        hearing.wait_for(dropped, "loss")
        server.shutdown(socket.SHUT_RDWR)
    assert most <= MAX_UNFINISHED_BYTES + READ_BYTES


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "curve"])
def test_without_descriptors_it_waits_for_better_times(
    hearing: Hearing, context: zmq.Context[Publisher], encrypted: bool
) -> None:
    public_key, secret_key = zmq.curve_keypair()
    publisher = context.socket(zmq.XPUB)
    if encrypted:
        publisher.set(zmq.CURVE_SERVER, 1)
        publisher.set(zmq.CURVE_SECRETKEY, secret_key)
    address = tcp(publisher.bind_to_random_port(f"tcp://{LOCALHOST}"))
    ear = Ear(next(HANDLES), address, (b"kernel.",), public_key if encrypted else None)
    import_module("kerneld.reader.curve")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        hearing.ears.open(ear)
        hearing.wait_for(lambda: bool(hearing.ears._broken), "failure")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    hearing.await_state(ear.handle, "")


def test_all_are_let_go_of_at_once(hearing: Hearing, context: zmq.Context[Publisher]) -> None:
    publishers = [publishing(context) for _ in range(5)]
    for publisher in publishers:
        hearing.open(address_of(publisher))
        assert publisher.recv() == b"\x01kernel."
    hearing.ears.close_all()
    for publisher in publishers:
        assert publisher.poll(5000)
        assert publisher.recv() == b"\x00kernel."
    assert hearing.ears._open == {}
