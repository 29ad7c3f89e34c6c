"""Verdict: what a rule concludes from a case, with what speaks for it and against it."""

from kerneld.model.base import Record, Timestamp
from kerneld.model.vocabulary import Cause, Confidence


class Evidence(Record):
    """One piece of evidence, quoted.

    source: exit, linux-log, signal-trace, journal, log, faulthandler, iopub, cgroup, memory, file,
    server.
    """

    source: str
    at: Timestamp | None = None
    text: str


class Killer(Record):
    """Who sent the deadly signal. how: signal-trace, log, audit, self."""

    pid: int
    comm: str | None = None
    uid: int | None = None
    user: str | None = None
    unit: str | None = None
    how: str


class Blind(Record):
    """What could not be looked at, and why."""

    source: str
    reason: str


class Alternative(Record):
    """A losing theory that reached *possible*."""

    cause: Cause
    confidence: Confidence
    because: str


class Verdict(Record):
    """One theory of a death. summary: one or two sentences that a data scientist understands."""

    cause: Cause
    confidence: Confidence
    summary: str
    because: tuple[Evidence, ...]
    against: tuple[Evidence, ...] = ()
    blind: tuple[Blind, ...] = ()
    killer: Killer | None = None


class Judgement(Record):
    """What diagnosis makes of a case: the winner, the losers that reached possible, the notes."""

    verdict: Verdict
    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[str, ...] = ()
