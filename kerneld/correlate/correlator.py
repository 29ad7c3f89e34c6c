"""The open cases: each fact is joined to the deaths it belongs to, until they settle.

Pure: now is passed. Lines of the Linux log come before a death or after it, a request's traces in
seconds. Cases are found by pid and by file number: a thousand may be open.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from kerneld.correlate.matching import (
    case_of,
    dated,
    discard,
    is_about,
    is_next_life,
    is_same_line,
    joined,
    kills_counted,
    named_pid,
    said,
    seen_again,
    surrounded,
    went_with_its_kernel,
    with_exit,
)
from kerneld.correlate.recent import Recent
from kerneld.model.case import Case
from kerneld.model.death import Death, Successor
from kerneld.model.facts import (
    ExitLearned,
    Fact,
    FaultPlaced,
    FileRemoved,
    LookedAround,
    ProcessEnded,
    ServerEnd,
    SourceLost,
    SourceState,
    Succession,
    ThreadCrashed,
)
from kerneld.model.host import Host
from kerneld.model.process import ProcessKey
from kerneld.model.readings import CgroupDelta, MemoryAccount
from kerneld.model.records import LogRecord, ManagerAct, SignalSent
from kerneld.model.said import CellFailed, CellStarted, KernelStatus, SessionFact, ShutdownAnnounced
from kerneld.model.session import Session
from kerneld.model.vocabulary import Scope

T = TypeVar("T")
NEIGHBOUR_WINDOW = timedelta(seconds=5)
SERVER_WINDOW = timedelta(seconds=60)
LAST_WORDS = timedelta(seconds=2)
"""a loaded machine delivers iopub's messages late; their order is kept"""


