"""Accounts of an exit into the one that is believed."""

from typing import NamedTuple

from kerneld.model.case import Case
from kerneld.model.readings import ExitReading
from kerneld.model.vocabulary import ExitHow


class Exit(NamedTuple):
    """A decoded wait status. Both None: the status is lost.

    Every rule asks for it: a frozen dataclass took four times as long to make.
    """

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
