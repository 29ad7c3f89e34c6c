"""A recursion in compiled code used up a thread's stack: SIGSEGV just where the stack ends.

Source: `acct_stack_growth` in https://github.com/torvalds/linux/blob/v6.12/mm/mmap.c (a main thread's
stack grows to RLIMIT_STACK), `allocate_stack` in glibc's nptl (a guard page below every other).
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import own_log
from kerneld.model.exits import exit_of
from kerneld.model.sizes import gib
from kerneld.model.stacks import stack_end
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Trust
from kerneld.model.wording import exit_quote, log_quote, place, story, subject

NEEDS = ("exit", "linux-log")
REFINES = frozenset({Cause.SEGFAULT})
WHY = "A function called itself too often, or held too much in local variables."


def judge(case: Case) -> Verdict | None:
    end, line = stack_end(case), own_log(case, "segfault")
    if end is None or line is None or exit_of(case).signal not in (signal.SIGSEGV, None):
        return None
    limit = case.process.stack_limit_bytes
    size = f" of {gib(limit)}" if limit else ""
    where = "is where the stack pointer stood, on a page that is not there"
    if end.at_bound:
        where = f"is the end of the main thread's stack{size}"
    did = f"{subject(case)} used up the stack{size} of a thread{place(case, line)}"
    text = f"the address {end.fault_address:x} {where}"
    sure = end.at_bound and line.event.trust is Trust.KERNEL
    return Verdict(
        cause=Cause.STACK_OVERFLOW,
        confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
        summary=f"{story(case, did)} {WHY}",
        because=(
            exit_quote(case),
            log_quote(line),
            Evidence(source="linux-log", at=line.at, text=text),
        ),
    )
