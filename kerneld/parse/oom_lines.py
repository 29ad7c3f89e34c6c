"""The lines of an OOM report, from Linux 2.4 to 6.x: one pattern a printk, and what they hold.

mm/oom_kill.c and mm/memcontrol.c; a line of an excerpt may be cut, each pattern says how much may lack.
"""

import re
from dataclasses import dataclass

from kerneld.parse.kmsg_text import COMM, Message

ERROR, WARNING, INFO = 3, 4, 6

SIZE = r"[0-9]{1,18}"
# named, though nobody reads it: a broken line's pieces are joined by how many groups the whole fills
WHAT = (
    r"(?P<what>Out of [Mm]emory(?: \(oom_kill_allocating_task\))?"
    r"|(?P<memcg>Memory cgroup out of memory)(?: \(oom_kill_allocating_task\))?)"
)
# dump_header, 2.6 to 6.x
INVOKED = re.compile(
    rf"{COMM} invoked oom-killer: gfp_mask=0x[0-9a-f]+(?:\([^()]{{0,400}}\))?,"
    r"(?: order=(?P<order>-?[0-9]{1,3}),)?.{0,300}",
    re.DOTALL,
)
# drivers/tty/sysrq.c moom_callback; its order is -1 from 3.20 on, 0 before
SYSRQ = re.compile(r"(?:sysrq: )?(?:SysRq : ?)?Manual OOM execution")
# dump_oom_summary, from 5.0; a cgroup's name may hold commas: what names the victim stands at the end
SUMMARY = re.compile(
    r"oom-kill:constraint=(?P<constraint>CONSTRAINT_[A-Z_]{1,20}),nodemask=[^=]{1,400},cpuset="
    r"(?P<middle>.*),pid=(?P<pid>[0-9]{1,10}),uid=(?P<uid>[0-9]{1,10})",
    re.DOTALL,
)
# mem_cgroup_print_oom_info, before 5.0
TASK_IN = re.compile(
    r"Task in (?P<cgroup>.*) killed as a result of limit of (?P<oom_cgroup>.*)", re.DOTALL
)
# mem_cgroup_print_oom_group, from 4.19
GROUP = re.compile(
    r"Tasks in (?P<group>.*) are going to be killed due to memory\.oom\.group set", re.DOTALL
)
# oom_kill_process, to 5.x: "or a child" to 2.6.39; the one that dies is in the next line
SCORED = re.compile(
    rf"{WHAT}: [Kk]ill process (?P<pid>[0-9]{{1,10}}) \({COMM}\),? score [0-9]+ or "
    r"(?:sacrifice |a )child",
    re.DOTALL,
)
# __oom_kill_process; the head from 5.0, shmem-rss from 4.5, UID and oom_score_adj from 5.4;
# RHEL 6 has ", UID n, " before the name, RHEL 7.6 behind it; 2.4 ends the bare line with a stop
KILLED = re.compile(
    rf"(?:{WHAT}: )?Killed process (?P<pid>[0-9]{{1,10}})(?:, UID (?P<uid_a>[0-9]{{1,10}}),)? "
    rf"\({COMM}\)(?:\.|,? ?(?:UID (?P<uid_b>[0-9]{{1,10}}), )?"
    rf"(?:total-vm|vsz):(?P<total_vm_kb>{SIZE})kB, anon-rss:(?P<anon_rss_kb>{SIZE})kB"
    rf"(?:, file-rss:(?P<file_rss_kb>{SIZE})kB)?(?:, shmem-rss:(?P<shmem_rss_kb>{SIZE})kB)?"
    rf"(?:, UID:(?P<uid_c>[0-9]{{1,10}}) pgtables:{SIZE}kB"
    r" oom_score_adj:(?P<oom_score_adj>-?[0-9]{1,5}))?)?",
    re.DOTALL,
)
# the same, cut: a number counts where what follows it in Linux's own format still stands
KILLED_CUT = re.compile(
    rf"(?:{WHAT}: )?Killed process (?P<pid>[0-9]{{1,10}})(?:, UID (?P<uid_a>[0-9]{{1,10}}),)? "
    rf"(?:\({COMM}\)(?:,? ?(?:UID (?P<uid_b>[0-9]{{1,10}}), )?"
    rf"(?:total-vm|vsz):(?P<total_vm_kb>{SIZE})kB(?:, anon-rss:(?P<anon_rss_kb>{SIZE})kB"
    rf"(?:, file-rss:(?P<file_rss_kb>{SIZE})kB)?(?:, shmem-rss:(?P<shmem_rss_kb>{SIZE})kB)?"
    rf"(?:, UID:(?P<uid_c>[0-9]{{1,10}})(?= )(?: pgtables:{SIZE}kB)?)?)?)?"
    r"[ ,]{0,2}[A-Za-z_-]{0,18}:?-?[0-9]{0,19}k?(?:>|…|\.{3})?|\([^()]{0,15}(?:>|…|\.{3}))",
    re.DOTALL,
)
SUMMARY_CUT = re.compile(
    r"oom-kill:constraint=(?P<constraint>CONSTRAINT_[A-Z_]{1,20}),.{0,4000}", re.DOTALL
)
# mem_cgroup_print_oom_meminfo; show_mem and show_swap_cache_info
TOTALS = (
    re.compile(
        r"memory: usage (?P<usage_kb>[0-9]{1,18})kB, limit (?P<limit_kb>[0-9]{1,18})kB, failcnt [0-9]+"
    ),
    re.compile(r"(?P<ram_pages>[0-9]{1,15}) pages (?:of )?RAM"),
    re.compile(r"Total swap += +(?P<swap_total_kb>[0-9]{1,18})kB"),
    re.compile(r"Free swap(?: +=|:) +(?P<swap_free_kb>[0-9]{1,18})kB"),
)
# show_regs and dump_stack of whoever asked for the memory; the second to 3.9
ASKER = (
    re.compile(
        rf"CPU: [0-9]+ (?:UID: [0-9]+ )?PID: (?P<pid>[0-9]{{1,10}}) Comm: {COMM} +"
        r"(?:Kdump: loaded )?(?:Tainted: |Not tainted).{0,300}",
        re.DOTALL,
    ),
    re.compile(
        rf"Pid: (?P<pid>[0-9]{{1,10}}), comm: +{COMM} (?:Tainted: |Not tainted).{{0,300}}", re.DOTALL
    ),
)
_NODES = re.compile(r",mems_allowed=[0-9,-]*,(?=oom_memcg=/|global_oom,task_memcg=/|task_memcg=/)")
"""cpuset_print_current_mems_allowed prints a cpuset's name, which has no slash"""
MAX_WAYS = 32
SKIPPED = re.compile(rf"{WHAT}: OOM victim [0-9]+ \({COMM}\) is already exiting.*", re.DOTALL)
NUMBERS = (
    "total_vm_kb", "anon_rss_kb", "file_rss_kb", "shmem_rss_kb", "oom_score_adj",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """The oom-kill: line, and where it stands. pid, uid: None where the line is cut before them."""

    message: Message
    pid: int | None
    uid: int | None
    constraint: str
    middle: str

    def fields(self, comm: str | None) -> dict[str, object]:
        """Constraint and cgroups. comm: as the kill line has it, which settles a name's commas."""
        cgroup, oom_cgroup, _ = split_cgroups(self.middle, comm, self.constraint)
        name = self.message.name
        return {
            "constraint": self.constraint,
            "uid": self.uid,
            "cgroup": name(cgroup) if cgroup else None,
            "oom_cgroup": name(oom_cgroup) if oom_cgroup else None,
        }


def split_cgroups(
    middle: str, comm: str | None, constraint: str
) -> tuple[str | None, str | None, str | None]:
    """(task_memcg, oom_memcg, task) of `CPUSET,mems_allowed=…,…,task_memcg=…,task=COMM`.

    A cgroup's name may hold all of these words, but only the cgroups of memory are printed as paths:
    of several ways to split the first counts in which the task is below the limit.
    """
    tail = f",task={comm}"
    if comm is not None and middle.endswith(tail):
        head = middle.removesuffix(tail)
    else:
        head, found, comm = middle.rpartition(",task=")
        if not found:
            return None, None, None
    scopes = [head[nodes.end() :] for nodes in _NODES.finditer(head)][:MAX_WAYS]
    limited = [scope for scope in scopes if scope.startswith("oom_memcg=")]
    if constraint != "CONSTRAINT_MEMCG" or not limited:
        marked = (scope for scope in scopes if scope not in limited)
        return next(marked, "").partition("task_memcg=")[2] or None, None, comm
    ways = [way for scope in limited for way in _ways(scope)]
    below = (way for way in ways if f"{way[1]}/".startswith(f"{way[0].rstrip('/')}/"))
    limit, task = next(below, ways[0])
    return task or None, limit, comm


def _ways(scope: str) -> list[tuple[str, str]]:
    """(oom_memcg, task_memcg) of `oom_memcg=…,task_memcg=…`, at each place where it may be split."""
    owner = scope.removeprefix("oom_memcg=")
    splits = list(re.finditer(",task_memcg=", owner))[:MAX_WAYS]
    return [(owner[: split.start()], owner[split.end() :]) for split in splits] or [(owner, "")]
