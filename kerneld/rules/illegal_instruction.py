"""The processor met an instruction that it does not have, or that marks the impossible: SIGILL.

Source: `do_trap` in https://github.com/torvalds/linux/blob/v6.12/arch/x86/kernel/traps.c; a build for a
newer processor: https://github.com/tensorflow/tensorflow/issues/18147
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.ILLEGAL_INSTRUCTION,
    number=signal.SIGILL,
    kinds=("invalid_opcode",),
    did="crashed with an illegal instruction",
    why="A compiled library was built for another processor, or its own check gave up.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
