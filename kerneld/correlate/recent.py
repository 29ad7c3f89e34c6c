"""Facts that came before the death they belong to, kept for a while; and which sources are deaf."""

from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

from kerneld.correlate.matching import CLOCK_SLACK, is_of_thread, named_pid
from kerneld.model.case import Case
from kerneld.model.facts import (
    ExitLearned,
    LookedAround,
    ServerEnd,
    SourceLost,
    SourceState,
    ThreadCrashed,
)
from kerneld.model.process import ProcessKey
from kerneld.model.readings import Surroundings
from kerneld.model.records import LogRecord, ManagerAct, SignalSent
from kerneld.model.verdict import Blind

V = TypeVar("V")
KEPT_LOG_RECORDS = 512
KEPT_CRASHES = 64
KEPT_EXITS = 2048
KEPT_LOSSES = 64
KEPT_SERVER_ENDS = 64
KEPT_SIGNALS = 1024
KEPT_LOOKS = 16
LOOK_WINDOW = timedelta(seconds=60)
KEPT_ACTS = 256
"""of those that are vouched for, and of the others: who logs what he likes must not push those out"""
LOSS_WINDOW = timedelta(seconds=60)


class Recent:
    """What was heard lately, bounded. Owned by the correlator."""

    def __init__(self) -> None:
        self._log: deque[tuple[int | None, LogRecord]] = deque(maxlen=KEPT_LOG_RECORDS)
        self.server_ends: dict[ProcessKey, ServerEnd] = {}
        self._signals: deque[SignalSent] = deque()
        self._signals_to: dict[int, list[SignalSent]] = {}
        """the same by pid: 1,000 deaths at once looked at 1,000 signals each"""
        self._acts: deque[ManagerAct] = deque(maxlen=KEPT_ACTS)
        self._words: deque[ManagerAct] = deque(maxlen=KEPT_ACTS)
        self._crashes: deque[ThreadCrashed] = deque(maxlen=KEPT_CRASHES)
        self._exits: dict[ProcessKey, list[ExitLearned]] = {}
        self._looks: deque[LookedAround] = deque(maxlen=KEPT_LOOKS)
        self._down: dict[str, SourceState] = {}
        self._lost: deque[SourceLost] = deque(maxlen=KEPT_LOSSES)

    def logged(self, record: LogRecord) -> LogRecord:
        """Keep a line; a thread's comes back with the process that Linux told of that thread."""
        crash = next((c for c in self._crashes if is_of_thread(record, c)), None)
        if crash is not None:
            record = record.model_copy(update={"tgid": crash.key.pid})
        self._log.append((None if record.event.is_oom else named_pid(record), record))
        return record

    def log_for(self, pid: int) -> list[LogRecord]:
        """The lines that may concern this process's end: those that name it, and every OOM kill."""
        return [record for named, record in self._log if named is None or named == pid]

    def crashed(self, crash: ThreadCrashed) -> list[LogRecord]:
        """Keep a crash; the lines that told of it already come back with its process."""
        self._crashes.append(crash)
        found = [kept for kept in self._log if is_of_thread(kept[1], crash)]
        for kept in found:
            self._log.remove(kept)
        return [self.logged(record) for _, record in found]

    def was_sent(self, fact: SignalSent | ManagerAct) -> None:
        if isinstance(fact, SignalSent):
            self._keep_signal(fact)
        else:
            (self._acts if fact.is_vouched else self._words).append(fact)

    def _keep_signal(self, sent: SignalSent) -> None:
        if len(self._signals) >= KEPT_SIGNALS:
            oldest = self._signals.popleft()
            self._signals_to[oldest.pid].remove(oldest)
            if not self._signals_to[oldest.pid]:
                del self._signals_to[oldest.pid]
        self._signals.append(sent)
        self._signals_to.setdefault(sent.pid, []).append(sent)

    def sent_to(self, pid: int) -> list[SignalSent | ManagerAct]:
        """What may have been meant for this process: a manager's word may name a cgroup or a unit."""
        signals = self._signals_to.get(pid, ())
        acts = (*self._acts, *self._words)
        return [*signals, *(act for act in acts if act.pid in (pid, None))]

    def exit_told(self, learned: ExitLearned) -> None:
        """Some accounts of an exit are told before the pidfd wakes: they wait for their death."""
        _make_room(self._exits, KEPT_EXITS)
        self._exits.setdefault(learned.key, []).append(learned)

    def exits_of(self, key: ProcessKey) -> list[ExitLearned]:
        return self._exits.pop(key, [])

    def server_ended(self, key: ProcessKey, end: ServerEnd) -> None:
        _make_room(self.server_ends, KEPT_SERVER_ENDS)
        self.server_ends[key] = end

    def looked(self, seen: LookedAround) -> None:
        self._looks.append(seen)

    def around(self, case: Case) -> tuple[Surroundings, ...]:
        """The last look before a death at all processes, and at those under each of its limits."""
        paths = {None, *(limit.path for limit in case.process.limits)}
        latest = {
            look.cgroup: look
            for seen in self._looks
            for look in seen.surroundings
            if look.cgroup in paths and -LOOK_WINDOW <= look.at - case.died_at <= CLOCK_SLACK
        }
        return tuple(latest.values())

    def source_said(self, state: SourceState) -> None:
        if state.up:
            self._down.pop(state.source, None)
        else:
            self._down[state.source] = state

    def source_lost(self, lost: SourceLost) -> None:
        self._lost.append(lost)

    def blindness(self, case: Case) -> tuple[Blind, ...]:
        """What the case was blind to already, and every source that is down or lost something."""
        blind = {b.source: b for b in case.blind}
        for found in (*self._deaf(), *self._lossy(case)):
            blind.setdefault(found.source, found)
        return tuple(blind.values())

    def _deaf(self) -> Iterator[Blind]:
        for state in self._down.values():
            yield Blind(source=state.source, reason=state.reason)

    def _lossy(self, case: Case) -> Iterator[Blind]:
        for lost in self._lost:
            if abs(lost.at - case.died_at) <= LOSS_WINDOW:
                count = "some" if lost.count is None else str(lost.count)
                yield Blind(source=lost.source, reason=f"{lost.reason}: {count} lost")


def _make_room(kept: dict[ProcessKey, V], size: int) -> None:
    """The oldest goes: a dict keeps the order of its keys."""
    while len(kept) >= size:
        del kept[next(iter(kept))]
