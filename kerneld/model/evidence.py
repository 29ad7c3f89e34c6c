"""What several rules need of a case: the believed exit, the limits, the room that memory had left."""

import signal
from dataclasses import dataclass
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.intent import SHUTDOWN_WINDOW, file_removed_in_time, prompt_succession
from kerneld.model.oom import LOG_SLACK, oom_line, oom_rss_bytes
from kerneld.model.process import Limit
from kerneld.model.readings import PeakReading
from kerneld.model.records import Deed, LogEvent, LogRecord, ManagerAct, SignalSent
from kerneld.model.sizes import NEAR_LIMIT_SHARE, gib
from kerneld.model.vocabulary import ExitHow, LimitKind, PeakHow, ServerKind

UNSEEN_S = 1.0
"""a cgroup's usage is read once a second, and a kernel fills GiBs in one"""


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


def by_slurm(sent: SignalSent) -> bool:
    """By a step's daemon, which may be gone before it is looked at; its name alone is anybody's."""
    return not sent.by_linux and sent.sender_comm == "slurmstepd" and sent.sender_uid in (0, None)


def by_manager(sent: SignalSent, act: ManagerAct) -> bool:
    """Whether it was sent by the manager that says so."""
    return by_slurm(sent) if act.manager == "Slurm" else by_service_manager(sent)


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
    """What a manager says last that it did of these.

    What is vouched for counts first, then what names the process.
    """
    acts = (act for act in reversed(case.acts) if act.did in deeds)
    return max(acts, key=lambda act: (act.is_vouched, act.pid is not None), default=None)


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


GROWTH_OVER_S = 10.0


def growth_span_s(samples: tuple[tuple[float, int], ...]) -> float:
    """Over how many seconds the growth before the death was measured: it may have lived for less."""
    return min(GROWTH_OVER_S, samples[0][0]) if samples else GROWTH_OVER_S
