"""What several rules need of a case: the believed exit, the limits, the room that memory had left."""

from dataclasses import dataclass
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.facts import (
    ExitReading,
    LogRecord,
    PeakReading,
    ShutdownAnnounced,
)
from kerneld.model.process import Limit
from kerneld.model.vocabulary import ExitHow, LimitKind, PeakHow

NEAR_LIMIT_SHARE = 0.9
"""usage of a limit from which memory can't be ruled out: the rule for OOM counters uses the same"""


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
    peaks = case.memory.peaks
    if not peaks:
        return None
    return min(peaks, key=lambda p: (_PEAK_ORDER.index(PeakHow(p.how)), -p.peak_bytes))


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


def headroom(case: Case) -> Headroom:
    """Room under the cgroups' limits and on the host at the last look before the death."""
    seen: list[str] = []
    near = False
    for reading in case.cgroup.before if case.cgroup else ():
        if reading.limit_bytes and reading.usage_bytes is not None:
            near |= reading.usage_bytes >= NEAR_LIMIT_SHARE * reading.limit_bytes
            seen.append(f"{reading.path} used {gib(reading.usage_bytes)} of {gib(reading.limit_bytes)}")
    total, free = case.memory.host_total_bytes, case.memory.host_available_bytes
    if total and free is not None:
        near |= free <= (1 - NEAR_LIMIT_SHARE) * total
        seen.append(f"the host had {gib(free)} of {gib(total)} available")
    if not seen:
        return Headroom(None, "memory was not seen before the death")
    return Headroom(near, "; ".join(seen))


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


def is_blind(case: Case, source: str) -> bool:
    return any(blind.source == source for blind in case.blind)


def gib(size_bytes: int) -> str:
    """A size for people: 3.2 GiB, 410 MiB, 12 KiB."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor:
            value = size_bytes / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size_bytes} B"
