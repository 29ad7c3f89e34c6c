"""Memory was refused at a limit of the process's own: where that limit comes from."""

from kerneld.model.case import Case
from kerneld.model.evidence import reached_rlimit
from kerneld.model.incident import Advice
from kerneld.model.sizes import gib
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    ceiling = reached_rlimit(case)
    if verdict.cause is not Cause.ALLOCATION_FAILURE or ceiling is None:
        return None
    return Advice(
        id="allocation-failure",
        title="Hold less, or raise the limit that refused it",
        text=(
            f"The limit of {gib(ceiling.limit.limit_bytes)} is one on the process itself: set by "
            "resource.setrlimit() in the code, by `ulimit -v` or `ulimit -d` in what started Jupyter, "
            "by /etc/security/limits.conf or a unit's LimitAS=. It counts address space, which threads "
            "and mapped files use too, not only what is filled: fewer threads (OMP_NUM_THREADS) help "
            "as well as smaller arrays."
        ),
    )
