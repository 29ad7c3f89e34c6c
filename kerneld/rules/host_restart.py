"""The host restarted, crashed or lost its power: this boot is another one.

Source: /proc/sys/kernel/random/boot_id, https://man7.org/linux/man-pages/man4/random.4.html. Nothing
outlives a boot; that nothing else ended the process shortly before can't be shown.
"""

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, ExitHow
from kerneld.model.wording import subject

NEEDS = ("exit", "linux-log")
REFINES = frozenset({Cause.UNKNOWN})


def judge(case: Case) -> Verdict | None:
    if case.boot_id_now == case.host.boot_id or exit_of(case).how is not ExitHow.LOST:
        return None
    if oom_line(case) is not None:
        return None
    who = subject(case)
    return Verdict(
        cause=Cause.HOST_RESTART,
        confidence=Confidence.LIKELY,
        summary=f"The host {case.host.name} restarted, and {who} ended with it.",
        because=(
            Evidence(
                source="exit",
                text=f"it ran in boot {case.host.boot_id}; this boot is {case.boot_id_now}",
            ),
        ),
    )
