"""A library gave up by abort(): where its reason went, and how to see it."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.ABORT:
        return None
    return Advice(
        id="abort",
        title="Read the message that came before it",
        text=(
            "Before abort() the library wrote its reason to stderr (free(): invalid pointer, terminate "
            "called after throwing, Too many open files, OMP: Error), and in a notebook that is often "
            "lost. Run the same code as a script: jupyter nbconvert --to script, then python -X "
            "faulthandler on it; the reason and the Python line stand on the terminal."
        ),
    )
