"""Nothing that could be looked at says why the process ended; what could not be looked at is named.

Source: none; this is what is left when every other theory has nothing to show.
"""

from kerneld.model.case import Case
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "linux-log", "cgroup", "memory", "iopub", "file", "server")
REFINES: frozenset[Cause] = frozenset()


def judge(case: Case) -> Verdict:
    missing = "; ".join(f"{blind.source}: {blind.reason}" for blind in case.blind)
    tail = f" Could not be looked at: {missing}." if missing else ""
    return Verdict(
        cause=Cause.UNKNOWN,
        confidence=Confidence.POSSIBLE,
        summary=f"{story(case, f'{subject(case)} ended, and nothing seen says why')}{tail}",
        because=(exit_quote(case),),
    )
