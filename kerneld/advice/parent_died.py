"""The server died and took its kernels along: look there."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.PARENT_DIED:
        return None
    pid = case.server_end.pid if case.server_end else None
    which = f" (pid {pid})" if pid is not None else ""
    return Advice(
        id="parent-died",
        title="Look at the server, not at the notebook",
        text=(
            f"The kernel only followed its server{which}, whose own incident says why that died. What "
            "this notebook ran had no part in it, unless it filled the memory that both share."
        ),
        sure=verdict.confidence is Confidence.CERTAIN,
    )
