"""Memory ran out, but another process held most of it: the kernel was the victim.

Others' names stay out of the text: the owner of this kernel may not be meant to see them.
"""

from kerneld.model.bystanders import bystanders
from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.sizes import gib
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause not in (Cause.OOM_CGROUP, Cause.OOM_HOST):
        return None
    sizes = {row.role: row.rss_bytes for row in bystanders(case, verdict.cause)}
    own, most = sizes.get("victim"), sizes.get("hog", 0)
    if own is None or most <= 2 * own:
        return None
    return Advice(
        id="neighbour-hog",
        title="Another process held most of the memory",
        text=(
            f"This one held {gib(own)}, another under the same limit {gib(most)}. Making "
            "this notebook smaller helps little: end the other process (other kernels that are still "
            "open, perhaps), or have each kernel given a memory limit of its own."
        ),
        sure=verdict.confidence is Confidence.CERTAIN,
    )
