"""Records of the journal to ManagerActs: what a manager of processes itself logged, and nobody else.

journald sets the fields that begin with _ by the sender's credentials and cgroup; all others are the
sender's own words: `logger -t earlyoom` sets SYSLOG_IDENTIFIER, and nothing of what decides here.
Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.journal-fields.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kerneld.model.base import from_us
from kerneld.model.records import Deed, LogEvent, ManagerAct
from kerneld.model.vocabulary import Trust
from kerneld.parse import coredump, slurm
from kerneld.parse.fault_table import SIGNALS
from kerneld.parse.journal import MAX_JSON, number_field, text_field
from kerneld.parse.killers import Killers
from kerneld.parse.kmsg_text import Message, Origin, shown, storable

FIELDS = (
    "MESSAGE", "MESSAGE_ID", "UNIT", "_BOOT_ID", "_CMDLINE", "_COMM", "_PID",
    "_SOURCE_REALTIME_TIMESTAMP", "_SYSTEMD_UNIT", "_UID", *coredump.FIELDS,
)  # fmt: skip
"""what is read of a record, beside the cursor and the time that every record has"""

GUARDS = {
    "systemd-oomd.service": "systemd-oomd",
    "earlyoom.service": "earlyoom",
    "nohang.service": "nohang",
    "nohang-desktop.service": "nohang",
}
"""a system unit's name is its cgroup's: no user can take it. Debian's earlyoom has a user of its own"""
ROOTS_OWN = ("earlyoom", "nohang")
"""what root started by another name, or by hand, is told by its process's name"""
MATCHES = (
    *(f"_SYSTEMD_UNIT={unit}" for unit in GUARDS), "+",
    "_UID=0", *(f"_COMM={name}" for name in ROOTS_OWN), "+",
    "_UID=0", "_PID=1", "+",
    "_UID=0", f"_COMM={slurm.PROGRAM}", "+",
    f"_SYSTEMD_SLICE={coredump.SLICE}",
)  # fmt: skip
"""for journalctl, which looks such fields up in an index: all other records stay unread"""

STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
"""SD_MESSAGE_UNIT_STOPPING: somebody asked for it, be it by a shutdown; what systemd does of its own
accord has no such record"""
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
"""SD_MESSAGE_UNIT_OUT_OF_MEMORY: Linux killed a process of the unit for memory"""
SESSIONS = re.compile(r"user@[0-9]+\.service|session-\w+\.scope|user-[0-9]+\.slice")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")
# src/core: log_kill in unit.c, service_dispatch_watchdog and …_timer in service.c, scope.c
SYSTEMD: tuple[tuple[Deed, re.Pattern[str]], ...] = (
    (
        "signalled",
        re.compile(
            r"Killing process (?P<pid>[0-9]{1,10}) \((?P<comm>.{1,64})\) with signal "
            r"(?P<signal>SIG[A-Z0-9+]{2,9})\.",
            re.DOTALL,
        ),
    ),
    ("watchdog", re.compile(r"Watchdog timeout \(limit .{1,64}\)!")),
    ("time-limit", re.compile(r"(?:Service|Scope) reached runtime time limit\. Stopping\.")),
    ("start-timeout", re.compile(r"start(?:-pre|-post)? operation timed out\. [A-Z]\w+\.")),
)
MOST_LINE = 300
_FAR_US = 1 << 53


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch of records tells. cursor: the place of the last one that could be read."""

    acts: tuple[ManagerAct, ...]
    cursor: str | None


@dataclass(slots=True)
class Managers:
    """One journal's records, in their order. boot_id: of this boot, as /proc writes it."""

    boot_id: str
    _guards: Killers = field(default_factory=Killers)

    def feed(self, data: bytes) -> Taken:
        """A batch: whole lines, a JSON object each."""
        acts: list[ManagerAct | None] = []
        cursor = None
        for line in data.split(b"\n"):
            record = _record_of(line)
            if record is None:
                continue
            cursor = text_field(record.get("__CURSOR")) or cursor
            acts += self._told(record)
        # a batch ends where the journal fell silent: no further line calls the kill a rehearsal
        acts += map(act_of, self._guards.flush())
        return Taken(tuple(filter(None, acts)), cursor)

    def _told(self, record: Mapping[str, object]) -> list[ManagerAct | None]:
        message, us = text_field(record.get("MESSAGE")), _microseconds(record)
        boot = text_field(record.get("_BOOT_ID"))
        if message is None or us is None or boot != self.boot_id.replace("-", ""):
            return []
        if _is_pid_1(record):
            return [_of_systemd(record, message, from_us(us))]
        if coredump.is_coredump(record):
            return [coredump.parse_coredump(record, message, from_us(us))]
        if _is_slurmstepd(record):
            step = slurm.step_of_title(text_field(record.get("_CMDLINE")) or "")
            return [slurm.parse_word(message, step, from_us(us))] if step else []
        guard = _guard_of(record)
        if guard is None:
            return []
        at = Origin(time=from_us(us))
        said = Message(message.rstrip("\n"), None, at, Trust.TEXT, False, is_excerpt=True)
        return list(map(act_of, self._guards.feed(guard, said)))


