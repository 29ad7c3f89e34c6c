"""What several rules need of a case: the believed exit, the limits, the room that memory had left."""

import re
import signal
from dataclasses import dataclass
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.facts import (
    CgroupReading,
    Deed,
    ExitReading,
    LogEvent,
    LogRecord,
    ManagerAct,
    PeakReading,
    ShutdownAnnounced,
    SignalSent,
)
from kerneld.model.place import CrashTrace, FaultPlace
from kerneld.model.process import Limit
from kerneld.model.sizes import NEAR_LIMIT_SHARE, gib
from kerneld.model.vocabulary import ExitHow, LimitKind, PeakHow, ServerKind

UNSEEN_S = 1.0
"""a cgroup's usage is read once a second, and a kernel fills GiBs in one"""


@dataclass(frozen=True, slots=True)
class Exit:
    """A decoded wait status. Both None: the status is lost."""

    how: ExitHow
    signal: int | None
    code: int | None
    status_raw: int | None
    core_dumped: bool | None
    at_reading: ExitReading | None = None


def believed_exit(readings: tuple[ExitReading, ...]) -> Exit:
    """The proven account, earliest first; an unproven one counts for nothing: a masked 0 is a lie."""
    for reading in readings:
        if reading.proven and reading.status_raw is not None:
            raw = reading.status_raw
            signal = raw & 0x7F
            return Exit(
                how=reading.how,
                signal=signal or None,
                code=None if signal else raw >> 8 & 0xFF,
                status_raw=raw,
                core_dumped=bool(raw & 0x80) if reading.core_dumped is None else reading.core_dumped,
                at_reading=reading,
            )
    return Exit(ExitHow.LOST, None, None, None, None)


def exit_of(case: Case) -> Exit:
    return believed_exit(case.readings)


def disagreement(readings: tuple[ExitReading, ...]) -> str | None:
    """Two proven accounts that differ (the core-dump bit aside), told in words; else None."""
    told = {r.status_raw & ~0x80: r.how for r in readings if r.proven and r.status_raw is not None}
    if len(told) < 2:
        return None
    return " but ".join(f"{how} says status {raw:#x}" for raw, how in told.items())


_PEAK_ORDER = tuple(PeakHow)


def best_peak(case: Case) -> PeakReading | None:
    """The best account of the peak; among equals the largest."""
    told = oom_line(case)
    peaks = [*case.memory.peaks, *([] if told is None else _oom_peak(told.event))]
    if not peaks:
        return None
    return min(peaks, key=lambda p: (_PEAK_ORDER.index(PeakHow(p.how)), -p.peak_bytes))


def _oom_peak(event: LogEvent) -> list[PeakReading]:
    """What the victim held when Linux chose it."""
    held_bytes = oom_rss_bytes(event) if event.anon_rss_kb is not None else None
    return [] if held_bytes is None else [PeakReading(how=PeakHow.OOM_LINE, peak_bytes=held_bytes)]


def tightest_limit(case: Case) -> Limit | None:
    """The lowest ceiling over the process, the host's memory included."""
    limits = list(case.process.limits)
    if case.memory.host_total_bytes is not None:
        limits.append(Limit(kind=LimitKind.HOST, limit_bytes=case.memory.host_total_bytes))
    return min(limits, key=lambda limit: limit.limit_bytes, default=None)


@dataclass(frozen=True, slots=True)
class Headroom:
    """How much room the memory had left when last seen. near: None where that was not seen."""

    near: bool | None
    text: str


def near_cgroup_limit(case: Case) -> bool:
    """By the cgroup's last reading, which is up to UNSEEN_S old, or by the process's last sample."""
    coming = max(0.0, case.memory.growth_bytes_per_s or 0.0) * UNSEEN_S
    own = case.memory.last_bytes or 0
    return any(
        max(r.usage_bytes, own) + coming >= NEAR_LIMIT_SHARE * r.limit_bytes
        for r in (case.cgroup.before if case.cgroup else ())
        if r.limit_bytes and r.usage_bytes is not None
    )


def near_host_limit(case: Case) -> bool:
    total, free = case.memory.host_total_bytes, case.memory.host_available_bytes
    return bool(total and free is not None and free <= (1 - NEAR_LIMIT_SHARE) * total)


