"""Its unit was stopped because somebody asked systemd to; what did not end by itself was killed.

Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.kill.html: SIGTERM to every
process of the unit, and SIGKILL to those that are left after TimeoutStopSec.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import act_upon, deadly_signal
from kerneld.model.exits import exit_of
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import act_quote, by_systemd, exit_quote

NEEDS = ("exit", "journal")
REFINES = frozenset(
    {
        Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.HARD_EXIT, Cause.SHUTDOWN, Cause.PARENT_DIED,
        Cause.STARTUP_FAILURE,
    }
)  # fmt: skip

SENT = (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT)


def judge(case: Case) -> Verdict | None:
    act, end, sent = act_upon(case, "stopping"), exit_of(case), deadly_signal(case)
    if act is None or oom_line(case) is not None:
        return None
    own = act_upon(case, "time-limit", "start-timeout", "watchdog", "session-end")
    if (own is not None and own.is_vouched) or not (end.signal in SENT or end.code in (0, 1)):
        return None
    proof = by_systemd(case)
    if sent is not None and not sent.by_linux and not proof:
        return None
    return Verdict(
        cause=Cause.SERVER_STOPPED,
        confidence=Confidence.CERTAIN if proof else Confidence.LIKELY,
        summary=f"It ended because its unit, {act.unit}, was stopped.",
        because=(act_quote(act), *proof, exit_quote(case)),
    )
