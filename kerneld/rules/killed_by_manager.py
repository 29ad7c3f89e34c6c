"""A manager ended it of its own accord: a time limit, preemption, a watchdog, a session's end, an OOM.

Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html (RuntimeMaxSec=,
WatchdogSec=, TimeoutStartSec=; OOMPolicy=stop, the default: where the OOM killer ends one process of a
unit, the others get SIGTERM); user@.service ends with the last session of its user; termios(3) on
SIGHUP. Slurm: https://slurm.schedmd.com/slurm.conf.html (OverTimeLimit, PreemptMode, KillWait): SIGTERM
to each process of the step, and SIGKILL after KillWait. What somebody asked a manager to stop or to
cancel is another matter.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import act_upon, by_manager, by_service_manager, deadly_signal
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.oom import oom_beside, oom_line
from kerneld.model.records import Deed, ManagerAct, SignalSent
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import (
    act_quote,
    by_systemd,
    exit_quote,
    log_quote,
    sender_quote,
    story,
    subject,
)

NEEDS = ("exit", "journal")
REFINES = frozenset(
    {
        Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.ABORT, Cause.SERVER_STOPPED, Cause.SHUTDOWN,
        Cause.HARD_EXIT,
    }
)  # fmt: skip

SYSTEMD: dict[Deed, str] = {
    "time-limit": "its unit had run for as long as it may (RuntimeMaxSec)",
    "start-timeout": "its unit did not come up in time",
    "watchdog": "its unit gave no sign of life to systemd's watchdog",
    "session-end": "its user's session ended",
}
SLURM: dict[Deed, str] = {
    "time-limit": "its job had run for as long as it may (--time)",
    "preempted": "another job took the place of its job (preemption)",
    "node-failed": "it took the node of its job for failed",
}
SENT = (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGHUP)
SENT_BY_SLURM = (signal.SIGTERM, signal.SIGKILL)


def judge(case: Case) -> Verdict | None:
    if oom_line(case) is not None:
        return None
    act = act_upon(case, *SYSTEMD, *SLURM)
    if act is None:
        return _after_oom(case) or _hangup(case)
    if not _went_along(case, act):
        return None
    proof = _its_signal(case, act)
    reasons = SLURM if act.manager == "Slurm" else SYSTEMD
    return Verdict(
        cause=Cause.KILLED_BY_MANAGER,
        confidence=Confidence.CERTAIN if proof and act.is_vouched else Confidence.LIKELY,
        summary=story(case, f"{act.manager} ended {subject(case)}, because {reasons[act.did]}"),
        because=(act_quote(act), *proof, exit_quote(case)),
    )


def _its_signal(case: Case, act: ManagerAct) -> tuple[Evidence, ...]:
    """What names this very process as the target of the manager's deadly signal."""
    sent = deadly_signal(case)
    if act.manager == "Slurm":
        return (sender_quote(sent),) if sent is not None and by_manager(sent, act) else ()
    return by_systemd(case)


def _went_along(case: Case, act: ManagerAct) -> bool:
    """By a signal of the manager's; or it left in good order, as its server had it do, or was one."""
    end, sent, slurm = exit_of(case), deadly_signal(case), act.manager == "Slurm"
    if sent is not None and not by_manager(sent, act) and (slurm or not sent.by_linux):
        return False
    if slurm and by_systemd(case):
        return False
    if end.signal is not None:
        return end.signal in (SENT_BY_SLURM if slurm else SENT)
    asked = case.scope is Scope.SERVER or case.server_end is not None
    return end.code in (0, 1) and (asked or announced_shutdown(case) is not None)


def _after_oom(case: Case) -> Verdict | None:
    """A server that got SIGTERM leaves in good order: the signal was not what ended it."""
    act, beside, proof = _oom_in_its_unit(case), oom_beside(case), by_systemd(case)
    if (act is None and beside is None) or act_upon(case, "stopping") is not None:
        return None
    named = act is not None and bool(proof)
    if not proof and case.scope is Scope.SERVER:
        proof = tuple(sender_quote(sent) for sent in case.signals if _is_stop(sent))
    if not proof:
        return None
    why = [act_quote(act)] if act is not None else []
    why += [log_quote(beside)] if beside is not None else []
    what = f"systemd ended {subject(case)} with its unit, of which the OOM killer had killed a process"
    return Verdict(
        cause=Cause.KILLED_BY_MANAGER,
        confidence=Confidence.CERTAIN if named else Confidence.LIKELY,
        summary=story(case, what),
        because=(*why, *proof, exit_quote(case)),
    )


def _oom_in_its_unit(case: Case) -> ManagerAct | None:
    """systemd says it of the slices and the user's manager above that unit, too: they stop nothing."""
    told = [act for act in case.acts if (act.did, act.unit) == ("unit-oom", case.process.unit)]
    return told[-1] if told else None


def _is_stop(sent: SignalSent) -> bool:
    return sent.signal == signal.SIGTERM and by_service_manager(sent)


def _hangup(case: Case) -> Verdict | None:
    """SIGHUP: by Linux when a terminal goes, by the leader of its session (a shell) that leaves."""
    sent = deadly_signal(case)
    if exit_of(case).signal != signal.SIGHUP:
        return None
    own = sent is None or sent.by_linux or sent.sender_pid == case.process.sid
    if sent is not None and not own and not by_service_manager(sent):
        return None
    what = f"{subject(case)} got SIGHUP, as when its terminal or its login session is closed"
    return Verdict(
        cause=Cause.KILLED_BY_MANAGER,
        confidence=Confidence.LIKELY,
        summary=story(case, what),
        because=(*([sender_quote(sent)] if sent else []), exit_quote(case)),
    )