class Correlator:
    """The open cases. Owned by one thread."""

    def __init__(self, host: Host, *, settle_s: float) -> None:
        self._host = host
        self._settle_s = settle_s
        self._recent = Recent()
        self._cases: dict[str, Case] = {}
        self._due: dict[str, float] = {}
        self._sessions: dict[str, Session] = {}
        self._handles: dict[str, int] = {}
        self._workers: set[str] = set()
        self._by_pid: defaultdict[int, set[str]] = defaultdict(set)
        self._by_handle: defaultdict[int, set[str]] = defaultdict(set)

    # ------------------------------------------------------------------ opening and closing

    def open(
        self, death: Death, *, uuid: str, now: float, memory: MemoryAccount, cgroup: CgroupDelta | None
    ) -> Case:
        """A case from a death and all that is known already. now: monotonic seconds."""
        case = case_of(death, uuid, self._host)
        known = {"blind": self._recent.blindness(case), "surroundings": self._recent.around(case)}
        case = case.model_copy(update={"memory": memory, "cgroup": cgroup, **known})
        self._add(case, due=now + self._settle_s, handle=death.handle)
        self._sessions[uuid] = death.session
        for learned in self._recent.exits_of(case.process.key):
            self._join_exit(uuid, learned)
        for record in self._recent.log_for(case.process.pid):
            self._join_log(uuid, record)
        for sent in self._recent.sent_to(case.process.pid):
            self._join_sent(uuid, sent)
        for key, end in self._recent.server_ends.items():
            self._join_server_end(uuid, (key, end))
        return self._cases[uuid]

    def _join_workers(self, new: Case) -> None:
        if new.scope is Scope.WORKER and new.kernel is not None:
            kernels = self._by_pid.get(new.kernel.process.pid, ())
            pairs = [(new, self._cases[uuid]) for uuid in kernels]
        else:
            pairs = [(self._cases[uuid], new) for uuid in self._workers]
        for worker, kernel in pairs:
            if went_with_its_kernel(worker, kernel):
                self._change(worker.uuid, caused_by=kernel.uuid)

    def open_absent(self, case: Case, *, now: float) -> None:
        """A case from before this daemon's start, or from its absence: the log may still tell."""
        self._add(case, due=now + self._settle_s, handle=None)

    def _add(self, case: Case, *, due: float, handle: int | None) -> None:
        self._cases[case.uuid] = case
        self._due[case.uuid] = due
        self._by_pid[case.process.pid].add(case.uuid)
        if case.scope is Scope.WORKER:
            self._workers.add(case.uuid)
        if handle is not None:
            self._handles[case.uuid] = handle
            self._by_handle[handle].add(case.uuid)

    def update(self, uuid: str, *, memory: MemoryAccount | None, cgroup: CgroupDelta | None) -> Case:
        """The last look at memory and counters before a case settles."""
        case = self._cases[uuid]
        changes: dict[str, object] = {"settled": True, "blind": self._recent.blindness(case)}
        if memory is not None:
            changes["memory"] = seen_again(memory, case.memory)
        if cgroup is not None and not (case.cgroup and case.cgroup.after):
            changes["cgroup"] = cgroup
        self._change(uuid, **changes)
        self._join_workers(self._cases[uuid])
        case, others = self._cases[uuid], self._cases.values()
        self._change(uuid, **kills_counted(case, others, timedelta(seconds=self._settle_s)))
        return self._cases[uuid]

    def number(self, uuid: str, restarts: int) -> None:
        """So many lives of its kernel id ended before."""
        kernel = self._cases[uuid].kernel
        if kernel is not None:
            self._change(uuid, kernel=kernel.model_copy(update={"restarts": restarts}))

    def case(self, uuid: str) -> Case:
        return self._cases[uuid]

    def due(self, now: float) -> list[str]:
        return [uuid for uuid, at in self._due.items() if at <= now]

    def next_due(self) -> float | None:
        return min(self._due.values(), default=None)

    def hasten(self, uuid: str, at: float) -> None:
        """Settle this case earlier: its proof is certain, and a request is excluded."""
        self._due[uuid] = min(self._due[uuid], at)

    def close(self, uuid: str) -> None:
        case = self._cases.pop(uuid)
        del self._due[uuid]
        self._sessions.pop(uuid, None)
        self._workers.discard(uuid)
        discard(self._by_pid, case.process.pid, uuid)
        handle = self._handles.pop(uuid, None)
        if handle is not None:
            discard(self._by_handle, handle, uuid)

    # ------------------------------------------------------------------ facts

    def feed(self, fact: Fact) -> set[str]:
        """Join one fact to the open cases it belongs to; their uuids."""
        match fact:
            case LogRecord():
                return self._log_record(self._recent.logged(fact))
            case ThreadCrashed():
                records = self._recent.crashed(fact)
                return {uuid for record in records for uuid in self._log_record(record)}
            case SignalSent() | ManagerAct():
                self._recent.was_sent(fact)
                named = self._cases if fact.pid is None else self._by_pid.get(fact.pid, ())
                return self._each(named, self._join_sent, fact)
            case ExitLearned():
                return self._exit_learned(fact)
            case FaultPlaced(uuid=uuid) if uuid in self._cases:
                self._change(uuid, place=fact.place)
                return {uuid}
            case FileRemoved():
                return self._each(self._by_handle.get(fact.handle, ()), self._join_removal, fact)
            case KernelStatus() | CellStarted() | CellFailed() | ShutdownAnnounced():
                return self._each(self._by_handle.get(fact.handle, ()), self._join_session, fact)
            case LookedAround(key=None):
                self._recent.looked(fact)
            case LookedAround(key=ProcessKey() as key):  # no verdict turns on it
                for uuid in self._by_pid.get(key.pid, ()):
                    self._change(uuid, **surrounded(self._cases[uuid], fact))
            case SourceState():
                self._recent.source_said(fact)
            case SourceLost():
                self._recent.source_lost(fact)
        return set()

    def succeeded(self, successor: Successor) -> set[str]:
        return self._each(self._cases, self._join_successor, successor)

    def _each(self, uuids: Iterable[str], join: Callable[[str, T], bool], fact: T) -> set[str]:
        return {uuid for uuid in list(uuids) if join(uuid, fact)}

    def _log_record(self, record: LogRecord) -> set[str]:
        concerned = self._cases if record.event.is_oom else self._by_pid.get(named_pid(record) or 0, ())
        return self._each(concerned, self._join_log, record)

    def _join_log(self, uuid: str, record: LogRecord) -> bool:
        case = self._cases[uuid]
        if any(is_same_line(record, known) for known in (*case.log, *case.neighbours)):
            return False
        if is_about(case, record):
            self._change(uuid, log=(*case.log, record), **dated(case, record))
            return True
        if record.event.is_oom and abs(record.at - case.died_at) <= NEIGHBOUR_WINDOW:
            self._change(uuid, neighbours=(*case.neighbours, record))
            return True
        return False

    def _join_sent(self, uuid: str, fact: SignalSent | ManagerAct) -> bool:
        self._change(uuid, **(changes := joined(self._cases[uuid], fact)))
        return bool(changes)

    def _exit_learned(self, learned: ExitLearned) -> set[str]:
        pid = learned.key.pid
        changed = self._each(self._by_pid.get(pid, ()), self._join_exit, learned)
        changed |= self._exit_of_server(learned)
        if not changed:
            self._recent.exit_told(learned)
        return changed

    def _join_exit(self, uuid: str, learned: ExitLearned) -> bool:
        case = self._cases[uuid]
        if case.process.key != learned.key:
            return False
        self._change(uuid, **with_exit(case, learned))
        return True

    def _join_removal(self, uuid: str, removed: FileRemoved) -> bool:
        if self._cases[uuid].file_removed:
            return False
        self._change(uuid, file_removed=removed)
        return True

    def _join_session(self, uuid: str, fact: SessionFact) -> bool:
        """Last words that were delivered late: what came before a new life's `starting`."""
        case, session = self._cases[uuid], self._sessions.get(uuid)
        if session is None:
            return False
        if isinstance(fact, KernelStatus) and fact.state == "starting":
            del self._sessions[uuid]
            return False
        if case.succession is not None or fact.at - case.died_at > LAST_WORDS:
            return False
        session = self._sessions[uuid] = session.heard_of(fact)
        self._change(uuid, **said(session))
        return True

    def _join_successor(self, uuid: str, successor: Successor) -> bool:
        if not is_next_life(self._cases[uuid], successor):
            return False
        self._change(uuid, succession=Succession(at=successor.at, pid=successor.pid))
        return True

    # ------------------------------------------------------------------ servers

    def parent_ended(self, ended: ProcessEnded, *, case_uuid: str | None) -> set[str]:
        """Tell the cases of a server's kernels of its end, now and for a while; their uuids."""
        told = self._cases[case_uuid].readings if case_uuid else ended.readings
        early = [learned.reading for learned in self._recent.exits_of(ended.key) if learned.reading]
        readings = (*told, *early)
        return self._server_end_known(
            ended.key, ServerEnd(at=ended.at, pid=ended.key.pid, readings=readings, uuid=case_uuid)
        )

    def _server_end_known(self, key: ProcessKey, end: ServerEnd) -> set[str]:
        self._recent.server_ended(key, end)
        return self._each(self._cases, self._join_server_end, (key, end))

    def _join_server_end(self, uuid: str, told: tuple[ProcessKey, ServerEnd]) -> bool:
        case, (key, end) = self._cases[uuid], told
        if case.scope is not Scope.KERNEL or case.server is None or case.server.key != key:
            return False
        if abs(end.at - case.died_at) > SERVER_WINDOW:
            return False
        self._change(uuid, server_end=end)
        return True

    def _exit_of_server(self, learned: ExitLearned) -> set[str]:
        end = self._recent.server_ends.get(learned.key)
        if end is None or learned.reading is None:
            return set()
        readings = (*end.readings, learned.reading)
        return self._server_end_known(learned.key, end.model_copy(update={"readings": readings}))

    def _change(self, uuid: str, **changes: object) -> None:
        if changes:
            self._cases[uuid] = self._cases[uuid].model_copy(update=changes)