def _record_of(line: bytes) -> dict[str, object] | None:
    if len(line) > MAX_JSON:
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _guard_of(record: Mapping[str, object]) -> str | None:
    """Which memory guard speaks, by what journald vouches for."""
    unit = text_field(record.get("_SYSTEMD_UNIT")) or ""
    if unit in GUARDS:
        return GUARDS[unit]
    comm = text_field(record.get("_COMM"))
    roots = number_field(record.get("_UID")) == 0
    return comm if roots and comm in ROOTS_OWN else None


def _is_slurmstepd(record: Mapping[str, object]) -> bool:
    """Its unit tells nothing: without cgroups of Slurm's own, jobs are in slurmd's."""
    own = text_field(record.get("_COMM")) == slurm.PROGRAM
    return own and number_field(record.get("_UID")) == 0


def _is_pid_1(record: Mapping[str, object]) -> bool:
    return (number_field(record.get("_PID")), number_field(record.get("_UID"))) == (1, 0)


def _of_systemd(record: Mapping[str, object], message: str, at: datetime) -> ManagerAct | None:
    """What it did to a unit, which has a field of its own; most texts begin with it."""
    unit = text_field(record.get("UNIT")) or ""
    if _UNIT.fullmatch(unit) is None:
        return None
    told = ManagerAct(
        at=at, manager="systemd", did="stopping", unit=unit, line=shown(message)[:MOST_LINE]
    )
    if text_field(record.get("MESSAGE_ID")) == STOPPING:
        ends_session = SESSIONS.fullmatch(unit) is not None
        return told.model_copy(update={"did": "session-end"}) if ends_session else told
    if text_field(record.get("MESSAGE_ID")) == OUT_OF_MEMORY:
        return told.model_copy(update={"did": "unit-oom"})
    said = message.removeprefix(f"{unit}: ")
    for did, pattern in SYSTEMD:
        found = pattern.fullmatch(said)
        if found is not None and did == "signalled":
            whom = {"pid": int(found["pid"]), "comm": storable(found["comm"])}
            return told.model_copy(update={"did": did, "signal": SIGNALS.get(found["signal"]), **whom})
        if found is not None:
            return told.model_copy(update={"did": did})
    return None


def _microseconds(record: Mapping[str, object]) -> int | None:
    """When it was said, else when journald got it."""
    for name in ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"):
        us = number_field(record.get(name))
        if us is not None and us < _FAR_US:
            return us
    return None


def act_of(event: LogEvent, *, is_vouched: bool = True) -> ManagerAct | None:
    """A memory guard's kill; None where it names nobody, or no time."""
    if event.time is None or (event.pid is None and event.cgroup is None):
        return None
    return ManagerAct(
        at=event.time,
        manager="systemd-oomd" if event.kind == "oomd" else event.kind,
        did="killed-for-memory",
        pid=event.pid,
        comm=event.comm,
        signal=event.signal,
        cgroup=event.cgroup,
        is_vouched=is_vouched,
        line=event.line[:MOST_LINE],
    )
