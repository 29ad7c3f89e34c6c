"""Lines of syslog's and of slurmd's own file to ManagerActs; nothing of what they say is vouched for.

Anybody may log to syslog under any name (`logger -t earlyoom`); only root writes slurmd's file, but
whoever owns a job can have slurmstepd log any text there, whole lines of another job included.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from kerneld.model.records import ManagerAct
from kerneld.model.vocabulary import Trust
from kerneld.parse import slurm
from kerneld.parse.killers import Killers
from kerneld.parse.kmsg_text import Message, Origin
from kerneld.parse.managers import GUARDS, act_of
from kerneld.parse.prefixes import unwrap
from kerneld.parse.procfs import text_of
from kerneld.parse.stamps import ISO_IN_BRACKETS, moment_of, stamp_of

_IDENTIFIERS = frozenset(GUARDS.values())
NEEDLES = (*(name.encode() for name in (*_IDENTIFIERS, slurm.PROGRAM)), b"] error: ")
"""one of them is in every line that tells something"""
MAX_LINE = 4096
_SLURMSTEPD = re.compile(rf"{slurm.PROGRAM}(?:-\S{{1,64}})?")
_OF_STEP = re.compile(rf" \[(?P<step>{slurm.STEP})\] (?P<said>error: .+)")


@dataclass(slots=True)
class Syslog:
    """One host's syslog, in batches of whole lines. zone: of dates without one."""

    zone: tzinfo
    _guards: Killers = field(default_factory=Killers)

    def feed(self, data: bytes, *, latest: datetime) -> tuple[ManagerAct, ...]:
        """latest: the newest moment that a date without a year may mean."""
        acts: list[ManagerAct | None] = []
        for line in data.split(b"\n"):
            if any(needle in line for needle in NEEDLES):
                acts += self._told(text_of(line[:MAX_LINE]), latest)
        acts += [act_of(event, is_vouched=False) for event in self._guards.flush()]
        return tuple(filter(None, acts))

    def _told(self, line: str, latest: datetime) -> list[ManagerAct | None]:
        entry = unwrap(line)
        at = moment_of(entry.stamp, zone=self.zone, latest=latest) if entry.stamp else None
        speaker = entry.identifier or ""
        if at is None:
            return []
        if _SLURMSTEPD.fullmatch(speaker):
            return [slurm.parse_word(entry.text, None, at)]
        if speaker not in _IDENTIFIERS:
            return []
        said = Message(entry.text, None, Origin(time=at), Trust.TEXT, entry.escaped, is_excerpt=True)
        return [act_of(event, is_vouched=False) for event in self._guards.feed(speaker, said)]


def parse_slurmd(data: bytes, *, zone: tzinfo, latest: datetime) -> tuple[ManagerAct, ...]:
    """`[2026-11-27T13:56:06.355] [4.batch] error: *** JOB 4 ON …`: LogTimeFormat with a date."""
    acts = []
    for line in data.split(b"\n"):
        text = text_of(line[:MAX_LINE])
        stamp = ISO_IN_BRACKETS.match(text)
        found = _OF_STEP.fullmatch(text, stamp.end()) if stamp else None
        if stamp is None or found is None:
            continue
        at = moment_of(stamp_of(stamp.groupdict()), zone=zone, latest=latest)
        acts.append(slurm.parse_word(found["said"], found["step"], at) if at else None)
    return tuple(filter(None, acts))
