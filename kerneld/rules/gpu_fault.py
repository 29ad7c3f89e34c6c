"""The NVIDIA driver reported an error (Xid) of this very process, which ended seconds later.

Source: https://docs.nvidia.com/deploy/xid-errors/ (the catalog). The line names the process; that it
ended of it is concluded: CUDA hands the error to the program, which as a rule can't go on.
"""

from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import FAULT_SIGNALS
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.records import LogRecord
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import exit_quote, log_quote, story, subject

NEEDS = ("exit", "linux-log")
REFINES = frozenset(
    {
        Cause.ABORT,
        Cause.SEGFAULT,
        Cause.BUS_ERROR,
        Cause.ILLEGAL_INSTRUCTION,
        Cause.TRAP,
        Cause.HARD_EXIT,
    }
)

WINDOW = timedelta(seconds=10)
CONSEQUENCES = (45,)
"""the driver clears up after a process that has ended of something else"""
MEANINGS = {
    13: "code on the GPU read or wrote out of range, or met an illegal instruction",
    31: "code on the GPU used an address that is not its own",
    43: "the GPU stopped this process's work after an error of its own",
    48: "the GPU's memory has an error that can't be corrected",
    74: "an NVLink failed",
    79: "the GPU has fallen off the bus",
    94: "the GPU's memory has an error, contained in this process",
    95: "the GPU's memory has an error that was not contained",
    109: "the GPU did not switch to other work in time",
    119: "the GPU's own processor did not answer in time",
}


def judge(case: Case) -> Verdict | None:
    record, end = _last_xid(case), exit_of(case)
    if record is None or announced_shutdown(case) is not None:
        return None
    if not (end.code or end.signal in FAULT_SIGNALS):
        return None
    number = record.event.xid
    meaning = MEANINGS.get(number or 0)
    told = f" ({meaning})" if meaning else ""
    what = f"{subject(case)} ended after the graphics processor's error Xid {number}{told}"
    return Verdict(
        cause=Cause.GPU_FAULT,
        confidence=Confidence.LIKELY,
        summary=story(case, what),
        because=(log_quote(record), exit_quote(case)),
    )


def _last_xid(case: Case) -> LogRecord | None:
    window = WINDOW + timedelta(seconds=case.died_at_uncertainty_s)
    for record in reversed(case.log):
        recent = case.died_at - record.at <= window
        if record.event.kind == "xid" and record.event.xid not in CONSEQUENCES and recent:
            return record
    return None
