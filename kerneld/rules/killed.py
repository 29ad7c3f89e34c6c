"""A deadly signal came from outside, and who sent it was not seen.

Source: https://man7.org/linux/man-pages/man7/signal.7.html. SIGKILL alone is no OOM kill: it may be
Linux, a person, a script or the kernel's own server (jupyter_client sends it 5 s after a request).
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import (
    FAULT_SIGNALS,
    LIMIT_SIGNALS,
    deadly_signal,
    headroom,
    is_blind,
    may_be_front_ends,
)
from kerneld.model.exits import exit_of
from kerneld.model.intent import may_hide_restart
from kerneld.model.oom import oom_counters, oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import (
    cancelled_job,
    exit_quote,
    sender_quote,
    signal_name,
    story,
    subject,
)

NEEDS = ("exit", "linux-log", "signal-trace", "cgroup", "memory", "iopub", "file")
REFINES: frozenset[Cause] = frozenset()


def judge(case: Case) -> Verdict | None:
    number = exit_of(case).signal
    if number is None or number in FAULT_SIGNALS | LIMIT_SIGNALS or oom_line(case) is not None:
        return None
    doubts = (*_memory_doubts(case, number), *_request_doubts(case))
    quotes = [exit_quote(case)]
    if headroom(case).near is False:
        quotes.append(Evidence(source="memory", text=headroom(case).text))
    name, sent = signal_name(number), deadly_signal(case)
    if sent is not None:
        quotes.append(sender_quote(sent))
    unknown = "who sent it was not seen" if sent is None else "Linux sent it, and did not say why"
    if (cancelled := cancelled_job(case)) and sent is None:
        unknown = "Slurm cancelled its job, and does not log on whose word"
    return Verdict(
        cause=Cause.KILLED,
        confidence=Confidence.POSSIBLE if doubts else Confidence.LIKELY,
        summary=story(case, f"{name} ended {subject(case)}; {unknown}"),
        because=(*cancelled, *quotes),
        against=doubts,
    )


def _memory_doubts(case: Case, number: int) -> tuple[Evidence, ...]:
    """Why memory is not ruled out. Linux kills by SIGKILL only, its daemons may send SIGTERM first."""
    if number not in (signal.SIGKILL, signal.SIGTERM):
        return ()
    room, counters = headroom(case), oom_counters(case)
    found: list[Evidence] = []
    if room.near or (room.near is None and number == signal.SIGKILL):
        found.append(Evidence(source="memory", text=room.text))
    if number == signal.SIGKILL and counters is not None and counters.kills > 0:
        found.append(Evidence(source="cgroup", text=counters.text))
    if number == signal.SIGKILL and is_blind(case, "linux-log"):
        text = "the Linux log, which would tell of an OOM kill, could not be read"
        found.append(Evidence(source="linux-log", text=text))
    return tuple(found)


def _request_doubts(case: Case) -> tuple[Evidence, ...]:
    """Why a request is not ruled out: its only traces are the file and the next life."""
    if case.scope is not Scope.KERNEL:
        return ()
    if may_hide_restart(case) and case.succession is not None:
        text = "the next life began at once, as after a restart of a stuck kernel"
        return (Evidence(source="server", at=case.succession.at, text=text),)
    if may_be_front_ends(case):
        text = "its front end removed the connection file, as it does when it ends a kernel by a signal"
        return (Evidence(source="file", at=case.file_removed and case.file_removed.at, text=text),)
    if is_blind(case, "file"):
        text = "the connection file's removal, which tells of a request, could not be watched"
        return (Evidence(source="file", text=text),)
    return ()
