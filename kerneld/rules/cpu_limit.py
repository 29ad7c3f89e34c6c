"""The limit on processor time (RLIMIT_CPU) was used up: SIGXCPU.

Source: https://man7.org/linux/man-pages/man2/getrlimit.2.html; with the soft limit equal to the hard
one Linux sends SIGKILL instead, which says nothing of it.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.CPU_LIMIT,
    number=signal.SIGXCPU,
    kinds=(),
    did="used up its limit of processor time",
    why="The limit is RLIMIT_CPU (ulimit -t).",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
