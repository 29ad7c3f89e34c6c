"""A death and the facts around it into a Case: opened at once, completed until it settles.

Pure: now is passed. Lines of the Linux log come before a death or after it, a request's traces
within seconds: each fact is kept for a while, and joined to the deaths it belongs to.
"""

from collections import deque
from collections.abc import Iterable
from datetime import timedelta

from kerneld.model.case import Case, Host
from kerneld.model.death import Death, Successor
from kerneld.model.facts import (
    Blind,
    CellFailed,
    CellStarted,
    CgroupDelta,
    ExitLearned,
    Fact,
    FileRemoved,
    KernelStatus,
    ListenState,
    LogRecord,
    MemoryAccount,
    PeakReading,
    ProcessEnded,
    ServerEnd,
    SessionFact,
    ShutdownAnnounced,
    SourceLost,
    SourceState,
    Succession,
    ThreadCrashed,
)
from kerneld.model.process import ProcessKey
from kerneld.model.session import Session
from kerneld.model.vocabulary import ExitHow, Scope

CLOCK_SLACK = timedelta(seconds=1)
"""log stamps come from another clock than deaths; a loaded observer was 0.3 s late"""
NEIGHBOUR_WINDOW = timedelta(seconds=5)
SERVER_MEMORY = timedelta(seconds=60)
KEPT_LOG_RECORDS = 512
KEPT_EXITS = 2048
KEPT_CRASHES = 64
LAST_WORDS = timedelta(seconds=2)
"""a loaded machine delivers iopub's messages late; their order is kept"""
KEPT_SERVER_ENDS = 64


