"""exit() in a cell: what to write instead."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.EXIT_CALL:
        return None
    return Advice(
        id="exit-in-cell",
        title="Take exit() out of the cell",
        text=(
            "In a notebook exit() and quit() end the kernel and all its variables. To stop a run at "
            "this point, raise an exception (raise SystemExit stops the cell, the kernel lives on)."
        ),
        sure=verdict.confidence is Confidence.CERTAIN,
    )
