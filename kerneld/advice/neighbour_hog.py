"""Memory ran out, but another process held most of it: the kernel was the victim.

Others' names stay out of the text: the owner of this kernel may not be meant to see them.
"""

from kerneld.model.case import Case
from kerneld.model.evidence import gib
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause not in (Cause.OOM_CGROUP, Cause.OOM_HOST):
        return None
    rows = [row for r in case.log if r.event.is_oom for row in r.event.top]
    own = max((row.rss_kb for row in rows if row.pid == case.process.pid), default=None)
    most = max((row.rss_kb for row in rows if row.pid != case.process.pid), default=0)
    if own is None or most <= 2 * own:
        return None
    return Advice(
        id="neighbour-hog",
        title="Another process held most of the memory",
        text=(
            f"This one held {gib(own * 1024)}, another under the same limit {gib(most * 1024)}. Making "
            "this notebook smaller helps little: end the other process (other kernels that are still "
            "open, perhaps), or have each kernel given a memory limit of its own."
        ),
        sure=verdict.confidence is Confidence.CERTAIN,
    )
