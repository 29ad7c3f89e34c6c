"""Kernels that grow into stacks: py-spy is run on them in measure, and their growth charged to lines.

The memory sampler says who grows; that kernel is then looked at closely, and for each step of growth
a stack is taken. py-spy's words go to the reader process unread, its answer into the account.
"""

import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.growth.budget import Budget, starved
from kerneld.model.effects import Effect, ForgetMemory, ReadStack, WatchStacks
from kerneld.model.facts import SourceState
from kerneld.model.growth import Grown, GrowthAccount
from kerneld.model.process import ProcessKey
from kerneld.model.wire import StackParsed
from kerneld.proc.memory import ProcessMemory
from kerneld.proc.pressure import read_pressure
from kerneld.proc.process import boot_seconds
from kerneld.sources.pyspy import Dump, check_rights, find_py_spy, leave_rights_behind
from kerneld.sources.source import Mailbox, Outlet, beat_s
from kerneld.sources.stack_target import DUMP_LOOK_S, Moment, Target

MOST_HOT = 2
TURN_S = 10.0
"""of the two that are looked at, one that had so long gives way to another that grows"""
MOST_UNANSWERED, ANSWER_S = 8, 5.0
PRESSURE_S = 2.0


@dataclass(slots=True)
class _Asked:
    """A dump that the reader has not answered yet."""

    target: Target
    moment: Moment


@dataclass(frozen=True, slots=True)
class _Busy:
    key: ProcessKey


