"""The kernel died before it ever answered: a missing module, a clash of ports, a crash on import.

Never certain: it was not heard, and 65 ms lie between a kernel's open ports and its first answer.

Source: https://github.com/jupyter/notebook/issues/4222 (no ipykernel),
https://github.com/nteract/papermill/issues/511 (ports picked, then taken by another).
"""

from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import FAULT_SIGNALS, act_upon
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import act_quote, duration, exit_quote, exit_words

NEEDS = ("exit",)
REFINES = frozenset(
    {
        Cause.HARD_EXIT,
        Cause.SEGFAULT,
        Cause.BUS_ERROR,
        Cause.ILLEGAL_INSTRUCTION,
        Cause.ARITHMETIC_FAULT,
        Cause.ABORT,
        Cause.TRAP,
        Cause.SHM_FULL,
        Cause.ALLOCATION_FAILURE,
        Cause.STACK_OVERFLOW,
    }
)

YOUNG = timedelta(seconds=90)
"""jupyter_client waits 60 s for the first answer (startup_timeout)"""
SEEN_SILENT = timedelta(seconds=0.6)
"""between a look at its ports and its end: four looks a second are told. On a crowded machine they come
late, and who came up meanwhile, ran a cell and ended is none that never did"""
FEW_LISTEN = timedelta(seconds=1)
"""whose ports nobody looked at is judged by its age; ipykernel listens 0.13 to 0.9 s after its start"""


def judge(case: Case) -> Verdict | None:
    end, age = exit_of(case), case.died_at - case.process.started_at
    if case.scope is not Scope.KERNEL or case.answered or age > YOUNG:
        return None
    if announced_shutdown(case) is not None or (end.code is None and end.signal not in FAULT_SIGNALS):
        return None
    silent = _was_silent(case)
    if not silent and age > FEW_LISTEN:
        return None
    told = act_upon(case, "start-failed")
    why = ""
    if told:
        why = f" The server's log says: {told.line}."
    elif end.code is not None:
        why = " Its own message went to the server's log."
    silence = "a look at its ports found that it did not listen, and it was not heard"
    return Verdict(
        cause=Cause.STARTUP_FAILURE,
        confidence=Confidence.LIKELY,
        summary=(
            f"The kernel never came up: {duration(age)} after its start it {_ended(exit_words(case))}."
            f"{why}"
        ),
        because=(
            exit_quote(case),
            Evidence(source="iopub", text=silence if silent else f"it lived {duration(age)}"),
            *([act_quote(told)] if told else []),
        ),
    )


def _was_silent(case: Case) -> bool:
    """Whether a look at its ports just before its end found that it did not listen.

    Who ends in good order closes its ports first: with a status 0 the look tells nothing.
    """
    if case.silent_at is None or exit_of(case).code == 0:
        return False
    return case.died_at - case.silent_at <= SEEN_SILENT


def _ended(words: str) -> str:
    return f"was {words}" if words.startswith("ended by") else words
