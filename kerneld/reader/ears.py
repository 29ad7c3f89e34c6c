"""The thread that only hears: ZeroMQ subscriptions into the backlog, as fast as they come.

What a subscriber does not read stays in the kernel's memory, up to 1,000 messages each, so nothing
here parses, waits or sends; and as long as one kernel's every message comes here, a stop does not last.
"""

import os
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import zmq

from kerneld.parse.iopub import own_topics
from kerneld.reader.backlog import Backlog, Heard
from kerneld.reader.going_on import GoingOn

MAX_FRAME_BYTES = 8 * 1024 * 1024
"""beyond it ZeroMQ drops the connection"""
MAX_FRAMES = 64
MAX_SOCKETS = 8192
RECONNECT_MS = 20
"""ZeroMQ waits up to twice as long; at 100 ms one restarted kernel in eight had a first cell unheard"""
_EVENT = struct.Struct("=hi")
"""http://api.zeromq.org/4-3:zmq-socket-monitor: event, value"""
_STACK_BYTES = 256 * 1024
_MESSAGES_A_TURN = 64
_UNWANTED = (
    b".stream.stdout", b".stream.stderr", b".stream", b".display_data", b".update_display_data",
    b".execute_result", b".clear_output",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ear:
    """One subscription: whose, where, to which topics."""

    handle: int
    endpoint: str
    topics: tuple[bytes, ...]
    server_key: bytes | None = None
    """of a kernel that speaks CURVE: its public one; any client is let in that knows it"""


class Ears:
    """Owns the ZeroMQ sockets. open, close and close_all may be called from the other thread."""

    def __init__(self, backlog: Backlog, on_heard_fd: int) -> None:
        self._backlog = backlog
        self._on_heard_fd = on_heard_fd
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._orders: deque[Ear | int | None] = deque()
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._poller = zmq.Poller()
        self._poller.register(self._wake_fd, zmq.POLLIN)
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._handles: dict[zmq.Socket[bytes], int] = {}
        self._monitors: dict[zmq.Socket[bytes], Ear] = {}
        self._wide: set[zmq.Socket[bytes]] = set()
        self._whole: set[int] = set()
        """handles of kernels that let nobody choose what to hear"""
        self._going_on = GoingOn()
        self._broken: dict[int, tuple[Ear, float]] = {}
        self.connected: deque[int] = deque()
        """handles whose kernel shook hands since this was last emptied; told like a message"""

    def start(self) -> None:
        threading.stack_size(_STACK_BYTES)
        threading.Thread(target=self._run, name="ears", daemon=True).start()

    def open(self, ear: Ear) -> None:
        self._order(ear)

    def close(self, handle: int) -> None:
        self._order(handle)

    def close_all(self) -> None:
        self._order(None)

    def _order(self, order: Ear | int | None) -> None:
        self._orders.append(order)
        os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        while True:
            for readable, _ in self._poller.poll(RECONNECT_MS if self._broken else None):
                if isinstance(readable, int):
                    self._obey()
                elif readable in self._monitors:
                    self._look_at_connection(readable)
                elif readable in self._handles:
                    self._receive(readable)
            self._mend(time.monotonic())

    def _obey(self) -> None:
        os.eventfd_read(self._wake_fd)
        while self._orders:
            match self._orders.popleft():
                case Ear() as ear:
                    self._close(ear.handle)
                    self._open(ear)
                case int(handle):
                    self._close(handle)
                case None:
                    for handle in list(self._sockets):
                        self._close(handle)

    def _open(self, ear: Ear) -> None:
        sub = self._context.socket(zmq.SUB)
        sub.set(zmq.LINGER, 0)
        sub.set(zmq.RCVHWM, 1000)
        sub.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        sub.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        sub.set(zmq.IPV6, 1)
        if ear.server_key is not None:
            public_key, secret_key = zmq.curve_keypair()
            sub.set(zmq.CURVE_PUBLICKEY, public_key)
            sub.set(zmq.CURVE_SECRETKEY, secret_key)
            sub.set(zmq.CURVE_SERVERKEY, ear.server_key)
        for topic in ear.topics:
            sub.set(zmq.SUBSCRIBE, topic)
        monitor = sub.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        sub.connect(ear.endpoint)
        for socket in (sub, monitor):
            self._poller.register(socket, zmq.POLLIN)
        self._sockets[ear.handle] = sub
        self._handles[sub] = ear.handle
        self._monitors[monitor] = ear
        self._wide.add(sub)
        if b"" in ear.topics:
            self._whole.add(ear.handle)
            self._going_on.turn(on=True)

    def _close(self, handle: int) -> None:
        self._broken.pop(handle, None)
        sub = self._sockets.pop(handle, None)
        if sub is None:
            return
        monitor = next(one for one, ear in self._monitors.items() if ear.handle == handle)
        for socket in (sub, monitor):
            self._poller.unregister(socket)
        del self._handles[sub], self._monitors[monitor]
        self._wide.discard(sub)
        sub.disable_monitor()
        sub.close(0)
        if handle in self._whole:
            self._whole.remove(handle)
            self._going_on.turn(on=bool(self._whole))

    def _look_at_connection(self, monitor: "zmq.Socket[bytes]") -> None:
        """libzmq connects again after a peer's end, but never after a frame that was too large."""
        ear = self._monitors[monitor]
        while monitor.poll(0):
            event, _ = _EVENT.unpack(monitor.recv_multipart()[0])
            if event == zmq.EVENT_DISCONNECTED:
                self._broken.setdefault(ear.handle, (ear, time.monotonic()))
            else:
                self.connected.append(ear.handle)
                os.eventfd_write(self._on_heard_fd, 1)

    def _mend(self, now_s: float) -> None:
        for handle, (ear, since_s) in list(self._broken.items()):
            if 1000 * (now_s - since_s) >= RECONNECT_MS:
                self._close(handle)
                self._open(ear)

    def _receive(self, sub: "zmq.Socket[bytes]") -> None:
        """Up to a turn's messages of one kernel, so that a loud one does not keep the others."""
        handle = self._handles[sub]
        kept = False
        for _ in range(_MESSAGES_A_TURN):
            try:
                frames = _receive_message(sub)
            except zmq.Again:
                break
            if not frames:
                self._backlog.count_dropped()
                continue
            if sub in self._wide:
                self._narrow(sub, frames[0])
            if not frames[0].endswith(_UNWANTED):
                self._backlog.put(Heard(handle, frames, datetime.now(UTC)))
                kept = True
        if kept:
            os.eventfd_write(self._on_heard_fd, 1)

    def _narrow(self, sub: "zmq.Socket[bytes]", topic: bytes) -> None:
        """A kernel that comes after this one has another name, and another socket here."""
        found = own_topics(topic)
        if found is None:
            return
        wide, own = found
        for each in own:
            sub.set(zmq.SUBSCRIBE, each)
        sub.set(zmq.UNSUBSCRIBE, wide)
        self._wide.discard(sub)


def _receive_message(sub: "zmq.Socket[bytes]") -> tuple[bytes, ...]:
    """All frames of one message; empty for one of more frames or bytes than any kernel sends."""
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
