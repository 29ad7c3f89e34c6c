"""A breakpoint instruction without a debugger, or a compiler's trap: SIGTRAP.

Source: `do_int3` in https://github.com/torvalds/linux/blob/v6.12/arch/x86/kernel/traps.c
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.TRAP,
    number=signal.SIGTRAP,
    kinds=("int3",),
    did="hit a trap instruction",
    why="A compiled library stopped itself at a check, or a breakpoint was left without a debugger.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
