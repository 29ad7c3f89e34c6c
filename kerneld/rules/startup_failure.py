"""The kernel died before it ever answered: a missing module, a clash of ports, a crash on import.

Source: https://github.com/jupyter/notebook/issues/4222 (no ipykernel),
https://github.com/nteract/papermill/issues/511 (ports picked, then taken by another).
"""

from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import FAULT_SIGNALS, announced_shutdown, exit_of
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import duration, exit_quote, exit_words

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
SEEN_FROM_BIRTH = timedelta(seconds=2)
TOO_YOUNG_TO_ANSWER = timedelta(seconds=3)
"""ipykernel listens 0.9 s after its start: whose ports could not be looked at is judged by its age"""


def judge(case: Case) -> Verdict | None:
    end, age = exit_of(case), case.died_at - case.process.started_at
    if case.scope is not Scope.KERNEL or case.answered or age > YOUNG:
        return None
    if announced_shutdown(case) is not None or (end.code is None and end.signal not in FAULT_SIGNALS):
        return None
    looked = case.kernel is not None and case.kernel.connection is not None
    if not looked and age > TOO_YOUNG_TO_ANSWER:
        return None
    from_birth = case.observed and case.watched_since - case.process.started_at <= SEEN_FROM_BIRTH
    certain = looked and from_birth and end.code != 0
    silence = "it never listened on its ports, nor was it heard"
    return Verdict(
        cause=Cause.STARTUP_FAILURE,
        confidence=Confidence.CERTAIN if certain else Confidence.LIKELY,
        summary=(
            f"The kernel never came up: {duration(age)} after its start it {_ended(exit_words(case))}. "
            "Its own message went to the server's log."
        ),
        because=(
            exit_quote(case),
            Evidence(source="iopub", text=silence if looked else f"it lived {duration(age)}"),
        ),
    )


def _ended(words: str) -> str:
    return f"was {words}" if words.startswith("ended by") else words
