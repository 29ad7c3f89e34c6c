"""Killed by SIGKILL with a cgroup's limit nearly used up: an OOM kill can't be ruled out.

Source: a sample is up to a second old, and an OOM takes milliseconds; from 90 % of the limit on, the
numbers rule nothing out. SIGKILL alone is no OOM: https://github.com/kubernetes/kubernetes/issues/19825
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import headroom, near_cgroup_limit
from kerneld.model.exits import exit_of
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "linux-log", "cgroup", "memory")
REFINES: frozenset[Cause] = frozenset()


def judge(case: Case) -> Verdict | None:
    if exit_of(case).signal != signal.SIGKILL or oom_line(case) is not None:
        return None
    if not near_cgroup_limit(case):
        return None
    return Verdict(
        cause=Cause.OOM_CGROUP,
        confidence=Confidence.POSSIBLE,
        summary=story(case, f"memory was near its limit, and {subject(case)} was killed"),
        because=(Evidence(source="memory", text=headroom(case).text), exit_quote(case)),
    )
