"""A case's accounts of other processes into the largest at death, each with its role.

Linux's own table in the OOM report comes first; where there is none, looks before the death and after.
"""

from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import near_cgroup_limit, near_host_limit
from kerneld.model.incident import Bystander
from kerneld.model.oom import oom_rss_bytes
from kerneld.model.readings import Surroundings
from kerneld.model.records import LogRecord, TaskRow
from kerneld.model.vocabulary import Cause, LimitKind, Scope

MOST = 10
FRESH = timedelta(seconds=10)
"""so long before a death the last look may lie, and so long after it the first one"""
OF_CGROUP = (Cause.OOM_CGROUP,)
OF_MEMORY = (*OF_CGROUP, Cause.OOM_HOST, Cause.OOM_DAEMON)


def bystanders(case: Case, cause: Cause) -> tuple[Bystander, ...]:
    """At most MOST, largest first; whoever has a role is among them.

    victim: who died. hog: who held most, where memory had run out, or nearly. trigger: whose wish for
    memory could not be met. Who is two of these is told as the first of them.
    """
    report = _report(case)
    rows = _of_report(report) if report else _of_looks(case, cause)
    if not rows:
        return ()
    own = _own_row(case, report)
    if own is not None and own.pid not in rows:
        rows[case.process.pid] = own
    largest = sorted(rows.values(), key=lambda row: row.rss_bytes, reverse=True)
    is_short = cause in OF_MEMORY or near_cgroup_limit(case) or near_host_limit(case)
    hog = largest[0].pid if report or is_short else None
    roles = {_asker(report): "trigger", hog: "hog", case.process.pid: "victim"}
    names = _names(case)
    told = [
        row.model_copy(update={"role": roles.get(row.pid, "other"), "user": names.get(row.uid)})
        for row in largest
    ]
    spare = MOST - sum(row.role != "other" for row in told)
    others = [row for row in told if row.role == "other"][:spare]
    return tuple(row for row in told if row.role != "other" or row in others)


def _report(case: Case) -> LogRecord | None:
    """The OOM report of this death, else a neighbour's for the same memory: the host's or a limit's."""
    limits = {limit.path for limit in case.process.limits}
    shared = [r for r in case.neighbours if r.event.oom_cgroup in {None, *limits}]
    return next((r for r in (*case.log, *shared) if r.event.is_oom and r.event.top), None)


def _of_report(report: LogRecord) -> dict[int | None, Bystander]:
    asker = report.event.invoker
    return {row.pid: _row(row) for row in (*report.event.top, *([asker] if asker else []))}


def _row(row: TaskRow) -> Bystander:
    return Bystander(pid=row.pid, comm=row.comm, uid=row.uid, rss_bytes=row.rss_kb * 1024, role="other")


def _asker(report: LogRecord | None) -> int | None:
    """By its row; where the report gives its name only, it must be the only one of that name."""
    if report is None:
        return None
    if report.event.invoker is not None:
        return report.event.invoker.pid
    if report.event.invoker_pid is not None:
        return None
    named = [row.pid for row in report.event.top if row.comm == report.event.invoker_comm]
    return named[0] if len(named) == 1 else None


def _of_looks(case: Case, cause: Cause) -> dict[int | None, Bystander]:
    """Under the tightest limit where that was reached, else of the whole host."""
    cgroups = [limit.path for limit in case.process.limits if limit.kind is LimitKind.CGROUP]
    by_cgroup = cause in OF_CGROUP or (cause not in OF_MEMORY and near_cgroup_limit(case))
    under = cgroups[0] if cgroups and by_cgroup else None
    looks = [look for look in case.surroundings if look.cgroup == under]
    before = [look for look in looks if case.died_at - FRESH <= look.at <= case.died_at]
    after = [look for look in looks if case.died_at < look.at <= case.died_at + FRESH]
    seen: tuple[Surroundings, ...] = (*before[-1:], *after[:1])
    return {
        one.pid: Bystander(
            pid=one.pid, comm=one.comm, uid=one.uid, rss_bytes=one.rss_bytes, role="other"
        )
        for look in seen
        for one in look.largest
    }


def _own_row(case: Case, report: LogRecord | None) -> Bystander | None:
    """Who died is gone by the look after it, and may be too small for the report's largest."""
    size = oom_rss_bytes(report.event) if report in case.log and report else None
    if size is None and case.scope is not Scope.WORKER:
        size = case.memory.last_bytes
    if size is None:
        return None
    process = case.process
    return Bystander(pid=process.pid, comm=process.comm, uid=process.uid, rss_bytes=size, role="other")


def _names(case: Case) -> dict[int | None, str | None]:
    """Users' names, as far as a look or the process itself has told them."""
    seen = [one for look in case.surroundings for one in look.largest]
    return {**{one.uid: one.user_name for one in seen}, case.process.uid: case.process.user_name}