def headroom(case: Case) -> Headroom:
    """Room under the cgroups' limits and on the host at the last look before the death."""
    seen = [
        f"{r.path} used {gib(r.usage_bytes)} of {gib(r.limit_bytes)}"
        for r in (case.cgroup.before if case.cgroup else ())
        if r.limit_bytes and r.usage_bytes is not None
    ]
    total, free = case.memory.host_total_bytes, case.memory.host_available_bytes
    if total and free is not None:
        seen.append(f"the host had {gib(free)} of {gib(total)} available")
    if not seen:
        return Headroom(None, "memory was not seen before the death")
    return Headroom(near_cgroup_limit(case) or near_host_limit(case), "; ".join(seen))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A limit that the process had set on its own memory, or was given, and how near it came."""

    limit: Limit
    held_bytes: int


def reached_rlimit(case: Case) -> Ceiling | None:
    """The limit on address space or data that was nearly used up: there Linux refuses memory."""
    spaces = [peak.vm_bytes for peak in case.memory.peaks] + [case.memory.vm_bytes]
    held = {
        LimitKind.RLIMIT_AS: max((size for size in spaces if size), default=None),
        LimitKind.RLIMIT_DATA: case.memory.data_bytes,
    }
    for limit in case.process.limits:
        size = held.get(limit.kind)
        if size is not None and size >= NEAR_LIMIT_SHARE * limit.limit_bytes:
            return Ceiling(limit, size)
    return None


def own_log(case: Case, *kinds: str) -> LogRecord | None:
    """The first line of these kinds that names this process or a thread of it."""
    return next((record for record in case.log if record.event.kind in kinds), None)


SHUTDOWN_WINDOW = timedelta(seconds=15)
"""from the announcement to the end: jupyter_client escalates at 2.5 s and kills at 5 s"""


def announced_shutdown(case: Case) -> ShutdownAnnounced | None:
    """The last shutdown that the kernel itself announced shortly before its end."""
    for fact in reversed(case.session):
        if isinstance(fact, ShutdownAnnounced) and case.died_at - fact.at <= SHUTDOWN_WINDOW:
            return fact
    return None


TESTIFIES = {"kmsg": "linux-log", "exits": "exit", "cgroups": "cgroup", "discovery": "file"}
"""a source that goes blind is known by its own name, what it testifies to by the evidence's"""


def is_blind(case: Case, evidence: str) -> bool:
    """Whether a source of this kind of evidence (`exit`, `linux-log`, …) could not be read."""
    return any(TESTIFIES.get(blind.source, blind.source) == evidence for blind in case.blind)


FAULT_SIGNALS = frozenset(
    {signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV}
)
LIMIT_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGXFSZ, signal.SIGSYS})


def deadly_signal(case: Case) -> SignalSent | None:
    """The traced signal that ended the process: the last of the number that its status tells."""
    number = exit_of(case).signal
    return next((sent for sent in reversed(case.signals) if sent.signal == number), None)


def by_service_manager(sent: SignalSent) -> bool:
    """By PID 1, or by the systemd that is a user's own manager."""
    own = (sent.sender_comm, sent.sender_unit) == ("systemd", "init.scope")
    return not sent.by_linux and (sent.sender_pid == 1 or own)


def shot_by_server(case: Case) -> SignalSent | None:
    """The deadly signal, where the kernel's own server sent it: somebody had asked the server."""
    sent = deadly_signal(case)
    if sent is None or sent.by_linux or case.server is None:
        return None
    return sent if sent.sender_pid == case.server.key.pid else None


ENDS_ITS_OWN = (
    ServerKind.NBCLIENT, ServerKind.PAPERMILL, ServerKind.VSCODE, ServerKind.SPYDER, ServerKind.CONSOLE,
)  # fmt: skip
"""front ends that end their kernel by a signal when they are done with it, and tell nobody"""


def shot_by_front_end(case: Case) -> SignalSent | None:
    """The deadly signal, where it is its front end's own way to end a kernel."""
    own = case.server is not None and case.server.kind in ENDS_ITS_OWN
    return shot_by_server(case) if own else None


def may_be_front_ends(case: Case) -> bool:
    """Unseen, SIGTERM or SIGKILL and a file that goes at once: so VS Code and Spyder end a kernel."""
    kind = case.server.kind if case.server is not None else None
    by_signal = exit_of(case).signal in (signal.SIGTERM, signal.SIGKILL)
    if kind not in (ServerKind.VSCODE, ServerKind.SPYDER) or not by_signal:
        return False
    return file_removed_in_time(case) and not shot_by_another(case)


def shot_by_another(case: Case) -> bool:
    """Whether somebody else than Linux and the kernel's server is known to have sent it."""
    sent = deadly_signal(case)
    return sent is not None and not sent.by_linux and shot_by_server(case) is None


def act_upon(case: Case, *deeds: Deed) -> ManagerAct | None:
    """What a manager says last that it did of these; one that names the process counts first."""
    acts = [act for act in case.acts if act.did in deeds]
    return next((act for act in reversed(acts) if act.pid is not None), acts[-1] if acts else None)


def asked_of_server(case: Case, did: Deed) -> ManagerAct | None:
    """What the server's log says was asked of it for this kernel's life.

    An end is told before it comes; a restart once the next life answers, which began at once.
    """
    act = act_upon(case, did)
    if act is None or not -SHUTDOWN_WINDOW <= act.at - case.died_at <= RESTART_WINDOW:
        return None
    by_itself = act_upon(case, "autorestarted") is not None
    began = act.at >= case.died_at - LOG_SLACK and prompt_succession(case)
    return None if did == "restarted" and (by_itself or not began) else act


RESTART_WINDOW = timedelta(seconds=10)
"""the next kernel answers 1 to 2 s after its start, on a loaded machine later"""


