"""Linux's trace of signals names who sent the one that ended the process.

Source: the event signal_generate, include/trace/events/signal.h: the sender is the task that runs, and
si_code tells a system call (0 or less) from Linux's own doing.
"""

from kerneld.model.case import Case
from kerneld.model.evidence import FAULT_SIGNALS, LIMIT_SIGNALS, by_slurm, deadly_signal
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import (
    cancelled_job,
    exit_quote,
    killer_of,
    sender_name,
    sender_quote,
    signal_name,
    story,
    subject,
)

NEEDS = ("exit", "signal-trace")
REFINES = frozenset(
    {
        Cause.KILLED, Cause.SEGFAULT, Cause.BUS_ERROR, Cause.ILLEGAL_INSTRUCTION,
        Cause.ARITHMETIC_FAULT, Cause.ABORT, Cause.TRAP, Cause.CPU_LIMIT, Cause.FILE_SIZE_LIMIT,
        Cause.SECCOMP,
    }
)  # fmt: skip


def judge(case: Case) -> Verdict | None:
    sent = deadly_signal(case)
    if sent is None or sent.by_linux or oom_line(case) is not None:
        return None
    own = sent.sender_pid == case.process.pid
    if own and sent.signal in FAULT_SIGNALS | LIMIT_SIGNALS:
        return None  # abort(3) and faulthandler send themselves what they stand for
    who = "the process itself" if own else sender_name(sent)
    cancelled = cancelled_job(case) if by_slurm(sent) else ()
    why = ", because its job was cancelled" if cancelled else ""
    return Verdict(
        cause=Cause.KILLED_BY_PROCESS,
        confidence=Confidence.CERTAIN,
        summary=story(case, f"{who} ended {subject(case)} by {signal_name(sent.signal)}{why}"),
        because=(sender_quote(sent), *cancelled, exit_quote(case)),
        killer=killer_of(sent, how="self" if own else "signal-trace"),
    )
