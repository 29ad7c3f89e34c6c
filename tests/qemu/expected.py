"""What is right for each death that the machine plays, as the service and as a plain user see it."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Category, Cause, Confidence, ExitHow, LimitKind, PeakHow

CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE
MIB = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """cgroup: whose limit is told; "": the life's own.

    or_possible: what it may be instead where the status was lost or the cgroup gone. A zombie alone
    tells a plain user the status before Linux 6.6; it is reaped at once where the server was stopped
    or killed too, and systemd removes the cgroup as soon. What netlink tells of a process that takes
    long to end, as on an emulated machine, is not believed.
    """

    life: str
    role: str
    cause: Cause
    confidence: Confidence
    number: int | None = None
    code: int | None = None
    peak: PeakHow | None = None
    limit_mib: int = 300
    cgroup: str = ""
    or_possible: tuple[Cause, ...] = ()


_TEAM = {"limit_mib": 480, "cgroup": "/team.slice"}
_KILLED = {"number": signal.SIGKILL}
_LOSABLE = _KILLED | {"or_possible": (Cause.OOM_CGROUP, Cause.KILLED, Cause.UNKNOWN)}
_BY_LINE = _KILLED | {"peak": PeakHow.OOM_LINE}
WANTED = (
    Wanted("segfault", "service", Cause.SEGFAULT, CERTAIN, 11, peak=PeakHow.TASKSTATS, **_TEAM),
    Wanted("segfault", "plain", Cause.SEGFAULT, CERTAIN, 11, **_TEAM),
    Wanted("shutdown", "service", Cause.SHUTDOWN, LIKELY, **_TEAM),
    Wanted("shutdown", "plain", Cause.SHUTDOWN, LIKELY, or_possible=(Cause.UNKNOWN,), **_TEAM),
    Wanted("killed", "service", Cause.KILLED_BY_PROCESS, CERTAIN, **_KILLED, **_TEAM),
    Wanted("killed", "plain", Cause.KILLED, POSSIBLE, **_KILLED, **_TEAM),
    Wanted("oom-ancestor", "service", Cause.OOM_CGROUP, CERTAIN, **_BY_LINE, **_TEAM),
    Wanted("oom-ancestor", "plain", Cause.OOM_CGROUP, LIKELY, **_LOSABLE, **_TEAM),
    Wanted("oom-own", "service", Cause.OOM_CGROUP, CERTAIN, **_BY_LINE),
    Wanted("oom-own", "plain", Cause.OOM_CGROUP, LIKELY, **_LOSABLE),
    Wanted("oom-group", "service", Cause.OOM_CGROUP, CERTAIN, **_BY_LINE),
    Wanted("oom-group-server", "service", Cause.OOM_CGROUP, CERTAIN, **_BY_LINE),
    Wanted("oom-group", "plain", Cause.OOM_CGROUP, LIKELY, **_LOSABLE),
    Wanted("restarted", "service", Cause.KILLED_BY_MANAGER, CERTAIN, signal.SIGTERM, **_TEAM),
    Wanted("restarted", "plain", Cause.SERVER_STOPPED, LIKELY, **_TEAM),
    Wanted("server", "service", Cause.KILLED_BY_MANAGER, LIKELY, code=0, **_TEAM),
    Wanted("server", "plain", Cause.SERVER_STOPPED, CERTAIN, or_possible=(Cause.UNKNOWN,), **_TEAM),
    Wanted("stopped", "service", Cause.SERVER_STOPPED, CERTAIN, signal.SIGTERM),
    Wanted("stopped-own", "service", Cause.SERVER_STOPPED, LIKELY, or_possible=(Cause.UNKNOWN,)),
    Wanted("oomd", "service", Cause.OOM_DAEMON, CERTAIN, **_KILLED, limit_mib=600),
    Wanted(
        "oomd", "plain", Cause.KILLED, POSSIBLE, **_KILLED, limit_mib=600, or_possible=(Cause.UNKNOWN,)
    ),
)


def wrong(wanted: Wanted, end: Incident, own_cgroup: str) -> Iterator[str]:
    """In what an end differs from what is right."""
    memory, blind = end.memory, {one.source for one in end.blind}
    told: dict[str, tuple[object, object]] = {
        "limit kind": (memory.limit_kind, LimitKind.CGROUP),
        "limit": (memory.limit_bytes, wanted.limit_mib * MIB),
        "limit path": (memory.limit_path, wanted.cgroup or own_cgroup),
        "peak how": (memory.peak_how, wanted.peak or memory.peak_how),
    }
    if end.cause in wanted.or_possible and end.confidence is POSSIBLE:
        told["what was lost"] = (bool(blind & {"exit", "cgroup"}), True)
    elif wanted.cause.category is Category.REQUESTED:
        # who is slow to shut down gets a signal, and may leave before a server that does
        sure = end.confidence.rank >= LIKELY.rank or end.exit.how == ExitHow.LOST
        told["asked for"] = ((end.cause in (wanted.cause, Cause.SHUTDOWN), sure), (True, True))
    else:
        told["verdict"] = ((end.cause, end.confidence), (wanted.cause, wanted.confidence))
        told["exit"] = ((end.exit.signal, end.exit.code), (wanted.number, wanted.code))
        told["exit how"] = (end.exit.how in (ExitHow.PROCFS, ExitHow.PROC_CONNECTOR), True)
    for name, (got, right) in told.items():
        if got != right:
            yield f"{name} is {got}, and right is {right}"
    if wanted.role == "plain" and not blind & {"kmsg", "linux-log"}:
        yield f"it does not say that the Linux log was closed: {blind}"