def may_have_been_killed(case: Case) -> bool:
    """By SIGKILL, or with a status that nobody saw; who left with a code was not killed."""
    end = exit_of(case)
    return end.signal == signal.SIGKILL or end.how is ExitHow.LOST


def oom_beside(case: Case) -> LogRecord | None:
    """Linux's last line on a kill for memory of another process in the same cgroup."""
    own = case.process.cgroup.path if case.process.cgroup else None
    beside = [r for r in case.neighbours if own is not None and r.event.cgroup == own]
    return next((r for r in reversed(beside) if r.at <= case.died_at + LOG_SLACK), None)


OOM_WINDOW = timedelta(seconds=60)
"""from Linux's kill line to the exit: freeing hundreds of GiB, or a disk wait, takes that long"""
LOG_SLACK = timedelta(seconds=1)


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


REMOVAL_WINDOW = timedelta(seconds=2)
REMOVAL_SLACK = timedelta(seconds=0.5)
PROMPT_SUCCESSION = timedelta(seconds=1)
"""a restart that was asked for starts the next life 50 ms after the end; an autorestart polls 3 s"""


def file_removed_in_time(case: Case) -> bool:
    """The server cleans up 0.1 to 0.2 s after the end of a kernel that it was asked to end."""
    if case.file_removed is None:
        return False
    if case.succession is not None and case.succession.at < case.file_removed.at:
        return False  # that was the end of the next life
    gap = case.file_removed.at - case.died_at
    return -REMOVAL_SLACK <= gap <= REMOVAL_WINDOW + timedelta(seconds=case.died_at_uncertainty_s)


def lasting_server(case: Case) -> bool:
    """Its server outlives kernels, and was alive when this one ended."""
    if case.server is None or not case.server.kind.outlives_kernels:
        return False
    return case.server_end is None or case.server_end.at > case.died_at


def prompt_succession(case: Case) -> bool:
    return (
        case.succession is not None
        and lasting_server(case)
        and case.succession.at - case.died_at <= PROMPT_SUCCESSION
    )


PATIENCE: dict[int, timedelta] = {
    signal.SIGTERM: timedelta(seconds=2.2),
    signal.SIGKILL: timedelta(seconds=4.5),
}
"""how long a kernel must have been stuck before its server sends this; 2.50 s and 5.00 s measured"""


def may_hide_restart(case: Case) -> bool:
    """A stuck kernel that its server shot to restart it leaves no other trace than this."""
    patience = PATIENCE.get(exit_of(case).signal or 0)
    if patience is None or case.busy is False or not prompt_succession(case):
        return False
    return case.last_cell is None or case.died_at - case.last_cell.at >= patience


def ended_by_itself(readings: tuple[ExitReading, ...]) -> bool | None:
    """A server's end: by exit, SIGTERM or SIGINT (True), by a crash (False), unknown (None)."""
    end = believed_exit(readings)
    if end.code is not None:
        return True
    return None if end.signal is None else end.signal in (signal.SIGTERM, signal.SIGINT)


FAULT_KINDS = (
    "segfault", "gpf", "invalid_opcode", "int3", "divide_error", "bus_error", "seccomp", "mce",
)  # fmt: skip


def fault_line(case: Case) -> LogRecord | None:
    """The line by which Linux tells of this process's fault."""
    return own_log(case, *FAULT_KINDS)


def place_of(case: Case, record: LogRecord | None) -> FaultPlace | None:
    """Where the address of this line leads, if that was looked up."""
    known = case.place is not None and record is not None and case.place.ip == record.event.ip
    return case.place if known else None


def trace_of(case: Case) -> CrashTrace | None:
    """What faulthandler wrote as the process crashed, into a file of its user's."""
    return case.place.trace if case.place else None


def core_of(case: Case) -> ManagerAct | None:
    """What systemd-coredump says of this process's core."""
    act = act_upon(case, "dumped-core")
    return act if act is not None and act.signal == exit_of(case).signal else None


def awaits_core(case: Case) -> bool:
    """It dumped core, and who looks into cores may still tell of it."""
    dumped = bool(exit_of(case).core_dumped) and core_of(case) is None
    return dumped and not is_blind(case, "journal")


_OBJECT = re.compile(
    r"(?P<name>.+?)\[(?:(?P<offset>[0-9a-f]+),)?(?P<base>[0-9a-f]+)\+(?P<size>[0-9a-f]+)\]"
)


def fault_object(event: LogEvent) -> tuple[str | None, str | None]:
    """The file that a fault line names, and the offset in it: printed, or else ip less its base."""
    match = _OBJECT.fullmatch(event.object or "")
    if match is None:
        return event.object, None
    if match["offset"] is not None or event.ip is None:
        return match["name"], match["offset"]
    try:
        return match["name"], f"{int(event.ip, 16) - int(match['base'], 16):x}"
    except ValueError:
        return match["name"], None


GROWTH_OVER_S = 10.0


def growth_span_s(samples: tuple[tuple[float, int], ...]) -> float:
    """Over how many seconds the growth before the death was measured: it may have lived for less."""
    return min(GROWTH_OVER_S, samples[0][0]) if samples else GROWTH_OVER_S
