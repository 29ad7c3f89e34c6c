"""The running cell sends its own process a signal, and a signal ended it: it shot itself.

Source: `os.kill(os.getpid(), …)` and `signal.raise_signal` in the cell's syntax tree
(https://docs.python.org/3/library/signal.html#signal.raise_signal). The sender was not seen.
"""

from kerneld.model.case import Case
from kerneld.model.evidence import FAULT_SIGNALS, LIMIT_SIGNALS
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Evidence, Killer, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import exit_quote, signal_name, story

NEEDS = ("exit", "iopub")
REFINES = frozenset({Cause.KILLED})


def judge(case: Case) -> Verdict | None:
    number, cell = exit_of(case).signal, case.last_cell
    if case.scope is not Scope.KERNEL or cell is None or not case.busy or not cell.code.kills_itself:
        return None
    if number is None or number in FAULT_SIGNALS | LIMIT_SIGNALS:
        return None
    if oom_line(case) is not None or announced_shutdown(case) is not None:
        return None
    process = case.process
    return Verdict(
        cause=Cause.KILLED_BY_PROCESS,
        confidence=Confidence.LIKELY,
        summary=story(case, f"the kernel, whose code sends itself a signal, got {signal_name(number)}"),
        because=(
            exit_quote(case),
            Evidence(source="iopub", at=cell.at, text="the running cell sends itself a signal"),
        ),
        killer=Killer(
            pid=process.pid, comm=process.comm, uid=process.uid, user=process.user_name, how="self"
        ),
    )
