"""Where a crash was, as the lines and traces of a case tell it."""

import re

from kerneld.model.case import Case
from kerneld.model.evidence import act_upon, is_blind, own_log
from kerneld.model.exits import exit_of
from kerneld.model.place import CrashTrace, FaultPlace
from kerneld.model.records import LogEvent, LogRecord, ManagerAct

FAULT_KINDS = (
    "segfault", "gpf", "invalid_opcode", "int3", "divide_error", "bus_error", "seccomp", "mce",
)  # fmt: skip


def fault_line(case: Case) -> LogRecord | None:
    """The line by which Linux tells of this process's fault."""
    return own_log(case, *FAULT_KINDS)


def place_of(case: Case, record: LogRecord | None) -> FaultPlace | None:
    """Where the address of this line leads, if that was looked up."""
    known = case.place is not None and record is not None and case.place.ip == record.event.ip
    return case.place if known else None


def trace_of(case: Case) -> CrashTrace | None:
    """What faulthandler wrote as the process crashed, into a file of its user's."""
    return case.place.trace if case.place else None


def core_of(case: Case) -> ManagerAct | None:
    """What systemd-coredump says of this process's core."""
    act = act_upon(case, "dumped-core")
    return act if act is not None and act.signal == exit_of(case).signal else None


def awaits_core(case: Case) -> bool:
    """It dumped core, and who looks into cores may still tell of it."""
    dumped = bool(exit_of(case).core_dumped) and core_of(case) is None
    return dumped and not is_blind(case, "journal")


_OBJECT = re.compile(
    r"(?P<name>.+?)\[(?:(?P<offset>[0-9a-f]+),)?(?P<base>[0-9a-f]+)\+(?P<size>[0-9a-f]+)\]"
)


def fault_object(event: LogEvent) -> tuple[str | None, str | None]:
    """The file that a fault line names, and the offset in it: printed, or else ip less its base."""
    match = _OBJECT.fullmatch(event.object or "")
    if match is None:
        return event.object, None
    if match["offset"] is not None or event.ip is None:
        return match["name"], match["offset"]
    try:
        return match["name"], f"{int(event.ip, 16) - int(match['base'], 16):x}"
    except ValueError:
        return match["name"], None
