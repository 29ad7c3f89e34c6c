"""The server ended a kernel that had been idle for longer than its administrator allows.

Source: `cull_kernel_if_idle` in https://github.com/jupyter-server/jupyter_server (kernelmanager.py)
writes the kernel's id and the reason into the server's log, and then shuts the kernel down.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import asked_of_server, shot_by_another
from kerneld.model.exits import exit_of
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import act_quote, exit_quote

NEEDS = ("exit",)
REFINES = frozenset(
    {Cause.SHUTDOWN, Cause.SERVER_STOPPED, Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.HARD_EXIT}
)

ESCALATION = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def judge(case: Case) -> Verdict | None:
    end, act = exit_of(case), asked_of_server(case, "culled")
    if act is None or case.scope is not Scope.KERNEL or oom_line(case) is not None:
        return None
    if shot_by_another(case) or not (end.code == 0 or end.signal in (*ESCALATION, None)):
        return None
    return Verdict(
        cause=Cause.CULLED,
        confidence=Confidence.LIKELY,
        summary="Its server ended the kernel, which had been idle for longer than it may.",
        because=(act_quote(act), exit_quote(case)),
    )
