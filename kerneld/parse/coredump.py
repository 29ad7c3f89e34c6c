"""A record of systemd-coredump's to the ManagerAct that tells of a core dump, with its native stack.

The stack is elfutils', one of each thread after the sentence, the crashed thread's first.
Source: submit_coredump in https://github.com/systemd/systemd/blob/v252/src/coredump/coredump.c and
frame_callback in src/shared/elf-util.c
"""

import re
from collections.abc import Mapping
from datetime import datetime

from kerneld.model.records import ManagerAct
from kerneld.parse.journal import number_field, text_field
from kerneld.parse.kmsg_text import shown, storable

FIELDS = ("COREDUMP_PID", "COREDUMP_COMM", "COREDUMP_SIGNAL")
SLICE = r"system-systemd\x2dcoredump.slice"
"""of the units that it runs in; journald takes it from the cgroup, which no user can enter"""
MESSAGE_ID = "fc2e22bc6ee647b6b90729ab34a250b1"
_UNIT = re.compile(r"systemd-coredump@[\w-]{1,200}\.service")
_THREAD = re.compile(r"^Stack trace of thread [0-9]{1,10}:\n", re.MULTILINE)
_FRAME = re.compile(r"#(?P<number>[0-9]{1,4}) +0x[0-9a-f]{1,16} (?P<place>.{1,1000})")
MAX_STACK_CHARS = 4000
MAX_LINE_CHARS = 300
MAX_PID, MAX_SIGNAL = 1 << 22, 64


def is_coredump(record: Mapping[str, object]) -> bool:
    """Whether systemd-coredump itself speaks: anybody may log under its name and its message's id."""
    unit = text_field(record.get("_SYSTEMD_UNIT")) or ""
    return record.get("MESSAGE_ID") == MESSAGE_ID and _UNIT.fullmatch(unit) is not None


def parse_coredump(record: Mapping[str, object], message: str, at: datetime) -> ManagerAct | None:
    """at: when it was logged, some time after the process had ended."""
    pid, number = (number_field(record.get(name)) for name in ("COREDUMP_PID", "COREDUMP_SIGNAL"))
    if pid is None or number is None or not (0 < pid <= MAX_PID and 0 < number <= MAX_SIGNAL):
        return None
    comm = text_field(record.get("COREDUMP_COMM"))
    return ManagerAct(
        at=at,
        manager="systemd-coredump",
        did="dumped-core",
        pid=pid,
        comm=storable(comm) if comm else None,
        signal=number,
        native_stack=_stack(message),
        line=shown(message.partition("\n")[0])[:MAX_LINE_CHARS],
    )


def _stack(message: str) -> str | None:
    """A frame a line, such as `crash_in_c (libcrashing.so + 0x1109)`, as far as there is room."""
    head = _THREAD.search(message)
    lines: list[str] = []
    size = 0
    for line in message[head.end() :].split("\n") if head else ():
        found = _FRAME.fullmatch(line)
        if found is None:
            break
        told = f"#{found['number']:<2} {storable(found['place'])}"
        size += len(told) + 1
        if size > MAX_STACK_CHARS:
            break
        lines.append(told)
    return "\n".join(lines) or None