class Correlator:
    """The open cases. Owned by one thread."""

    def __init__(self, host: Host, *, settle_s: float) -> None:
        self._host = host
        self._settle_s = settle_s
        self._cases: dict[str, Case] = {}
        self._due: dict[str, float] = {}
        self._handles: dict[str, int] = {}
        self._sessions: dict[str, Session] = {}
        self._exits: dict[ProcessKey, list[ExitLearned]] = {}
        self._log: deque[LogRecord] = deque(maxlen=KEPT_LOG_RECORDS)
        self._crashes: deque[ThreadCrashed] = deque(maxlen=KEPT_CRASHES)
        self._down: dict[str, SourceState] = {}
        self._lost: deque[SourceLost] = deque(maxlen=64)
        self._server_ends: dict[ProcessKey, ServerEnd] = {}

    # ------------------------------------------------------------------ opening and closing

    def open(
        self, death: Death, *, uuid: str, now: float, memory: MemoryAccount, cgroup: CgroupDelta | None
    ) -> Case:
        """A case from a death and all that is known already. now: monotonic seconds."""
        case = self._new_case(death, uuid).model_copy(update={"memory": memory, "cgroup": cgroup})
        self._add(case, due=now + self._settle_s, handle=death.handle)
        self._sessions[uuid] = death.session
        for learned in self._exits.pop(case.process.key, ()):
            self._join_exit(uuid, learned)
        for record in self._log:
            self._join_log(case.uuid, record)
        for key, end in self._server_ends.items():
            self._join_server_end(case.uuid, key, end)
        return self._cases[uuid]

    def open_absent(self, case: Case, *, now: float) -> None:
        """A case from before this daemon's start, or from its absence: the log may still tell."""
        self._add(case, due=now + self._settle_s, handle=None)

    def _add(self, case: Case, *, due: float, handle: int | None) -> None:
        self._cases[case.uuid] = case
        self._due[case.uuid] = due
        if handle is not None:
            self._handles[case.uuid] = handle

    def update(self, uuid: str, *, memory: MemoryAccount | None, cgroup: CgroupDelta | None) -> Case:
        """The last look at memory and counters before a case settles."""
        changes: dict[str, object] = {"settled": True, "blind": self._blind_for(self._cases[uuid])}
        if memory is not None:
            peaks = _merge(memory.peaks, self._cases[uuid].memory.peaks)
            changes["memory"] = memory.model_copy(update={"peaks": peaks})
        if cgroup is not None:
            kills = self._kills_beside(self._cases[uuid])
            changes["cgroup"] = cgroup.model_copy(update={"kills_in_window": kills})
        return self._change(uuid, **changes)

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
        del self._cases[uuid], self._due[uuid]
        self._handles.pop(uuid, None)
        self._sessions.pop(uuid, None)

    def open_cases(self) -> list[str]:
        return list(self._cases)

    # ------------------------------------------------------------------ facts

    def feed(self, fact: Fact) -> set[str]:
        """Join one fact to the open cases it belongs to; their uuids."""
        match fact:
            case LogRecord():
                return self._log_record(self._of_its_process(fact))
            case ThreadCrashed():
                return self._thread_crashed(fact)
            case ExitLearned():
                return self._exit_learned(fact)
            case FileRemoved():
                return self._each(self._join_removal, fact)
            case KernelStatus() | CellStarted() | CellFailed() | ShutdownAnnounced():
                return self._each(self._join_session, fact)
            case SourceState():
                self._source_state(fact)
            case SourceLost():
                self._lost.append(fact)
        return set()

    def succeeded(self, successor: Successor) -> set[str]:
        return self._each(self._join_successor, successor)

    def _each(self, join: object, fact: object) -> set[str]:
        assert callable(join)
        return {uuid for uuid in list(self._cases) if join(uuid, fact)}

    def _log_record(self, record: LogRecord) -> set[str]:
        self._log.append(record)
        return self._each(self._join_log, record)

    def _of_its_process(self, record: LogRecord) -> LogRecord:
        """A line that names a thread, with the process that Linux told of that thread."""
        if record.tgid is not None or record.event.is_oom:
            return record
        for crash in self._crashes:
            if _is_of_thread(record, crash):
                return record.model_copy(update={"tgid": crash.key.pid})
        return record

    def _thread_crashed(self, crash: ThreadCrashed) -> set[str]:
        self._crashes.append(crash)
        found = [r for r in self._log if r.tgid is None and _is_of_thread(r, crash)]
        changed: set[str] = set()
        for record in found:
            self._log.remove(record)
            changed |= self._log_record(record.model_copy(update={"tgid": crash.key.pid}))
        return changed

    def _join_log(self, uuid: str, record: LogRecord) -> bool:
        case = self._cases[uuid]
        slack = timedelta(seconds=case.died_at_uncertainty_s) + CLOCK_SLACK
        if any(_is_same(record, known) for known in (*case.log, *case.neighbours)):
            return False
        if names(case, record):
            if not case.process.started_at - CLOCK_SLACK <= record.at <= case.died_at + slack:
                return False
            found = {"log": (*case.log, record), **self._dated(case, record)}
            self._change(uuid, **found)
            return True
        if record.event.is_oom and abs(record.at - case.died_at) <= NEIGHBOUR_WINDOW:
            self._change(uuid, neighbours=(*case.neighbours, record))
            return True
        return False

    def _dated(self, case: Case, record: LogRecord) -> dict[str, object]:
        """A line that names a process which died unseen dates its death."""
        if case.observed or record.event.kind in ("xid", "mce"):
            return {}
        return {"died_at": record.at, "died_at_uncertainty_s": CLOCK_SLACK.total_seconds()}

    def _exit_learned(self, learned: ExitLearned) -> set[str]:
        """Some accounts are told before the pidfd wakes: they wait for their death."""
        changed = self._each(self._join_exit, learned) | self._exit_of_server(learned)
        if not changed:
            while len(self._exits) >= KEPT_EXITS:
                del self._exits[next(iter(self._exits))]
            self._exits.setdefault(learned.key, []).append(learned)
        return changed

    def _join_exit(self, uuid: str, learned: ExitLearned) -> bool:
        case = self._cases[uuid]
        if case.process.key != learned.key:
            return False
        changes: dict[str, object] = {}
        if learned.reading is not None and learned.reading not in case.readings:
            changes["readings"] = (*case.readings, learned.reading)
            if learned.reading.how is ExitHow.PROC_CONNECTOR and case.observed:
                changes["died_at"] = min(case.died_at, learned.reading.at)
        if learned.peak is not None:
            peaks = _merge(case.memory.peaks, (learned.peak,))
            changes["memory"] = case.memory.model_copy(update={"peaks": peaks})
        self._change(uuid, **changes)
        return True

    def _join_removal(self, uuid: str, removed: FileRemoved) -> bool:
        if self._handles.get(uuid) != removed.handle or self._cases[uuid].file_removed:
            return False
        self._change(uuid, file_removed=removed)
        return True

    def _join_session(self, uuid: str, fact: SessionFact) -> bool:
        """Last words that were delivered late: what came before a new life's `starting`."""
        case, session = self._cases[uuid], self._sessions.get(uuid)
        if session is None or self._handles.get(uuid) != fact.handle:
            return False
        if isinstance(fact, KernelStatus) and fact.state == "starting":
            del self._sessions[uuid]
            return False
        if case.succession is not None or fact.at - case.died_at > LAST_WORDS:
            return False
        session = self._sessions[uuid] = session.heard_of(fact)
        self._change(uuid, **_said(session))
        return True

    def _join_successor(self, uuid: str, successor: Successor) -> bool:
        case = self._cases[uuid]
        if case.scope is not Scope.KERNEL or case.kernel is None or case.succession:
            return False
        if case.kernel.id != successor.kernel_id or case.process.pid == successor.pid:
            return False
        self._change(uuid, succession=Succession(at=successor.at, pid=successor.pid))
        return True

    def _source_state(self, state: SourceState) -> None:
        if state.up:
            self._down.pop(state.source, None)
        else:
            self._down[state.source] = state

    # ------------------------------------------------------------------ servers

    def parent_ended(self, ended: ProcessEnded, *, case_uuid: str | None) -> set[str]:
        """Tell the cases of a server's kernels of its end, now and for a while; their uuids."""
        end = ServerEnd(at=ended.at, pid=ended.key.pid, readings=ended.readings, uuid=case_uuid)
        while len(self._server_ends) >= KEPT_SERVER_ENDS:
            del self._server_ends[next(iter(self._server_ends))]
        return self._server_end_known(ended.key, end)

    def _server_end_known(self, key: ProcessKey, end: ServerEnd) -> set[str]:
        self._server_ends[key] = end
        return {uuid for uuid in list(self._cases) if self._join_server_end(uuid, key, end)}

    def _join_server_end(self, uuid: str, key: ProcessKey, end: ServerEnd) -> bool:
        case = self._cases[uuid]
        if case.scope is not Scope.KERNEL or case.server is None or case.server.key != key:
            return False
        if abs(end.at - case.died_at) > SERVER_MEMORY:
            return False
        self._change(uuid, server_end=end)
        return True

    def _exit_of_server(self, learned: ExitLearned) -> set[str]:
        end = self._server_ends.get(learned.key)
        if end is None or learned.reading is None:
            return set()
        readings = (*end.readings, learned.reading)
        return self._server_end_known(learned.key, end.model_copy(update={"readings": readings}))

    # ------------------------------------------------------------------ building

    def _new_case(self, death: Death, uuid: str) -> Case:
        life, session = death.life, death.session
        case = Case(
            uuid=uuid,
            scope=death.scope,
            host=self._host,
            boot_id_now=self._host.boot_id,
            kernel=life.kernel,
            process=life.process,
            server=life.server,
            kernels=death.kernels,
            died_at=death.ended.at,
            detected_at=death.ended.detected_at,
            watched_since=life.watched_since,
            readings=death.ended.readings,
            answered=death.answered,
        ).model_copy(update=_said(session))
        return case.model_copy(update={"blind": (*_own_blind(death), *self._blind_for(case))})

    def _blind_for(self, case: Case) -> tuple[Blind, ...]:
        """What the case was blind to already, and every source that is down or lost something."""
        blind = {b.source: b for b in case.blind}
        for state in self._down.values():
            blind.setdefault(state.source, Blind(source=state.source, reason=state.reason))
        for lost in self._lost:
            if abs(lost.at - case.died_at) <= SERVER_MEMORY:
                count = "some" if lost.count is None else str(lost.count)
                reason = f"{lost.reason}: {count} lost"
                blind.setdefault(lost.source, Blind(source=lost.source, reason=reason))
        return tuple(blind.values())

    def _kills_beside(self, case: Case) -> int:
        """Processes of the victim's cgroup that ended by SIGKILL in its window, itself counted."""
        return sum(
            other.process.cgroup == case.process.cgroup
            and abs(other.died_at - case.died_at) <= timedelta(seconds=self._settle_s)
            and any(r.status_raw is not None and r.status_raw & 0x7F == 9 for r in other.readings)
            for other in self._cases.values()
        )

    def _change(self, uuid: str, **changes: object) -> Case:
        if changes:
            self._cases[uuid] = self._cases[uuid].model_copy(update=changes)
        return self._cases[uuid]


