"""A memory guard of user space (systemd-oomd, earlyoom, nohang, Slurm) killed it before Linux had to.

Source: https://github.com/rfjakob/earlyoom (kill.c), https://github.com/hakavlad/nohang, and
https://www.freedesktop.org/software/systemd/man/latest/systemd-oomd.service.html. Their lines name the
process, or its cgroup; the signal trace names the sender, and a guard kills for nothing but memory.
Slurm (JobAcctGatherParams=OverMemoryKill) names the step of a job, and kills for other reasons, too.
"""

import signal
from collections.abc import Iterable

from kerneld.model.case import Case
from kerneld.model.evidence import act_upon, by_slurm, deadly_signal, headroom, near_host_limit
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.oom import oom_line
from kerneld.model.records import ManagerAct, SignalSent
from kerneld.model.sizes import gib
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, ExitHow
from kerneld.model.wording import act_quote, exit_quote, killer_of, sender_quote, story, subject

NEEDS = ("exit", "journal")
REFINES = frozenset({Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.HARD_EXIT})

GUARDS = ("systemd-oomd", "earlyoom", "nohang")
SENT = (signal.SIGTERM, signal.SIGKILL)


def judge(case: Case) -> Verdict | None:
    act, sent = act_upon(case, "killed-for-memory"), deadly_signal(case)
    guard = sent if sent is not None and _is_guard(case, sent) else None
    if oom_line(case) is not None or announced_shutdown(case) is not None:
        return None
    if guard is None and (act is None or not _fits(case, act)):
        return None
    doubts = tuple(_doubts(case, act))
    who = act.manager if act is not None else guard.sender_comm if guard is not None else None
    held = case.memory.last_bytes
    size = f", which held {gib(held)}" if held else ""
    quotes = [act_quote(act)] if act else []
    quotes += [sender_quote(sent)] if sent is not None and (guard or by_slurm(sent)) else []
    return Verdict(
        cause=Cause.OOM_DAEMON,
        confidence=_confidence(case, act, guard, has_doubts=bool(doubts)),
        summary=story(case, f"memory ran short, and {who} killed {subject(case)}{size}"),
        because=(*quotes, exit_quote(case)),
        against=doubts,
        killer=killer_of(guard, how="signal-trace") if guard is not None else None,
    )


def _confidence(
    case: Case, act: ManagerAct | None, guard: SignalSent | None, *, has_doubts: bool
) -> Confidence:
    """Where anybody may have logged a guard's line, the host's memory must have been short, too."""
    if act is None:
        return Confidence.LIKELY
    if not act.is_vouched:
        believed = act.step is not None or guard is not None or near_host_limit(case)
        return Confidence.LIKELY if believed else Confidence.POSSIBLE
    named = act.pid is not None or guard is not None
    return Confidence.CERTAIN if named and not has_doubts else Confidence.LIKELY


def _is_guard(case: Case, sent: SignalSent) -> bool:
    """A name is anybody's; but to signal another user's process takes a right that only root gives."""
    entitled = sent.sender_uid == 0 or sent.sender_uid not in (None, case.process.uid)
    return entitled and not sent.by_linux and sent.sender_comm in GUARDS


def _fits(case: Case, act: ManagerAct) -> bool:
    """A cgroup is killed by SIGKILL. Who is named may have caught SIGTERM, or left unseen."""
    end, sent = exit_of(case), deadly_signal(case)
    if act.step is not None:
        return end.signal in SENT and (sent is None or by_slurm(sent))
    if sent is not None and not sent.by_linux:
        return False  # by somebody else: a guard's signal was looked for
    if act.pid is None:
        return end.signal == signal.SIGKILL
    return end.signal in SENT or end.signal is None


def _doubts(case: Case, act: ManagerAct | None) -> Iterable[Evidence]:
    if act is not None and act.comm is not None and act.comm[:15] != case.process.comm[:15]:
        yield Evidence(source="journal", text="the line has another name")
    if act is not None and not act.is_vouched and act.step is None:
        text = f"anybody may log such a line where no journal is kept; {headroom(case).text}"
        yield Evidence(source="log", text=text)
    if exit_of(case).how is ExitHow.LOST:
        yield Evidence(source="exit", text="its exit status, which would fit a signal, is lost")
    elif exit_of(case).signal is None:
        yield Evidence(source="exit", text="it was not ended by a signal, but left by itself")