class StacksSource:
    """Which line grew a kernel. grown: for the memory sampler's thread; parsed: for the reader's.

    read: hands a stack's text to the reader process. account and mark_busy are for the owner.
    """

    name = "stacks"

    def __init__(self, *, read: Callable[[ReadStack], None], proc_root: str = "/proc") -> None:
        self._read = read
        self._proc_root = proc_root
        self._mailbox = Mailbox()
        self._inbox: deque[Grown | StackParsed | _Busy] = deque(maxlen=4096)
        self._targets: dict[ProcessKey, Target] = {}
        self._hot: dict[ProcessKey, Target] = {}
        self._dumps: dict[ProcessKey, Dump] = {}
        self._killed: list[Dump] = []
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._budget = Budget(boot_seconds())
        self._starved, self._pressure_due_s = "", 0.0

    # ------------------------------------------------------------------ from other threads

    def control(self, effect: Effect) -> None:
        if isinstance(effect, WatchStacks | ForgetMemory):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def grown(self, grown: Grown) -> None:
        self._put(grown)

    def parsed(self, parsed: StackParsed) -> None:
        self._put(parsed)

    def mark_busy(self, key: ProcessKey, busy: bool) -> None:
        """A cell runs: with the first one the account begins."""
        target = self._targets.get(key)
        if busy and target is not None and not target.heard:
            target.heard = True
            self._put(_Busy(key))

    def _put(self, word: Grown | StackParsed | _Busy) -> None:
        self._inbox.append(word)
        self._mailbox.wake()

    def account(self, key: ProcessKey) -> GrowthAccount | None:
        """Which lines grew it, as far as its stacks tell; None where it is not watched."""
        target = self._targets.get(key)
        return target.told() if target is not None else None

    # ------------------------------------------------------------------ the thread

    def run(self, outlet: Outlet) -> None:
        program = find_py_spy()
        check_rights(self._proc_root)
        leave_rights_behind()
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        try:
            while not outlet.stopping.is_set():
                outlet.tick()
                began_s = time.thread_time()
                self._turn(program, boot_seconds())
                if self._hot:
                    self._budget.spend(time.thread_time() - began_s)
                self._wait()
        finally:
            for key in list(self._dumps):
                self._abandon(key)
            for target in self._hot.values():
                target.cool()
            self._hot.clear()

    def _turn(self, program: str, now_s: float) -> None:
        for effect in self._mailbox.drain():
            self._obey(effect, now_s)
        while self._inbox:
            self._hear(self._inbox.popleft(), now_s)
        for key in list(self._dumps):
            self._finish(key, now_s)
        for dump in [dump for dump in self._killed if dump.is_over()]:
            self._killed.remove(dump)
            self._budget.spend(dump.bury())
        for key, target in list(self._hot.items()):
            if target.hold(now_s) and target.is_due(now_s):
                self._consider(program, key, now_s)
            if target.is_cold(now_s) and key not in self._dumps:
                self._hot.pop(key).cool()
        self._asked = {n: one for n, one in self._asked.items() if now_s - one.moment.at_s < ANSWER_S}

    def _wait(self) -> None:
        """Until a word, the end of a dump, or the next look."""
        poll = select.poll()
        poll.register(self._mailbox.fd, select.POLLIN)
        for dump in (*self._dumps.values(), *self._killed):
            poll.register(dump.pidfd, select.POLLIN)
        pauses = [
            DUMP_LOOK_S if key in self._dumps and target.fast else target.pause_s
            for key, target in self._hot.items()
        ]
        poll.poll(1000 * min(pauses, default=beat_s()))

    # ------------------------------------------------------------------ who is watched

    def _obey(self, effect: Effect, now_s: float) -> None:
        match effect:
            case WatchStacks(process=process, handle=handle, language=language):
                known = self._targets.get(process.key)
                if known is None:
                    self._targets[process.key] = Target(process, handle, language, now_s=now_s)
                else:
                    known.process = process
            case ForgetMemory(key=key):
                self._targets.pop(key, None)
                hot = self._hot.pop(key, None)
                if hot is not None:
                    hot.cool()
                self._abandon(key)

    def _hear(self, word: Grown | StackParsed | _Busy, now_s: float) -> None:
        match word:
            case StackParsed(number=number):
                asked = self._asked.pop(number, None)
                self._budget.spend(word.cpu_s)
                if asked is not None:
                    asked.target.take(word, asked.moment)
            case _Busy(key=key):
                target = self._targets.get(key)
                if target is not None:
                    target.begin(now_s, _resident_bytes(key))
            case Grown(key=key):
                target = self._targets.get(key)
                if target is not None and not target.never:
                    self._grew(target, word)

    def _grew(self, target: Target, grown: Grown) -> None:
        target.try_out(grown.before_s, grown.before_bytes)
        if target.warm(grown) and grown.key not in self._hot:
            self._admit(target, grown.at_s)

    def _admit(self, target: Target, now_s: float) -> None:
        """Two at most: one that had its turn, or is far less urgent, gives way."""
        if len(self._hot) >= MOST_HOT:
            least = min(self._hot.values(), key=lambda one: one.urgency)
            if now_s - least.hot_since_s < TURN_S and target.urgency < 2 * least.urgency:
                target.cool()
                return
            self._hot.pop(least.process.key).cool()
        self._hot[target.process.key] = target

    # ------------------------------------------------------------------ dumps

    def _consider(self, program: str, key: ProcessKey, now_s: float) -> None:
        """A stack is due: it is taken where pace, budget and the machine allow."""
        target = self._hot[key]
        if key in self._dumps or not target.pace.may_dump(now_s, fast=target.fast):
            return
        reason = self._hindrance(now_s)
        if reason:
            target.blind = reason
            return
        try:
            self._dumps[key] = Dump(program, key.pid, now_s)
        except OSError as problem:
            target.blind = f"py-spy can't be started: {problem.strerror}"
            return
        target.dumped(now_s)

    def _hindrance(self, now_s: float) -> str:
        if not self._budget.may_dump(now_s):
            return "more stacks would have cost more than 1 % of a core"
        if len(self._asked) >= MOST_UNANSWERED:
            return "the reader process does not answer"
        if now_s >= self._pressure_due_s:
            self._pressure_due_s = now_s + PRESSURE_S
            told = read_pressure(self._proc_root)
            self._starved = starved(told.memory_full, told.cpu_some, told.load_per_cpu)
        return f"stacks are not taken while {self._starved}" if self._starved else ""

    def _finish(self, key: ProcessKey, now_s: float) -> None:
        dump, target = self._dumps[key], self._targets[key]
        if not dump.is_over():
            if dump.is_late(now_s):
                self._abandon(key)
                target.blind = "py-spy was too slow"
            return
        if not target.hold(now_s):
            self._abandon(key)
            return
        del self._dumps[key]
        fd, cpu_s = dump.take()
        self._budget.spend(cpu_s)
        self._number += 1
        self._asked[self._number] = _Asked(target, target.moment(now_s))
        self._read(ReadStack(target.handle, self._number, fd))

    def _abandon(self, key: ProcessKey) -> None:
        dump = self._dumps.pop(key, None)
        if dump is not None:
            dump.kill()
            self._killed.append(dump)


def _resident_bytes(key: ProcessKey) -> int:
    """0 where it is gone."""
    try:
        memory = ProcessMemory(key)
    except OSError:
        return 0
    held = memory.resident.read_bytes()
    memory.close()
    return held
