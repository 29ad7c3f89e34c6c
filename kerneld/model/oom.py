"""What speaks for an OOM kill in a case: lines that name it, and what its cgroup counted."""

from dataclasses import dataclass
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.readings import CgroupReading
from kerneld.model.records import LogEvent, LogRecord
from kerneld.model.sizes import NEAR_LIMIT_SHARE

OOM_WINDOW = timedelta(seconds=60)
"""from Linux's kill line to the exit: freeing hundreds of GiB, or a disk wait, takes that long"""


LOG_SLACK = timedelta(seconds=1)


def oom_beside(case: Case) -> LogRecord | None:
    """Linux's last line on a kill for memory of another process in the same cgroup."""
    own = case.process.cgroup.path if case.process.cgroup else None
    beside = [r for r in case.neighbours if own is not None and r.event.cgroup == own]
    return next((r for r in reversed(beside) if r.at <= case.died_at + LOG_SLACK), None)


def oom_line(case: Case) -> LogRecord | None:
    """The line by which Linux says that it killed this very process for memory."""
    slack = LOG_SLACK + timedelta(seconds=case.died_at_uncertainty_s)
    for record in case.log:
        in_time = -slack <= case.died_at - record.at <= OOM_WINDOW + slack
        born = record.at >= case.process.started_at - LOG_SLACK
        if (
            record.event.is_oom
            and case.process.pid in (record.event.pid, record.tgid)
            and born & in_time
        ):
            return record
    return None


def is_cgroup_oom(event: LogEvent) -> bool:
    return (
        event.kind == "oom_memcg"
        or event.constraint == "CONSTRAINT_MEMCG"
        or event.oom_cgroup is not None
    )


def same_comm(case: Case, event: LogEvent) -> bool:
    """Whether the line's name can be this process's: Linux cuts names at 15 bytes."""
    return event.comm is None or event.comm[:15] == case.process.comm[:15]


def oom_rss_bytes(event: LogEvent) -> int | None:
    """What the victim held when it was killed: the sum of the parts that its OOM line prints."""
    parts = [n for n in (event.anon_rss_kb, event.file_rss_kb, event.shmem_rss_kb) if n is not None]
    return sum(parts) * 1024 if parts else None


def limit_of(case: Case, path: str | None) -> int | None:
    """The limit of the cgroup at this path, else the tightest one over the process."""
    known: list[tuple[str | None, int | None]] = [
        (reading.path, reading.limit_bytes) for reading in (case.cgroup.before if case.cgroup else ())
    ]
    known += [(limit.path, limit.limit_bytes) for limit in case.process.limits]
    return next((size for where, size in known if size and where == path), None)


@dataclass(frozen=True, slots=True)
class OomCounters:
    """What the counters of the victim's cgroup say of its last moments.

    kills: by how much its own oom_kill rose, less those that the log ascribes to others.
    limit_hit: a limit over it was reached in that window; None: that can't be told.
    """

    kills: int
    limit_hit: bool | None
    own_path: str
    text: str


def oom_counters(case: Case) -> OomCounters | None:
    """The rise of the OOM counters across the death; None where they can't be compared."""
    if case.cgroup is None or not case.cgroup.before:
        return None
    after = {reading.path: reading for reading in case.cgroup.after}
    pairs = [(b, after[b.path]) for b in case.cgroup.before if b.path in after]
    own = case.cgroup.before[0]
    now = after.get(own.path)
    if now is None or own.oom_kill is None or now.oom_kill is None:
        return None
    others = sum(
        r.event.cgroup == own.path and own.at - LOG_SLACK <= r.at <= now.at + LOG_SLACK
        for r in case.neighbours
    )
    return OomCounters(
        kills=now.oom_kill - own.oom_kill - others,
        limit_hit=_limit_hit(pairs),
        own_path=own.path,
        text=f"oom_kill of {own.path} rose from {own.oom_kill} to {now.oom_kill}",
    )


def _limit_hit(pairs: list[tuple[CgroupReading, CgroupReading]]) -> bool | None:
    """v2: `oom` rose where a limit stands. v1 has no such counter: its usage and its peak tell."""
    seen: list[bool | None] = []
    for index, (before, after) in enumerate(pairs):
        if before.version == 2 and before.oom is not None and after.oom is not None:
            if index == 0 or before.limit_bytes:
                seen.append(after.oom > before.oom)
        elif before.version == 1 and before.limit_bytes and before.usage_bytes is not None:
            seen.append(_came_near(before, after, NEAR_LIMIT_SHARE * before.limit_bytes))
    if not seen or (None in seen and True not in seen):
        return None
    return True in seen


def _came_near(before: CgroupReading, after: CgroupReading, near_bytes: float) -> bool | None:
    """Usage is looked at now and then, and fills in milliseconds: only a low peak says that it did not.

    A peak that was that high before can't tell of a second time.
    """
    if (before.usage_bytes or 0) >= near_bytes:
        return True
    if after.peak_bytes is not None and after.peak_bytes < near_bytes:
        return False
    if before.peak_bytes is None or after.peak_bytes is None or before.peak_bytes >= near_bytes:
        return None
    return True
