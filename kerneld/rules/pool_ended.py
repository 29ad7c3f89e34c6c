"""A worker was ended by SIGTERM while its kernel lives: so a pool ends its workers when it closes.

Source: `Pool._terminate_pool` in https://github.com/python/cpython/blob/main/Lib/multiprocessing/pool.py
"""

import signal

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import exit_quote

NEEDS = ("exit",)
REFINES = frozenset({Cause.KILLED, Cause.KILLED_BY_PROCESS})


def judge(case: Case) -> Verdict | None:
    if case.scope is not Scope.WORKER or exit_of(case).signal != signal.SIGTERM:
        return None
    return Verdict(
        cause=Cause.SHUTDOWN,
        confidence=Confidence.LIKELY,
        summary="A worker process was ended by SIGTERM, as a pool does when it is closed.",
        because=(exit_quote(case),),
    )
