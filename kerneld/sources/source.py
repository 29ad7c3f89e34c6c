"""What a source is: a loop that makes facts, wakes for orders, and is restarted when it fails."""

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect
from kerneld.model.facts import Fact, SourceLost, SourceState

log = logging.getLogger(__name__)

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.5, 60.0
TICK_S = 4.0
"""each source's loop turns so often at least"""


def beat_s(period_s: float = TICK_S) -> float:
    """Seconds until the clock's next whole multiple of a period: threads that rest wake together.

    A wake by itself costs up to 1 ms of cold caches, whatever is done then. At the same instant they
    would wait for each other: each has its own 2 ms.
    """
    own_s = 0.002 * (threading.get_native_id() % 16)
    return period_s - (time.monotonic() - own_s) % period_s


class Outlet:
    """A source's way into the owner's bounded queue, and the owner's way to stop it.

    emit waits for room: what its source still holds (a pidfd, a log ring) waits there.
    offer never waits: what can't wait is dropped and counted, and the count becomes blindness.
    """

    def __init__(self, facts: "queue.Queue[Fact]", name: str) -> None:
        self._facts = facts
        self._name = name
        self._lost = 0
        self.stopping = threading.Event()
        self.ticked_at = time.monotonic()

    def tick(self) -> None:
        """Say that the loop turns; the watchdog is fed only while every source ticks."""
        self.ticked_at = time.monotonic()

    def emit(self, fact: Fact) -> None:
        while not self.stopping.is_set():
            self.tick()
            try:
                self._facts.put(fact, timeout=1.0)
            except queue.Full:
                continue
            return

    def offer(self, fact: Fact) -> None:
        try:
            if self._lost:
                lost = SourceLost(datetime.now(UTC), self._name, self._lost, "the queue was full")
                self._facts.put_nowait(lost)
                self._lost = 0
            self._facts.put_nowait(fact)
        except queue.Full:
            self._lost += 1


class Mailbox:
    """Orders for a source's thread; `fd` is an eventfd that its poll watches. Thread-safe.

    latest: so many are kept of a source that may be down for good, and reads nothing then.
    """

    def __init__(self, *, latest: int | None = None) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._orders: deque[Effect] = deque(maxlen=latest)
        self._is_woken = False

    def put(self, effect: Effect) -> None:
        self._orders.append(effect)
        self.wake()

    def wake(self) -> None:
        """One call of the system for all orders of a burst: each let another thread go first."""
        if not self._is_woken:
            self._is_woken = True
            os.eventfd_write(self.fd, 1)

    def drain(self) -> list[Effect]:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            pass
        self._is_woken = False  # what is put from now on wakes again, or is taken below
        return [self._orders.popleft() for _ in range(len(self._orders))]


class Source(Protocol):
    """One reading of the outside world.

    run blocks until outlet.stopping is set (control or stop wakes its poll); it ticks at least
    every 5 s; it raises SourceUnavailable where the source can't be read here. It may be called
    again after it raised. control and stop come from the owner's thread and never block.
    """

    @property
    def name(self) -> str: ...

    def run(self, outlet: Outlet) -> None: ...

    def control(self, effect: Effect) -> None: ...

    def wake(self) -> None: ...


def supervise(source: Source, outlet: Outlet, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Run a source for ever: a failure is a SourceState fact and a restart with backoff."""
    backoff_s = MIN_BACKOFF_S
    while not outlet.stopping.is_set():
        began = clock()
        try:
            source.run(outlet)
            continue
        except SourceUnavailable as problem:
            reason, remedy = problem.reason, problem.remedy
        except Exception as problem:  # the one broad catch of a source: it must not end the daemon
            log.exception("source %s failed", source.name)
            reason, remedy = f"{type(problem).__name__}: it is started again", ""
        outlet.emit(SourceState(datetime.now(UTC), source.name, False, reason, remedy))
        backoff_s = (
            MIN_BACKOFF_S if clock() - began > MAX_BACKOFF_S else min(backoff_s * 2, MAX_BACKOFF_S)
        )
        _wait(outlet, backoff_s)


def _wait(outlet: Outlet, seconds: float) -> None:
    """Sleep while ticking: a source that is marked down still counts as alive."""
    until = time.monotonic() + seconds
    while not outlet.stopping.wait(min(5.0, max(0.0, until - time.monotonic()))):
        outlet.tick()
        if time.monotonic() >= until:
            return
