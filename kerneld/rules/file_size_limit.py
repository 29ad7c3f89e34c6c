"""A file grew past the limit on its size (RLIMIT_FSIZE): SIGXFSZ.

Source: https://man7.org/linux/man-pages/man2/getrlimit.2.html; Python ignores the signal by default,
so this is native code or a kernel of another language.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.FILE_SIZE_LIMIT,
    number=signal.SIGXFSZ,
    kinds=(),
    did="wrote a file larger than its limit allows",
    why="The limit is RLIMIT_FSIZE (ulimit -f).",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
