"""The owner: facts into roles, deaths into cases, cases into incidents, incidents into the store.

One thread, and the only one that touches tracking, correlation, diagnosis and the store.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kerneld.advise import advise
from kerneld.correlate import Correlator
from kerneld.daemon.delays import Delays
from kerneld.daemon.identity import end_uuid
from kerneld.daemon.loops import loop_of
from kerneld.daemon.memory import Memory, at_death, at_settling
from kerneld.daemon.placing import fault_to_place
from kerneld.daemon.questions import is_story, questions_on
from kerneld.daemon.revision import is_revised, says_else
from kerneld.daemon.roll import Roll
from kerneld.daemon.turns import Turns
from kerneld.diagnose import diagnose, is_final
from kerneld.errors import StoreError
from kerneld.model.case import Case
from kerneld.model.death import Death
from kerneld.model.effects import Effect, ForgetMemory, PlaceFault
from kerneld.model.facts import Fact, ProcessEnded
from kerneld.model.fault_lines import awaits_core
from kerneld.model.host import Host
from kerneld.model.incident import Incident
from kerneld.model.said import KernelStatus
from kerneld.model.verdict import Judgement
from kerneld.model.vocabulary import CodePolicy, Scope, State
from kerneld.privacy import tightened, withhold
from kerneld.report import build_incident
from kerneld.store import Store
from kerneld.track import Moves, Tracker

log = logging.getLogger(__name__)

EARLY_S = 1.0
"""a certain verdict waits this long for the rest of its evidence, then settles"""
RETRY_S = 1.0
SETTLED_A_TURN = 64
"""1,000 at once took 1 s, and a death meanwhile waited for all of them"""


@dataclass(slots=True)
class _Told:
    """What was stored of an open case. is_watched: it died before the eyes of this daemon.

    placed: the addresses whose place was asked for.
    """

    incident: Incident | None = None
    committed_at: datetime | None = None
    is_watched: bool = False
    placed: set[str | None] = field(default_factory=set)


@dataclass(slots=True)
class Rooms:
    """What the owner works with. act: hands an effect to its source. told: a settled incident."""

    store: Store
    memory: Memory
    act: Callable[[Effect], None]
    told: Callable[[Incident], None]


@dataclass(slots=True)
class Owner:
    """Feed it batches of facts, and call `settle` when `next_due` has come."""

    host: Host
    rooms: Rooms
    policy: CodePolicy
    settle_s: float
    tracker: Tracker = field(init=False)
    correlator: Correlator = field(init=False)
    turns: Turns = field(init=False)
    delays: Delays = field(default_factory=Delays)
    _told: dict[str, _Told] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    """cases of which more is known"""
    _untold: set[str] = field(default_factory=set)
    """cases of which the database holds nothing yet"""
    _roll: Roll = field(init=False)
    _questions: list[Effect] = field(default_factory=list)
    _failed: bool = False

    def __post_init__(self) -> None:
        self._roll = Roll(self.policy)
        self.tracker = Tracker(self.host.boot_id)
        self.turns = Turns(self.tracker, self.rooms.memory)
        self.correlator = Correlator(self.host, settle_s=self.settle_s)

    # ------------------------------------------------------------------ facts

    def feed(self, facts: Iterable[Fact]) -> None:
        """One batch: its deaths are judged and stored, in one transaction, before anything else."""
        for fact in facts:
            moves = self.tracker.feed(fact)
            self._move(moves)
            self._roll.note(moves)
            self._changed |= self.correlator.feed(fact)
            if isinstance(fact, KernelStatus):
                self.turns.heard(fact.handle)
            if isinstance(fact, ProcessEnded) and not moves.deaths:
                self.rooms.act(ForgetMemory(fact.key))
        untold = list(self._untold)
        self._number(untold)
        self._tell(untold)
        self._roll.save(self.rooms.store)

    def save_again(self) -> None:
        """The database is another one: the open cases and who is watched go into it, too."""
        for told in self._told.values():
            told.incident = None
        self._untold |= self._told.keys()
        self._roll.watch(self.tracker.tracked())
        self.feed(())

    @property
    def awaits_calm(self) -> bool:
        """Whether there is something to reconsider. What a full disk did not take waits longer."""
        anew = not self._changed <= self._untold
        return bool(self._questions) or (anew and not self._failed)

    def reconsider(self) -> None:
        """When no fact comes: judge the cases of which more is known, and see who else is there."""
        self._changed &= self._told.keys()
        self._tell(list(self._changed - self._untold))
        for order in self._questions:
            self.rooms.act(order)
        self._questions.clear()
        if not self.unsaved:
            self._roll.forget(self.rooms.store)

    def _move(self, moves: Moves) -> None:
        for effect in moves.effects:
            self.rooms.act(effect)
        for successor in moves.successors:
            self._changed |= self.correlator.succeeded(successor)
        for death in moves.deaths:
            self._open(death)

    def _open(self, death: Death) -> None:
        if death.scope is Scope.SERVER and not is_story(death.life):
            self._changed |= self.correlator.parent_ended(death.ended, case_uuid=None)
            return
        account, delta = at_death(self.rooms.memory, death.life, death.ended.at)
        case_uuid = end_uuid(death.life.process.key, death.scope)
        self._told[case_uuid] = _Told(is_watched=True)
        self.correlator.open(
            self.turns.of(death),
            uuid=case_uuid,
            now=time.monotonic(),
            memory=account,
            cgroup=delta,
        )
        self._untold.add(case_uuid)
        self._questions += questions_on(death)
        if death.scope is Scope.SERVER:
            self._changed |= self.correlator.parent_ended(death.ended, case_uuid=case_uuid)

    def _number(self, uuids: Collection[str]) -> None:
        """Say how many lives of each kernel id came before, stored or not, over restarts of kerneld."""
        cases = sorted(map(self.correlator.case, uuids), key=lambda case: case.died_at)
        ids = {case.uuid: case.kernel.id for case in cases if case.kernel}
        try:
            lives = Counter(self.rooms.store.lives_of(set(ids.values()), besides=ids) if ids else ())
        except StoreError as problem:
            log.error("%s", problem)
            return
        for case in cases:
            if case.kernel is not None:
                if lives[case.kernel.id] > case.kernel.restarts:
                    self.correlator.number(case.uuid, lives[case.kernel.id])
                lives[case.kernel.id] += case.scope is Scope.KERNEL

    # ------------------------------------------------------------------ verdicts

    def _tell(self, uuids: Collection[str]) -> None:
        """Store the first verdict of every new case, and each later one that says something else."""
        self._changed -= set(uuids)
        saves: list[tuple[Incident, Case | None]] = []
        faults: list[PlaceFault] = []
        for case_uuid in uuids:
            told = self._told[case_uuid]
            case, judgement, incident = self._judge(case_uuid, State.PROVISIONAL)
            fault = fault_to_place(case)
            if fault is None and is_final(case, judgement) and not awaits_core(case):
                self.correlator.hasten(case_uuid, time.monotonic() + EARLY_S)
            if told.incident is None or says_else(told.incident, incident):
                saves.append((incident, case))
            if fault is not None and fault.ip not in told.placed:
                told.placed.add(fault.ip)
                faults.append(fault)
        self._save(saves)
        for fault in faults:
            self.rooms.act(fault)

    def settle(self, now: float) -> None:
        """Judge the cases whose time has come once more, for good."""
        self._finish(self.correlator.due(now)[:SETTLED_A_TURN])

    def look_back(self, cases: Sequence[Case]) -> None:
        """Take in cases from before this start; they settle when the Linux log has had its say."""
        for case in cases:
            self._told[case.uuid] = _Told()
            self.correlator.open_absent(case, now=time.monotonic())
            self._untold.add(case.uuid)

    def _finish(self, uuids: Sequence[str]) -> None:
        for case_uuid in uuids:
            account, delta = at_settling(self.rooms.memory, self.correlator.case(case_uuid))
            self.correlator.update(case_uuid, memory=account, cgroup=delta)
        saves: list[tuple[Incident, Case | None]] = []
        for case_uuid in uuids:
            case, _, incident = self._judge(case_uuid, State.SETTLED)
            saves.append((incident, case))
        if not self._save(saves):
            return
        for case_uuid in uuids:
            key = self.correlator.case(case_uuid).process.key
            self.correlator.close(case_uuid)
            self.rooms.act(ForgetMemory(key))
            settled = self._told.pop(case_uuid).incident
            if settled is not None:
                self.rooms.told(settled)

    def _judge(self, case_uuid: str, state: State) -> tuple[Case, Judgement, Incident]:
        case = self.correlator.case(case_uuid)
        told = self._told[case_uuid]
        judgement = diagnose(case)
        now = datetime.now(UTC)
        incident = build_incident(
            case,
            judgement,
            now=now,
            state=state,
            revision=told.incident.revision if told.incident else 1,
            recorded_at=told.committed_at or now,
            settled_at=now if state is State.SETTLED else None,
        )
        more: dict[str, object] = {
            "advice": advise(case, judgement),
            "loop": loop_of(self.rooms.store, incident),
        }
        if told.incident is not None and is_revised(told.incident, incident):
            more["revision"] = told.incident.revision + 1
        return case, judgement, incident.model_copy(update=more)

    def _save(self, saves: list[tuple[Incident, Case | None]]) -> bool:
        """One transaction; a full disk keeps the cases open, and they are tried again."""
        if not saves:
            return True
        private = [
            (withhold(incident, self._policy_for(case)), withhold(case, self._policy_for(case)))
            for incident, case in saves
            if case is not None
        ]
        try:
            stored = self.rooms.store.save_all(private)
        except StoreError as problem:
            log.error("not stored, tried again: %s", problem)
            self._changed |= {incident.uuid for incident, _ in saves}
            self._failed = True
            return False
        self._failed = False
        self._untold -= {incident.uuid for incident in stored}
        committed_at = datetime.now(UTC)
        for incident in stored:
            told = self._told[incident.uuid]
            told.incident = incident
            if told.committed_at is None:
                told.committed_at = committed_at
                if told.is_watched:
                    self.delays.note((committed_at - incident.died_at).total_seconds())
        return True

    def _policy_for(self, case: Case | None) -> CodePolicy:
        """The configured policy, or a tighter one that the user set in the kernel's environment."""
        return tightened(self.policy, case.process.environ.get("KERNELD_CODE") if case else None)

    @property
    def unsaved(self) -> int:
        """How many open cases the database holds nothing of yet."""
        return len(self._untold)

    def next_due(self) -> float | None:
        """Monotonic seconds of the next case to settle; soon, where something waits to be stored."""
        if self._changed or self._untold:
            return time.monotonic() + RETRY_S
        return self.correlator.next_due()
