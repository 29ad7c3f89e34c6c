"""The memory limit of a cgroup was reached, and Linux killed this process: its OOM report names it.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max), and `mem_cgroup_out_of_memory`
in https://github.com/torvalds/linux/blob/v6.12/mm/memcontrol.c; `oom_memcg=` is the limit's owner.
"""

from kerneld.model.case import Case
from kerneld.model.evidence import may_have_been_killed
from kerneld.model.oom import is_cgroup_oom, limit_of, oom_line, oom_rss_bytes, same_comm
from kerneld.model.records import LogEvent
from kerneld.model.sizes import gib
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Trust
from kerneld.model.wording import exit_quote, log_quote, story, subject

NEEDS = ("exit", "linux-log")
REFINES = frozenset({Cause.KILLED, Cause.KILLED_BY_PROCESS})


def judge(case: Case) -> Verdict | None:
    line = oom_line(case)
    if line is None or not is_cgroup_oom(line.event):
        return None
    if not may_have_been_killed(case):
        return None
    renamed = not same_comm(case, line.event)
    sure = line.event.trust is Trust.KERNEL and not renamed
    return Verdict(
        cause=Cause.OOM_CGROUP,
        confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
        summary=story(case, _what(case, line.event)),
        because=(log_quote(line), exit_quote(case)),
        against=(Evidence(source="linux-log", text="the line has another name"),) if renamed else (),
    )


def _what(case: Case, event: LogEvent) -> str:
    """Who filled the limit: the victim alone, or the whole cgroup."""
    owner = event.oom_cgroup or event.cgroup
    limit, rss = limit_of(case, owner), oom_rss_bytes(event)
    size = f"{gib(limit)} limit" if limit else "memory limit"
    where = f"the {size} of {owner}" if owner else f"its {size}"
    if limit and rss and rss < limit / 2:
        return (
            f"all processes together reached {where}, and Linux killed {subject(case)}, "
            f"which held {gib(rss)} of it"
        )
    return f"{subject(case)} reached {where}, and Linux killed it"
