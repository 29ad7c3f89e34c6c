"""An OOM killer shot in this cgroup, but none of its limits was reached: the host's memory, perhaps.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html: `oom_kill` rises for a global OOM too,
`oom` only where a limit was reached. Without the Linux log's line this is never more than possible.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.oom import oom_counters, oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "linux-log", "cgroup")
REFINES: frozenset[Cause] = frozenset()


def judge(case: Case) -> Verdict | None:
    counters = oom_counters(case)
    if exit_of(case).signal != signal.SIGKILL or oom_line(case) is not None or counters is None:
        return None
    if counters.kills < 1 or counters.limit_hit is not False:
        return None
    text = f"{counters.text}, and no limit over it was reached"
    return Verdict(
        cause=Cause.OOM_HOST,
        confidence=Confidence.POSSIBLE,
        summary=story(case, f"the host may have run out of memory, and {subject(case)} was killed"),
        because=(Evidence(source="cgroup", text=text), exit_quote(case)),
    )
