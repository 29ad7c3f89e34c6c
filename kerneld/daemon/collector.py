"""One thread a source, one queue, one owner: started, fed, watched over and stopped here."""

import gc
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from kerneld.daemon.owner import Owner
from kerneld.daemon.systemd import ServiceManager
from kerneld.model.effects import CloseFd, Effect
from kerneld.model.facts import Fact, SourceLost, SourceState, Stop
from kerneld.sources.source import Outlet, Source, beat_s, supervise

log = logging.getLogger(__name__)

QUEUE_SIZE = 4096
BATCH = 512
CALM_S, WITHIN_S = 0.005, 1.0
"""second looks wait until no fact came for so long: 1,000 deaths at once come in many small batches,
and four looks a second took a third of the time to the last one's first verdict"""
HOUSEKEEPING_S = 2.0
SOURCE_LATE_S = 20.0
STOP_WITHIN_S = 1.5
STACK_BYTES = 512 * 1024
SWITCH_INTERVAL_S = 0.0005
"""a busy thread gives way after this long: at Python's own 5 ms a death waits for every parser"""


class Collector:
    """The running daemon."""

    def __init__(self, sources: Sequence[Source], *, manager: ServiceManager) -> None:
        self._facts: queue.Queue[Fact] = queue.Queue(QUEUE_SIZE)
        self._sources = {source.name: source for source in sources}
        self._outlets = {source.name: Outlet(self._facts, source.name) for source in sources}
        self._manager = manager
        self._states: dict[str, SourceState] = {}
        self.losses: Counter[str] = Counter()
        self.lag_s = 0.0

    def act(self, effect: Effect) -> None:
        """Hand an effect to every source; each takes what is its own."""
        if isinstance(effect, CloseFd):
            os.close(effect.fd)
            return
        for source in self._sources.values():
            source.control(effect)

    def start(self) -> None:
        """Start the threads; signals that stop a daemon are awaited in one of them."""
        threading.stack_size(STACK_BYTES)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread("signals", partial(self._await_signal, _wakeup_of_signals()))
        for name, source in self._sources.items():
            outlet = self._outlets[name]
            self._thread(name, partial(supervise, source, outlet))
        gc.freeze()

    def _await_signal(self, wakeup: socket.socket) -> None:
        number = wakeup.recv(1)[0]
        self._facts.put(Stop(signal.Signals(number).name))

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        threading.Thread(target=partial(_named, name, target), name=name, daemon=True).start()

    def health(self) -> list[SourceState]:
        """The last word of each source; one that said nothing yet is not among them."""
        return list(self._states.values())

    def run(self, owner: Owner, housekeeping: Callable[[Owner, "Collector"], None]) -> None:
        """The owner's loop, until a Stop fact comes. housekeeping: called every 2 s."""
        housekeeping_at = reconsidered_at = time.monotonic()
        while True:
            facts = self._batch(self._pause(owner, housekeeping_at))
            for fact in facts:
                self._note(fact)
            owner.feed(fact for fact in facts if not isinstance(fact, Stop))
            now, stops = time.monotonic(), any(isinstance(fact, Stop) for fact in facts)
            if stops or not facts or now - reconsidered_at > WITHIN_S:
                owner.reconsider()
                reconsidered_at = now
            owner.settle(now)
            if stops:
                return
            if now >= housekeeping_at:
                self.lag_s = now - housekeeping_at
                housekeeping_at = now + beat_s(HOUSEKEEPING_S)
                self._look_after(owner)
                housekeeping(owner, self)

    def _batch(self, timeout_s: float) -> list[Fact]:
        facts: list[Fact] = []
        try:
            facts.append(self._facts.get(timeout=max(0.0, timeout_s)))
            while len(facts) < BATCH:
                facts.append(self._facts.get_nowait())
        except queue.Empty:
            pass
        return facts

    def _pause(self, owner: Owner, housekeeping_at: float) -> float:
        due = owner.next_due()
        until = housekeeping_at if due is None else min(housekeeping_at, due)
        pause_s = until - time.monotonic()
        return min(CALM_S, pause_s) if owner.awaits_calm else pause_s

    def _note(self, fact: Fact) -> None:
        if isinstance(fact, SourceState):
            before = self._states.get(fact.source)
            self._states[fact.source] = fact
            # one that can't be read is tried again and again: told once
            if before is None or (before.up, before.reason) != (fact.up, fact.reason):
                level = logging.INFO if fact.up else logging.WARNING
                log.log(level, "%s: %s", fact.source, "up" if fact.up else fact.reason)
        elif isinstance(fact, SourceLost):
            self.losses[fact.source] += fact.count or 1
            log.warning("%s: %s", fact.source, fact.reason)

    def _look_after(self, owner: Owner) -> None:
        for effect in owner.tracker.sweep(datetime.now(UTC)):
            self.act(effect)
        late = self._late()
        if late:
            log.error("no sign of life from %s", ", ".join(late))
            return
        self._manager.say("WATCHDOG=1")

    def _late(self) -> list[str]:
        """Sources whose loop stands still; one that is marked down by its supervisor still ticks."""
        now = time.monotonic()
        return [n for n, outlet in self._outlets.items() if now - outlet.ticked_at > SOURCE_LATE_S]

    def stop(self) -> None:
        """End every thread; what does not end in time is left to the end of the process."""
        self._manager.say("STOPPING=1")
        for outlet in self._outlets.values():
            outlet.stopping.set()
        for source in self._sources.values():
            source.wake()
        deadline = time.monotonic() + STOP_WITHIN_S
        for thread in threading.enumerate():
            if thread.name in self._sources:
                thread.join(max(0.0, deadline - time.monotonic()))


def _named(name: str, target: Callable[[], None]) -> None:
    """Run a thread under its name, so that `top -H` tells which source works."""
    with suppress(OSError), open("/proc/thread-self/comm", "w", encoding="ascii") as comm:
        comm.write(name)
    target()


def _wakeup_of_signals() -> socket.socket:
    """A socket that gets the number of each signal that asks to stop, whatever thread it reaches.

    Blocking them and sigwait would not do: libraries start threads when they are imported.
    """
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    signal.set_wakeup_fd(pythons.detach())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return ours
