"""A cell called exit() or quit(): the kernel left by itself, with status 0, after going idle.

Source: `ask_exit` in https://github.com/ipython/ipykernel/blob/main/ipykernel/zmqshell.py. Jupyter
takes it for a crash and restarts the kernel; no shutdown is announced on iopub.
"""

from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.said import KernelStatus
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import cell_name, exit_quote

NEEDS = ("exit", "iopub")
REFINES = frozenset({Cause.HARD_EXIT})

PROMPT = timedelta(seconds=5)
"""from idle to the end; 0.25 s was measured"""


def judge(case: Case) -> Verdict | None:
    cell = case.last_cell
    if case.scope is not Scope.KERNEL or exit_of(case).code != 0 or case.busy:
        return None
    if cell is None or not cell.code.calls_exit or announced_shutdown(case) is not None:
        return None
    idle = [f.at for f in case.session if isinstance(f, KernelStatus) and f.state == "idle"]
    prompt = bool(idle) and case.died_at - idle[-1] <= PROMPT
    return Verdict(
        cause=Cause.EXIT_CALL,
        confidence=Confidence.CERTAIN if prompt else Confidence.POSSIBLE,
        summary=(
            f"{cell_name(cell.execution_count)} called exit() or quit(), and the kernel left by "
            "itself. Jupyter shows that as a crash."
        ),
        because=(
            exit_quote(case),
            Evidence(source="iopub", at=cell.at, text="the last cell calls exit() or quit()"),
        ),
    )