def _said(session: Session) -> dict[str, object]:
    """The fields of a case that a session fills."""
    return {
        "session": tuple(f for f in session.facts if not isinstance(f, ListenState)),
        "busy": session.busy,
        "last_cell": session.last_cell,
    }


def names(case: Case, record: LogRecord) -> bool:
    """Whether a line of the Linux log is about this process (by its pid, or a thread's process)."""
    pid = case.process.pid
    if record.tgid is not None:
        return record.tgid == pid
    return record.event.pid == pid


def _is_of_thread(record: LogRecord, crash: ThreadCrashed) -> bool:
    same = record.event.pid == crash.tid and not record.event.is_oom
    return same and abs(record.at - crash.at) <= CLOCK_SLACK


def _is_same(one: LogRecord, other: LogRecord) -> bool:
    """The ring is read again at every start, and a line's time is then reckoned anew."""
    return one.sequence == other.sequence and one.event.line == other.event.line


def _own_blind(death: Death) -> Iterable[Blind]:
    if death.scope is not Scope.KERNEL:
        return
    if death.file_problem:
        yield Blind(source="connection-file", reason=death.file_problem)
    if not death.session.listening and not death.session.heard:
        reasons = [f.reason for f in death.session.facts if isinstance(f, ListenState) and f.reason]
        reason = reasons[-1] if reasons else "iopub was not heard before the end"
        yield Blind(source="iopub", reason=reason)


def _merge(*groups: tuple[PeakReading, ...]) -> tuple[PeakReading, ...]:
    """Every account of the peak once, the largest of each kind."""
    best: dict[str, PeakReading] = {}
    for peak in (p for group in groups for p in group):
        if peak.how not in best or best[peak.how].peak_bytes < peak.peak_bytes:
            best[peak.how] = peak
    return tuple(best.values())
