"""Native code touched memory that was not its own: SIGSEGV, general protection faults too.

Source: `show_signal_msg` in https://github.com/torvalds/linux/blob/v6.12/arch/x86/mm/fault.c; the line
names the thread and the library, and is missing where a handler (faulthandler, R's) was set.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.SEGFAULT,
    number=signal.SIGSEGV,
    kinds=("segfault", "gpf"),
    did="crashed with a segmentation fault",
    why="Compiled code, not Python itself, touched memory that was not its own.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
