"""A kernel that never came up: run it by hand, and its own message appears."""

import shlex

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.STARTUP_FAILURE:
        return None
    name = case.kernel.name if case.kernel and case.kernel.name else "python3"
    return Advice(
        id="startup-failure",
        title="Start the kernel by hand",
        text=(
            f"Run `jupyter kernel --kernel={shlex.quote(name)}` in a terminal of the same account: the "
            "kernel's own error appears there. Often its environment has lost ipykernel, a file beside "
            "the notebook is named like a standard module (random.py), or another process had taken "
            "its port (then the next start works). `jupyter kernelspec list` shows where its command "
            "stands."
        ),
    )
