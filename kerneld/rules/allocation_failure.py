"""Memory was refused at the process's own limit, and code that can't go on without gave up: SIGABRT.

Source: https://en.cppreference.com/w/cpp/memory/new/operator_new (std::bad_alloc, uncaught: abort), and
getrlimit(2) on RLIMIT_AS and RLIMIT_DATA, at which mmap and brk fail. What stderr said is not seen.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import reached_rlimit
from kerneld.model.exits import exit_of
from kerneld.model.sizes import gib
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, LimitKind
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "memory")
REFINES = frozenset({Cause.ABORT})

NAMES = {
    LimitKind.RLIMIT_AS: "address space (ulimit -v)",
    LimitKind.RLIMIT_DATA: "data (ulimit -d)",
}


def judge(case: Case) -> Verdict | None:
    end, ceiling = exit_of(case), reached_rlimit(case)
    if ceiling is None or not (end.signal == signal.SIGABRT or (end.code and case.busy)):
        return None
    by_itself = bool(case.busy and case.last_cell and case.last_cell.code.kills_itself)
    likely = end.signal == signal.SIGABRT and not by_itself
    limit = gib(ceiling.limit.limit_bytes)
    text = f"it had {gib(ceiling.held_bytes)} of the {limit} that its limit on "
    text += f"{NAMES[ceiling.limit.kind]} allows"
    what = f"{subject(case)} was refused memory at its limit of {limit}, and gave up"
    return Verdict(
        cause=Cause.ALLOCATION_FAILURE,
        confidence=Confidence.LIKELY if likely else Confidence.POSSIBLE,
        summary=(
            f"{story(case, what)} "
            "Python raises a MemoryError then; compiled code often ends the process."
        ),
        because=(exit_quote(case), Evidence(source="memory", at=case.memory.last_at, text=text)),
    )
