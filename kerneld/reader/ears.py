"""The thread that only hears: subscriptions into the backlog, as fast as they come.

What a subscriber does not read stays in the kernel's memory, up to 1,000 messages each, so nothing
here parses JSON or waits; and as long as one kernel's every message comes here, a stop does not last.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.parse.iopub import own_topics
from kerneld.parse.zmtp import Broken, Message, Refused, TooLarge
from kerneld.reader.backlog import Backlog, Heard
from kerneld.reader.ear import Ear, Subscription
from kerneld.reader.going_on import GoingOn
from kerneld.reader.plain import READ_BYTES, PlainSubscription

RECONNECT_S, SLOW_RECONNECT_S = 0.02, 0.1
"""at 100 ms one restarted kernel in eight had a first cell unheard"""
SOON_S = 30.0
"""a kernel that is restarted is there by then. 300 that are not take 13 % of a core, and 4 % later"""
STATES_AT_ONCE, STATE_S = 20, 1.0
"""told of one kernel: so many, then one after so long. Who shook hands and hung up was told of 29
times a second, and each state wakes the collector; at 5, of 50 restarts in 20 s, 28 went unheard"""
MAX_UNFINISHED_BYTES = 32 * 1024 * 1024
"""of all kernels' messages that are not whole; four largest ones"""
_STACK_BYTES = 256 * 1024
_UNWANTED = (
    b".stream.stdout", b".stream.stderr", b".stream", b".display_data", b".update_display_data",
    b".execute_result", b".clear_output",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class _Line:
    """One ear and its connection, None between two of them."""

    ear: Ear
    subscription: Subscription | None = None
    events: int = 0
    is_wide: bool = True
    """its kernel's own topics are not known yet"""
    held_bytes: int = 0
    told: str | None = None
    """why it is not heard, "" while it is, None before either is known"""
    paid_until_s: float = 0.0
    """each state that is told takes STATE_S"""
    began_s: float = 0.0
    soon_until_s: float = 0.0
    next_s: float = 0.0


class Ears:
    """Owns the connections. open, close and close_all may be called from the other thread."""

    def __init__(
        self, backlog: Backlog, on_heard_fd: int, *, on_shaking: Callable[[int], None]
    ) -> None:
        """on_shaking: whose kernel may end this process now, 0 for nobody's; see Curve."""
        self._backlog = backlog
        self._on_heard_fd = on_heard_fd
        self._on_shaking = on_shaking
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._orders: deque[Ear | int | None] = deque()
        self._epoll = select.epoll()
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._subscribe_encrypted: Callable[[Ear], Subscription] | None = None
        self._lines: dict[int, _Line] = {}
        """by their handles"""
        self._open: dict[int, _Line] = {}
        """by their descriptors"""
        self._unread: set[int] = set()
        """descriptors of connections that have more"""
        self._broken: set[_Line] = set()
        self._held_bytes = 0
        self._going_on = GoingOn()
        self.states: deque[tuple[int, str]] = deque()
        """handles that are heard from now on (""), or why they are not; told like a message"""

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
            pause_s = 0 if self._unread else RECONNECT_S if self._broken else None
            ready = self._unread.union(fd for fd, _ in self._epoll.poll(pause_s))
            self._unread.clear()
            for fd in ready - {self._wake_fd}:
                line = self._open.get(fd)
                if line is not None:
                    self._take_turn(line)
            # last: a descriptor that is closed and opened again here is another connection's
            if self._wake_fd in ready:
                self._obey()
            if self._broken:
                self._mend(time.monotonic())

    def _obey(self) -> None:
        os.eventfd_read(self._wake_fd)
        while self._orders:
            match self._orders.popleft():
                case Ear() as ear:
                    self._forget(ear.handle)
                    self._listen(ear)
                case int(handle):
                    self._forget(handle)
                case None:
                    for handle in list(self._lines):
                        self._forget(handle)

    def _listen(self, ear: Ear) -> None:
        self._lines[ear.handle] = line = _Line(ear)
        self._connect(line, time.monotonic())
        self._keep_going(ear)

    def _forget(self, handle: int) -> None:
        line = self._lines.pop(handle, None)
        if line is not None:
            self._hang_up(line)
            self._broken.discard(line)
            self._keep_going(line.ear)

    def _keep_going(self, changed: Ear) -> None:
        """As long as there is a kernel that lets nobody choose what to hear."""
        if b"" in changed.topics:
            self._going_on.turn(on=any(b"" in line.ear.topics for line in self._lines.values()))

    # ------------------------------------------------------------------ connections

    def _connect(self, line: _Line, now_s: float) -> None:
        line.began_s, line.is_wide = now_s, b"" not in line.ear.topics
        try:
            subscription = self._subscribe(line.ear)
        except OSError:
            return self._end(line)
        line.subscription, line.events = subscription, subscription.events
        self._open[subscription.fileno()] = line
        self._epoll.register(subscription, line.events)
        return None

    def _subscribe(self, ear: Ear) -> Subscription:
        if ear.server_key is None:
            return PlainSubscription(ear, self._buffer)
        if self._subscribe_encrypted is None:
            from kerneld.reader.curve import Curve

            self._subscribe_encrypted = Curve(self._on_shaking).subscribe
        return self._subscribe_encrypted(ear)

    def _hang_up(self, line: _Line) -> None:
        if line.subscription is None:
            return
        fd = line.subscription.fileno()
        self._epoll.unregister(fd)
        del self._open[fd]
        self._unread.discard(fd)
        self._held_bytes -= line.held_bytes
        line.held_bytes = 0
        line.subscription.close()
        line.subscription = None

    def _end(self, line: _Line) -> None:
        """Soon there may be another kernel; what ends again and again is tried less often."""
        self._hang_up(line)
        now_s = time.monotonic()
        if now_s - line.began_s > SOON_S or not line.soon_until_s:
            line.soon_until_s = now_s + SOON_S
        pause_s = RECONNECT_S if now_s < line.soon_until_s else SLOW_RECONNECT_S
        line.next_s = max(now_s + pause_s, line.paid_until_s - (STATES_AT_ONCE - 1) * STATE_S)
        if line.told == "":
            line.told = None
        self._broken.add(line)

    def _mend(self, now_s: float) -> None:
        for line in [line for line in self._broken if line.next_s <= now_s]:
            self._broken.remove(line)
            self._connect(line, now_s)

    # ------------------------------------------------------------------ messages

    def _take_turn(self, line: _Line) -> None:
        """One read of one kernel, so that a loud one does not keep the others."""
        subscription = line.subscription
        assert subscription is not None
        try:
            self._keep(line, subscription, subscription.hear())
        except Refused as refusal:
            self._tell(line, refusal.reason)
            self._end(line)
        except TooLarge:
            self._backlog.count_dropped()
            self._end(line)
        except (OSError, Broken):
            self._end(line)
        else:
            self._look_after(line, subscription)

    def _keep(self, line: _Line, subscription: Subscription, messages: list[Message]) -> None:
        at, kept = datetime.now(UTC), False
        for frames in messages:
            if not frames:
                self._backlog.count_dropped()
                continue
            if line.is_wide:
                self._narrow(line, subscription, frames[0])
            if not frames[0].endswith(_UNWANTED):
                self._backlog.put(Heard(line.ear.handle, frames, at))
                kept = True
        if kept:
            os.eventfd_write(self._on_heard_fd, 1)

    def _narrow(self, line: _Line, subscription: Subscription, topic: bytes) -> None:
        """A kernel that comes after this one has another name, and another connection here."""
        found = own_topics(topic)
        if found is not None and found[0] in line.ear.topics:
            subscription.narrow(*found)
            line.is_wide = False

    def _look_after(self, line: _Line, subscription: Subscription) -> None:
        """What a turn has changed: whether it is heard, waits for what, has how much unfinished."""
        if subscription.is_subscribed:
            self._tell(line, "")
        if subscription.has_more:
            self._unread.add(subscription.fileno())
        if subscription.events != line.events:
            line.events = subscription.events
            self._epoll.modify(subscription, line.events)
        held_bytes = subscription.held_bytes
        self._held_bytes += held_bytes - line.held_bytes
        line.held_bytes = held_bytes
        if self._held_bytes > MAX_UNFINISHED_BYTES:
            self._backlog.count_dropped()
            self._end(max(self._lines.values(), key=lambda one: one.held_bytes))

    def _tell(self, line: _Line, reason: str) -> None:
        if line.told != reason:
            line.told = reason
            line.paid_until_s = max(line.paid_until_s, time.monotonic()) + STATE_S
            self.states.append((line.ear.handle, reason))
            os.eventfd_write(self._on_heard_fd, 1)
