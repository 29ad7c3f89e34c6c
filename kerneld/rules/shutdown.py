"""Someone asked the kernel to end: it said so on iopub, or its living server removed its file.

Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html#kernel-shutdown; the server
escalates (SIGTERM at 2.5 s, SIGKILL at 5 s) and cleans up after, which it does not after a crash.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import (
    may_be_front_ends,
    near_cgroup_limit,
    shot_by_another,
    shot_by_front_end,
    shot_by_server,
)
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown, file_removed_in_time, lasting_server
from kerneld.model.oom import oom_counters, oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, ExitHow, Scope
from kerneld.model.wording import exit_quote, sender_quote

NEEDS = ("exit", "iopub", "file")
REFINES = frozenset({Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.HARD_EXIT})

ESCALATION = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def judge(case: Case) -> Verdict | None:
    end = exit_of(case)
    if case.scope is not Scope.KERNEL or oom_line(case) is not None:
        return None
    if end.signal is not None and end.signal not in ESCALATION:
        return None
    said = announced_shutdown(case)
    if said is not None:
        if said.restart:
            return None
        quote = Evidence(source="iopub", at=said.at, text="the kernel said that it shuts down")
        clean = end.code == 0 or end.signal == signal.SIGTERM
        return _verdict(case, Confidence.CERTAIN if clean else Confidence.LIKELY, quote)
    own = shot_by_front_end(case)
    return _verdict(case, Confidence.LIKELY, sender_quote(own)) if own else _by_file(case)


def _by_file(case: Case) -> Verdict | None:
    """The file is gone: a server that lives on did that because it was asked, others do it anyway."""
    end, removed = exit_of(case), case.file_removed
    if removed is None or shot_by_another(case):
        return None
    if may_be_front_ends(case):
        text = "its front end removed its connection file, as it does when it ends a kernel"
        return _verdict(case, Confidence.POSSIBLE, Evidence(source="file", at=removed.at, text=text))
    if not (lasting_server(case) and file_removed_in_time(case)) or end.code not in (0, None):
        return None
    text = "its living server removed its connection file"
    sent = shot_by_server(case)
    unsure = end.how is ExitHow.LOST or (sent is None and _may_be_an_oom_kill(case))
    return _verdict(
        case,
        Confidence.POSSIBLE if unsure else Confidence.LIKELY,
        Evidence(source="file", at=removed.at, text=text),
        *([sender_quote(sent)] if sent else []),
    )


def _may_be_an_oom_kill(case: Case) -> bool:
    """systemd stops the unit after one, and the server then removes the dead kernel's file, too."""
    killed = exit_of(case).signal == signal.SIGKILL
    return killed and near_cgroup_limit(case) and oom_counters(case) is None


def _verdict(case: Case, confidence: Confidence, *quotes: Evidence) -> Verdict:
    return Verdict(
        cause=Cause.SHUTDOWN,
        confidence=confidence,
        summary="The kernel was shut down because someone asked for it.",
        because=(*quotes, exit_quote(case)),
    )
