"""A memory module gave wrong data for a page of this process, and Linux ended it: SIGBUS or SIGKILL.

Source: `kill_proc` in https://github.com/torvalds/linux/blob/v6.12/mm/memory-failure.c and `do_sigbus`
in arch/x86/mm/fault.c: the line names the process that the signal goes to.
"""

import signal
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import own_log
from kerneld.model.exits import exit_of
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Trust
from kerneld.model.wording import exit_quote, log_quote, story, subject

NEEDS = ("exit", "linux-log")
REFINES = frozenset({Cause.BUS_ERROR, Cause.SHM_FULL, Cause.KILLED, Cause.UNKNOWN})

WINDOW = timedelta(seconds=10)
"""a process may be told of a page long before it uses it, and handle the signal then"""


def judge(case: Case) -> Verdict | None:
    line, end = own_log(case, "mce"), exit_of(case)
    if line is None or end.signal not in (signal.SIGBUS, signal.SIGKILL, None) or end.code is not None:
        return None
    if case.died_at - line.at > WINDOW + timedelta(seconds=case.died_at_uncertainty_s):
        return None
    sure = line.event.trust is Trust.KERNEL
    return Verdict(
        cause=Cause.HARDWARE_MEMORY_ERROR,
        confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
        summary=(
            f"{story(case, f'a memory module failed under {subject(case)}, and Linux ended it')} "
            "Neither the notebook nor a library is to blame."
        ),
        because=(log_quote(line), exit_quote(case)),
    )
