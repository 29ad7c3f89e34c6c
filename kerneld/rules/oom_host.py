"""The host ran out of memory, and Linux killed this process: its OOM report names it.

Source: https://github.com/torvalds/linux/blob/v6.12/mm/oom_kill.c (`oom_kill_process`); the
constraint says whose memory ran out: the host's (NONE), a cpuset's or a memory policy's.
"""

from kerneld.model.case import Case
from kerneld.model.evidence import may_have_been_killed
from kerneld.model.oom import is_cgroup_oom, oom_line, oom_rss_bytes, same_comm
from kerneld.model.sizes import gib
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Trust
from kerneld.model.wording import exit_quote, log_quote, story, subject

NEEDS = ("exit", "linux-log")
REFINES = frozenset({Cause.KILLED, Cause.KILLED_BY_PROCESS})

PARTIAL = {
    "CONSTRAINT_CPUSET": "the memory of its cpuset",
    "CONSTRAINT_MEMORY_POLICY": "the memory that its NUMA policy allows",
}


def judge(case: Case) -> Verdict | None:
    line = oom_line(case)
    if line is None or is_cgroup_oom(line.event) or not may_have_been_killed(case):
        return None
    renamed = not same_comm(case, line.event)
    sure = line.event.trust is Trust.KERNEL and not renamed
    rss = oom_rss_bytes(line.event)
    held = f", which held {gib(rss)}" if rss else ""
    ran_out = PARTIAL.get(line.event.constraint or "", "the host's memory")
    total = case.memory.host_total_bytes
    size = f" ({gib(total)})" if total and line.event.constraint not in PARTIAL else ""
    return Verdict(
        cause=Cause.OOM_HOST,
        confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
        summary=story(case, f"{ran_out}{size} ran out, and Linux killed {subject(case)}{held}"),
        because=(log_quote(line), exit_quote(case)),
        against=(Evidence(source="linux-log", text="the line has another name"),) if renamed else (),
    )
