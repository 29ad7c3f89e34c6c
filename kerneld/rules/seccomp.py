"""A system call that a sandbox's filter forbids: SIGSYS, with an audit line of type 1326.

Source: https://man7.org/linux/man-pages/man2/seccomp.2.html
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.SECCOMP,
    number=signal.SIGSYS,
    kinds=("seccomp",),
    did="made a system call that its sandbox forbids",
    why="A container's or service's seccomp filter ended it.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
