"""Words of Slurm's step daemon to ManagerActs: which step of a job it ended, and why.

Whoever owns a job can have it log any text (`scontrol notify`), newlines included: a reader must know
by other means which step speaks, and of what it says nothing is vouched for.
Source: src/slurmd/slurmstepd/req.c (_handle_signal_container, _handle_notify_job) and
src/interfaces/jobacct_gather.c of Slurm 20.11 to 24.
"""

import re
from datetime import datetime

from kerneld.model.records import Deed, ManagerAct
from kerneld.parse.kmsg_text import shown

MANAGER, PROGRAM = "Slurm", "slurmstepd"
MOST_LINE = 300
STEP = r"[0-9]{1,10}(?:\+[0-9]{1,10})?\.(?:batch|interactive|[0-9]{1,10})"
_TITLE = re.compile(rf'"?slurmstepd: \[(?P<step>{STEP})\]"?')
_ENDED = re.compile(
    rf"\*\*\* (?:JOB (?P<job>[0-9]{{1,10}})|STEP (?P<step>{STEP})) ON \S{{1,255}} "
    r"CANCELLED AT \S{1,40}(?: DUE TO (?P<why>[A-Z][A-Z, ]{3,60}))? \*\*\*"
)
_OVER_MEMORY = re.compile(
    rf"StepId=(?P<step>{STEP}) exceeded (?:virtual )?memory limit \([0-9]{{1,20}} > [0-9]{{1,20}}\), "
    r"being killed"
)
_WHY: dict[str, Deed] = {
    "TIME LIMIT": "time-limit",
    "PREEMPTION": "preempted",
    "NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS": "node-failed",
}


def step_of_title(command_line: str) -> str | None:
    """Which step's daemon this is, as it titles itself: `slurmstepd: [7.batch]`."""
    found = _TITLE.fullmatch(command_line)
    return found["step"] if found else None


def parse_word(said: str, step: str | None, at: datetime) -> ManagerAct | None:
    """What this step's daemon says that it does to its own step. None: it may be any step's."""
    said = said.removeprefix("error: ")
    over, ended = _OVER_MEMORY.fullmatch(said), _ENDED.fullmatch(said)
    if over is not None:
        did: Deed = "killed-for-memory"
        named = over["step"]
    elif ended is not None:
        did = _WHY.get(ended["why"] or "", "cancelled")
        named = ended["step"] or f"{ended['job']}.batch"
    else:
        return None
    if step not in (named, None):
        return None
    line = shown(said)[:MOST_LINE]
    return ManagerAct(at=at, manager=MANAGER, did=did, step=named, is_vouched=False, line=line)
