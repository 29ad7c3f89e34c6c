"""A stack was used up: how to find the recursion, and how to give it more room."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.STACK_OVERFLOW:
        return None
    return Advice(
        id="stack-overflow",
        title="Bound the recursion",
        text=(
            "Python stops its own recursion with a RecursionError, compiled code does not: deeply "
            "nested data (JSON, pickles, trees, expressions), a callback that calls back, or "
            "sys.setrecursionlimit() raised too far. Flatten the data, or turn the recursion into a "
            "loop. Where it must be deep, run it in a thread after threading.stack_size(256 << 20), "
            "or start Jupyter after `ulimit -s` with a larger number."
        ),
    )
