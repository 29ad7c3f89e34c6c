"""Which fact belongs to which death, and what of it a case keeps. Functions of data alone."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.death import Death, Successor
from kerneld.model.facts import ExitLearned, LookedAround, ThreadCrashed
from kerneld.model.host import Host
from kerneld.model.readings import MemoryAccount, PeakReading
from kerneld.model.records import LogRecord, ManagerAct, SignalSent
from kerneld.model.said import ListenState
from kerneld.model.session import Session
from kerneld.model.verdict import Blind
from kerneld.model.vocabulary import ExitHow, Scope

CLOCK_SLACK = timedelta(seconds=1)
"""log stamps come from another clock than deaths; a loaded observer was 0.3 s late"""
SIGKILL = 9
ESCALATION = timedelta(seconds=15)
"""a server that wants a stuck kernel to end sends SIGINT, SIGTERM after 2.5 s, SIGKILL after 5 s"""


def named_pid(record: LogRecord) -> int | None:
    """The process that a line is about: that of the thread it names, where that is known."""
    return record.tgid if record.tgid is not None else record.event.pid


def is_about(case: Case, record: LogRecord) -> bool:
    """Whether a line of the Linux log names this process, or a thread of it, while it lived."""
    slack = timedelta(seconds=case.died_at_uncertainty_s) + CLOCK_SLACK
    lived = case.process.started_at - CLOCK_SLACK <= record.at <= case.died_at + slack
    return named_pid(record) == case.process.pid and lived


def dated(case: Case, record: LogRecord) -> dict[str, object]:
    """The fields that a line fills which names a process that died unseen: it dates the death."""
    if case.observed or record.event.kind in ("xid", "mce"):
        return {}
    return {"died_at": record.at, "died_at_uncertainty_s": CLOCK_SLACK.total_seconds()}


def got_signal(case: Case, sent: SignalSent) -> bool:
    """Whether a signal was sent to this very process, shortly before its end."""
    begins = max(case.process.started_at - CLOCK_SLACK, case.died_at - ESCALATION)
    return (
        case.observed
        and sent.pid == case.process.pid
        and begins <= sent.at <= case.died_at + CLOCK_SLACK
    )


ACT_WINDOW = timedelta(seconds=30)
"""from a manager's word to the end: earlyoom sends SIGTERM, and SIGKILL up to 10 s later"""
UNIT_WINDOW = timedelta(seconds=120)
"""from its stop on: TimeoutStopSec is 90 s unless it is set; Slurm's KillWait 30 s"""
LATE_REQUEST = timedelta(seconds=10)
"""a server tells of a restart once the next life answers"""
LATE_WORD = timedelta(seconds=2)
"""systemd-oomd tells of a kill when all of the cgroup have got their signal; a machine thrashes then"""


LATE_CORE = timedelta(seconds=60)
"""systemd-coredump tells of a core once it has packed it and looked into it"""


MOST_WORDS = 16
"""of one end that nobody vouches for: 4,000 that its user had logged took the owner 7 s"""


def concerns(case: Case, act: ManagerAct) -> bool:
    """Whether a manager did this to this very process, or to a cgroup or unit that it was in."""
    slack = timedelta(seconds=case.died_at_uncertainty_s)
    window = ACT_WINDOW if act.unit is None and act.step is None else UNIT_WINDOW
    late = LATE_WORD if act.kernel_id is None else LATE_REQUEST
    if act.did == "dumped-core":
        late = LATE_CORE
    born = act.at >= case.process.started_at - CLOCK_SLACK
    if not (born and -(late + slack) <= case.died_at - act.at <= window + slack):
        return False
    if act.pid is not None:
        return act.pid == case.process.pid
    if act.kernel_id is not None:
        return case.kernel is not None and act.kernel_id == case.kernel.id
    if act.step is not None:
        return act.step == case.process.slurm_step
    path = case.process.cgroup.path if case.process.cgroup else ""
    if act.unit is not None:
        return act.unit == case.process.unit or f"/{act.unit}/" in f"{path}/"
    return act.cgroup is not None and is_within(path, act.cgroup)


def joined(case: Case, fact: SignalSent | ManagerAct) -> dict[str, object]:
    """The field of the case that the fact belongs to, with it; {}: it belongs to none, or is there."""
    if isinstance(fact, SignalSent):
        if not got_signal(case, fact) or fact in case.signals:
            return {}
        return {"signals": tuple(sorted((*case.signals, fact), key=lambda sent: sent.at))}
    if not concerns(case, fact) or fact in case.acts:
        return {}
    if not fact.is_vouched and sum(not act.is_vouched for act in case.acts) >= MOST_WORDS:
        return {}
    return {"acts": tuple(sorted((*case.acts, fact), key=lambda act: act.at))}


def is_within(path: str, cgroup: str) -> bool:
    """Whether a cgroup is this one or lies below it; the root's would be everybody's."""
    return cgroup != "/" and f"{path}/".startswith(f"{cgroup}/")


def went_with_its_kernel(worker: Case, kernel: Case) -> bool:
    """Both were killed for memory at once, as in a cgroup that is killed as a whole: one incident.

    A kernel that is shut down or restarted in that second explains nothing of its worker's end.
    """
    if (worker.scope, kernel.scope) != (Scope.WORKER, Scope.KERNEL) or worker.kernel is None:
        return False
    gap = abs(kernel.died_at - worker.died_at)
    both = all(any(record.event.is_oom for record in case.log) for case in (worker, kernel))
    return worker.kernel.process.key == kernel.process.key and gap <= CLOCK_SLACK and both


