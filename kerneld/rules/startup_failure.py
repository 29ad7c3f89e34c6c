"""The kernel died before it ever answered: a missing module, a clash of ports, a crash on import.

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
SEEN_FROM_BIRTH = timedelta(seconds=2)
SEEN_SILENT = timedelta(seconds=2.5)
"""its ports are looked at each second; on a machine that thrashes less often"""
NOTHING_LISTENS, FEW_LISTEN, MOST_LISTEN = (timedelta(seconds=s) for s in (0.5, 1, 3))
"""ages: ipykernel listens 0.9 s after its start. Whose ports nobody looked at is judged by its age"""


def judge(case: Case) -> Verdict | None:
    end, age = exit_of(case), case.died_at - case.process.started_at
    if case.scope is not Scope.KERNEL or case.answered or age > YOUNG:
        return None
    if announced_shutdown(case) is not None or (end.code is None and end.signal not in FAULT_SIGNALS):
        return None
    silent = case.silent_at is not None and case.died_at - case.silent_at <= SEEN_SILENT
    if not silent and age > MOST_LISTEN:
        return None
    told = act_upon(case, "start-failed")
    why = (
        f" The server's log says: {told.line}."
        if told
        else " Its own message went to the server's log."
    )
    silence = "a look at its ports found that it did not listen, and it was not heard"
    return Verdict(
        cause=Cause.STARTUP_FAILURE,
        confidence=_confidence(case, age, silent=silent),
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


def _confidence(case: Case, age: timedelta, *, silent: bool) -> Confidence:
    """That nobody heard it says little on its own: a loaded machine looks late."""
    from_birth = case.observed and case.watched_since - case.process.started_at <= SEEN_FROM_BIRTH
    looked = case.kernel is not None and case.kernel.connection is not None
    if (silent or (looked and age <= NOTHING_LISTENS)) and from_birth and exit_of(case).code != 0:
        return Confidence.CERTAIN
    return Confidence.LIKELY if silent or age <= FEW_LISTEN else Confidence.POSSIBLE


def _ended(words: str) -> str:
    return f"was {words}" if words.startswith("ended by") else words
