"""The memory limit of a cgroup was reached, say its counters, where no line of the Linux log does.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html: `oom_kill` counts processes of this cgroup
killed by *any* OOM killer, so `oom` of a limit over it must have risen too. Counters name nobody.
After it systemd stops the unit (OOMPolicy=stop, its default), and the server removes the file of the
dead kernel as of one that it was asked to end: a kernel that did not say so itself was not asked.
"""

from kerneld.model.case import Case
from kerneld.model.evidence import deadly_signal, is_blind, may_have_been_killed
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.oom import OomCounters, oom_counters, oom_line
from kerneld.model.sizes import gib
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, ExitHow
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "linux-log", "cgroup")
REFINES = frozenset({Cause.KILLED, Cause.SHUTDOWN, Cause.SERVER_STOPPED})

SILENT_LOG = "the Linux log was read, and no line of it names this process"


def judge(case: Case) -> Verdict | None:
    counters = oom_counters(case)
    if not may_have_been_killed(case) or oom_line(case) is not None or counters is None:
        return None
    if counters.kills < 1 or not counters.limit_hit:
        return None
    sent = deadly_signal(case)
    if announced_shutdown(case) is not None or (sent is not None and not sent.by_linux):
        return None
    lost = exit_of(case).how is ExitHow.LOST
    if lost and _smaller_half(case) is not None:
        return None
    against = _against(case, counters)
    ended = "ended" if lost else "was killed"
    return Verdict(
        cause=Cause.OOM_CGROUP,
        confidence=Confidence.POSSIBLE if against else Confidence.LIKELY,
        summary=story(
            case, f"memory reached the limit over {counters.own_path}, and {subject(case)} {ended}"
        ),
        because=(Evidence(source="cgroup", text=counters.text), exit_quote(case)),
        against=against,
    )


def _against(case: Case, counters: OomCounters) -> tuple[Evidence, ...]:
    shot = case.cgroup.kills_in_window if case.cgroup else 1
    found: list[Evidence] = []
    if exit_of(case).how is ExitHow.LOST:
        found.append(Evidence(source="exit", text="that it was killed was not seen"))
    smaller = _smaller_half(case)
    if smaller is not None:
        found.append(smaller)
    if shot > counters.kills:
        text = f"{shot} processes of it ended by SIGKILL, but only {counters.kills} for memory"
        found.append(Evidence(source="cgroup", text=text))
    if case.settled and not is_blind(case, "linux-log"):
        found.append(Evidence(source="linux-log", text=SILENT_LOG))
    return tuple(found)


def _smaller_half(case: Case) -> Evidence | None:
    """Processes that nobody watches die uncounted: the kill of a small one may have been another's."""
    held = case.memory.tree_peak_bytes or case.memory.last_bytes
    used = case.cgroup.before[0].usage_bytes if case.cgroup else None
    if held is None or used is None or held >= used / 2:
        return None
    text = f"it held {gib(held)} of the {gib(used)} that its cgroup used: others may have been killed"
    return Evidence(source="memory", text=text)