def is_same_line(one: LogRecord, other: LogRecord) -> bool:
    """The ring is read again at every start, and a line's time is then reckoned anew."""
    return one.sequence == other.sequence and one.event.line == other.event.line


def is_of_thread(record: LogRecord, crash: ThreadCrashed) -> bool:
    """Whether a line that names a thread tells of this crash."""
    if record.tgid is not None or record.event.is_oom or record.event.pid != crash.tid:
        return False
    return abs(record.at - crash.at) <= CLOCK_SLACK


def was_killed(case: Case) -> bool:
    raws = (r.status_raw for r in case.readings if r.status_raw is not None)
    return any(raw & 0x7F == SIGKILL for raw in raws)


def kills_counted(case: Case, cases: Iterable[Case], window: timedelta) -> dict[str, object]:
    """Processes of the victim's cgroup that ended by SIGKILL in its window, itself counted."""
    if case.cgroup is None or not kills_rose(case):
        return {}
    kills = sum(
        other.process.cgroup == case.process.cgroup
        and abs(other.died_at - case.died_at) <= window
        and was_killed(other)
        for other in cases
    )
    return {"cgroup": case.cgroup.model_copy(update={"kills_in_window": kills})}


def kills_rose(case: Case) -> bool:
    """The OOM counter of the victim's own cgroup rose around its death."""
    if case.cgroup is None or not case.cgroup.before or not case.cgroup.after:
        return False
    before, after = case.cgroup.before[0].oom_kill, case.cgroup.after[0].oom_kill
    return before is not None and after is not None and after > before


def said(session: Session) -> dict[str, object]:
    """The fields of a case that a session fills."""
    return {
        "session": tuple(f for f in session.facts if not isinstance(f, ListenState)),
        "busy": session.busy,
        "last_cell": session.cell,
        "recalled_cell": None if session.cell else session.recalled,
        "cells": session.finished,
    }


def surrounded(case: Case, seen: LookedAround) -> dict[str, object]:
    """The fields that the look after a death fills, of the death that asked for it."""
    if case.process.key != seen.key:
        return {}
    looks = (*case.surroundings, *seen.surroundings)
    return {"surroundings": looks, "disk_free_bytes": seen.disk_free_bytes}


def is_next_life(case: Case, successor: Successor) -> bool:
    """Whether this process serves the kernel that this one served before."""
    if case.scope is not Scope.KERNEL or case.kernel is None or case.succession:
        return False
    return case.kernel.id == successor.kernel_id and case.process.pid != successor.pid


def case_of(death: Death, uuid: str, host: Host) -> Case:
    """A death as a case, before anything else is joined to it."""
    life = death.life
    case = Case(
        uuid=uuid,
        scope=death.scope,
        host=host,
        boot_id_now=host.boot_id,
        kernel=life.kernel,
        process=life.process.under(death.ended.rlimits) if death.ended.rlimits else life.process,
        server=life.server,
        kernels=death.kernels,
        died_at=death.ended.at,
        detected_at=death.ended.detected_at,
        watched_since=life.watched_since,
        readings=death.ended.readings,
        answered=death.answered,
        silent_at=death.silent_at,
        blind=tuple(_blind_of(death)),
    )
    return case.model_copy(update=said(death.session))


def _blind_of(death: Death) -> Iterable[Blind]:
    """What could not be known of this very kernel while it lived."""
    if death.scope is not Scope.KERNEL:
        return
    if death.file_problem:
        yield Blind(source="connection-file", reason=death.file_problem)
    if not death.session.listening and not death.session.heard:
        reasons = [f.reason for f in death.session.facts if isinstance(f, ListenState) and f.reason]
        reason = reasons[-1] if reasons else "iopub was not heard before the end"
        yield Blind(source="iopub", reason=reason)


def with_exit(case: Case, learned: ExitLearned) -> dict[str, object]:
    """The fields that a further account of its exit fills."""
    changes: dict[str, object] = {}
    if learned.reading is not None and learned.reading not in case.readings:
        changes["readings"] = (*case.readings, learned.reading)
        if learned.reading.how is ExitHow.PROC_CONNECTOR and case.observed:
            changes["died_at"] = min(case.died_at, learned.reading.at)
    if learned.peak is not None:
        peaks = merged(case.memory.peaks, (learned.peak,))
        changes["memory"] = case.memory.model_copy(update={"peaks": peaks})
    return changes


def merged(*groups: tuple[PeakReading, ...]) -> tuple[PeakReading, ...]:
    """Every account of the peak once, the largest of each kind."""
    best: dict[str, PeakReading] = {}
    for peak in (p for group in groups for p in group):
        if peak.how not in best or best[peak.how].peak_bytes < peak.peak_bytes:
            best[peak.how] = peak
    return tuple(best.values())


def seen_again(now: MemoryAccount, before: MemoryAccount) -> MemoryAccount:
    """A later look at a dead process's memory. Its end frees what it held of /dev/shm."""
    peaks = merged(now.peaks, before.peaks)
    return now.model_copy(update={"peaks": peaks, "shm": before.shm})


def discard(index: defaultdict[int, set[str]], number: int, uuid: str) -> None:
    index[number].discard(uuid)
    if not index[number]:
        del index[number]
