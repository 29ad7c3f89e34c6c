"""Killed by SIGKILL with the host's memory nearly used up: an OOM kill can't be ruled out.

Source: https://docs.kernel.org/filesystems/proc.html (MemAvailable); below a tenth of the host's
memory, a sample that is a second old rules nothing out.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import headroom, near_host_limit
from kerneld.model.exits import exit_of
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "linux-log", "memory")
REFINES: frozenset[Cause] = frozenset()


def judge(case: Case) -> Verdict | None:
    if exit_of(case).signal != signal.SIGKILL or oom_line(case) is not None:
        return None
    if not near_host_limit(case):
        return None
    return Verdict(
        cause=Cause.OOM_HOST,
        confidence=Confidence.POSSIBLE,
        summary=story(case, f"the host was short of memory, and {subject(case)} was killed"),
        because=(Evidence(source="memory", text=headroom(case).text), exit_quote(case)),
    )
