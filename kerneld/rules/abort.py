"""Native code gave up by abort(): a failed check of malloc, C++ or Rust, or Python's fatal error.

Source: https://man7.org/linux/man-pages/man3/abort.3.html; Linux writes no line for it, and ipykernel
keeps stderr, where the reason went, to itself.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.ABORT,
    number=signal.SIGABRT,
    kinds=(),
    did="aborted",
    why="A library, or Python itself, met a state that it could not go on from; it told stderr why.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
