"""The server crashed or was killed, and the kernel left because of it.

Source: `ParentPollerUnix` in https://github.com/ipython/ipykernel/blob/main/ipykernel/parentpoller.py:
it looks every second, and exits with status 1. A unit's other processes get SIGTERM from systemd.
"""

import signal
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown, ended_by_itself
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import exit_quote, server_quote, story

NEEDS = ("exit",)
REFINES = frozenset({Cause.HARD_EXIT, Cause.STARTUP_FAILURE, Cause.KILLED, Cause.KILLED_BY_PROCESS})

WINDOW = timedelta(seconds=10)
"""one second on a machine at rest; on one that thrashes, as when it killed the server, many"""
SLACK = timedelta(seconds=0.5)


def judge(case: Case) -> Verdict | None:
    end, server = exit_of(case), case.server_end
    if case.scope is not Scope.KERNEL or server is None or announced_shutdown(case) is not None:
        return None
    by_itself = ended_by_itself(server.readings)
    window = WINDOW + timedelta(seconds=case.died_at_uncertainty_s)
    if by_itself or not -SLACK <= case.died_at - server.at <= window:
        return None
    if end.code != 1 and end.signal not in (signal.SIGTERM, signal.SIGHUP):
        return None
    confidence = Confidence.CERTAIN if end.code == 1 else Confidence.LIKELY
    return Verdict(
        cause=Cause.PARENT_DIED,
        confidence=Confidence.POSSIBLE if by_itself is None else confidence,
        summary=story(case, f"its server (pid {server.pid}) died, and the kernel left because of it"),
        because=(server_quote(server), exit_quote(case)),
    )
