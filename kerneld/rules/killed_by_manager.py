"""A manager ended it of its own accord: a time limit, a watchdog, the end of a session, a hangup.

Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html (RuntimeMaxSec=,
WatchdogSec=, TimeoutStartSec=); user@.service ends with the last session of its user; termios(3) on
SIGHUP. What somebody asked systemd to stop is another matter.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import (
    act_upon,
    announced_shutdown,
    deadly_signal,
    exit_of,
    oom_line,
)
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import act_quote, by_pid_1, exit_quote, sender_quote, story, subject

NEEDS = ("exit", "journal")
REFINES = frozenset(
    {
        Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.ABORT, Cause.SERVER_STOPPED, Cause.SHUTDOWN,
        Cause.HARD_EXIT,
    }
)  # fmt: skip

REASONS = {
    "time-limit": "its unit had run for as long as it may (RuntimeMaxSec)",
    "start-timeout": "its unit did not come up in time",
    "watchdog": "its unit gave no sign of life to systemd's watchdog",
    "session-end": "its user's session ended",
}
SENT = (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGHUP)


def judge(case: Case) -> Verdict | None:
    if oom_line(case) is not None:
        return None
    act = act_upon(case, "time-limit", "start-timeout", "watchdog", "session-end")
    if act is None:
        return _hangup(case)
    if not _went_along(case):
        return None
    proof = by_pid_1(case)
    return Verdict(
        cause=Cause.KILLED_BY_MANAGER,
        confidence=Confidence.CERTAIN if proof else Confidence.LIKELY,
        summary=story(case, f"systemd ended {subject(case)}, because {REASONS[act.did]}"),
        because=(act_quote(act), *proof, exit_quote(case)),
    )


def _went_along(case: Case) -> bool:
    """By a signal of systemd's; or it left in good order, as its server had it do, or was one."""
    end, sent = exit_of(case), deadly_signal(case)
    if sent is not None and not sent.by_linux and sent.sender_pid != 1:
        return False
    if end.signal is not None:
        return end.signal in SENT
    asked = case.scope is Scope.SERVER or case.server_end is not None
    return end.code in (0, 1) and (asked or announced_shutdown(case) is not None)


def _hangup(case: Case) -> Verdict | None:
    """SIGHUP: by Linux when a terminal goes, by the leader of its session (a shell) that leaves."""
    sent = deadly_signal(case)
    if exit_of(case).signal != signal.SIGHUP or (
        sent is not None and not sent.by_linux and sent.sender_pid not in (1, case.process.sid)
    ):
        return None
    what = f"{subject(case)} got SIGHUP, as when its terminal or its login session is closed"
    return Verdict(
        cause=Cause.KILLED_BY_MANAGER,
        confidence=Confidence.LIKELY,
        summary=story(case, what),
        because=(*([sender_quote(sent)] if sent else []), exit_quote(case)),
    )
