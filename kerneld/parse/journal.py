"""Records of the journal and of containers' logs (JSON, export format) to Entries."""

import json
import math
import re
from collections.abc import Mapping

from kerneld.model.vocabulary import Trust
from kerneld.parse import stamps
from kerneld.parse.entry import LEVELS, NOT_LINUX, Entry, facility_number
from kerneld.parse.procfs import text_of
from kerneld.parse.stamps import Stamp

MAX_JSON = 1 << 20
"""characters of a line of JSON that is read: a deeper or longer one is no log line"""

_DAEMONS = ("earlyoom", "systemd-oomd", "systemd-coredump")
"""under whose names anybody may log, but not as a process of that name by journald's account"""
MAX_COMM = 15
_MESSAGE_KEYS = ("MESSAGE", "message", "msg", "log", "textPayload")
_TIME_KEYS = ("time", "timestamp", "@timestamp", "ts")
_FIELD = re.compile(
    r'"(?P<key>MESSAGE|message|msg|log|textPayload)"\s*:\s*(?P<value>"(?>[^"\\]|\\.)*"),?\s*', re.DOTALL
)


def of_json(text: str) -> Entry | None:
    """A line that is a JSON object with a message, or one member of an indented one."""
    if len(text) > MAX_JSON:
        return None
    text = text.strip().removesuffix(",")
    if text.startswith('"'):
        found = _FIELD.fullmatch(text)
        return _of_member(found) if found else None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return of_fields(value) if isinstance(value, dict) else None


def of_lines(lines: list[str]) -> Entry | None:
    """A JSON object that was printed over several lines; cut, its whole members count."""
    try:
        value = json.loads("".join(lines).strip().removesuffix(","))
    except (ValueError, RecursionError):
        value = {}
        for line in lines[1:]:
            with_braces = "{" + line.strip().removesuffix(",") + "}"
            try:
                value = json.loads(with_braces) | value
            except (ValueError, RecursionError):
                continue
    return of_fields(value) if isinstance(value, dict) else None


def of_fields(record: Mapping[str, object]) -> Entry | None:
    """The fields of one record; those of journald decide who speaks."""
    message = next((text_field(record[key]) for key in _MESSAGE_KEYS if key in record), None)
    if message is None:
        return None
    if "__REALTIME_TIMESTAMP" in record or "_TRANSPORT" in record or "SYSLOG_IDENTIFIER" in record:
        return _of_journal(record, message)
    if "pri" in record:
        return _of_dmesg(record, message)
    when = next((record[key] for key in _TIME_KEYS if isinstance(record.get(key), str)), None)
    date = stamps.ISO.match(str(when)) if when else None
    return Entry(
        _inner(message), shape="j", stamp=stamps.stamp_of(date.groupdict()) if date else None,
        partial="log" in record and not message.endswith("\n"),
    )  # fmt: skip


def _of_dmesg(record: Mapping[str, object], message: str) -> Entry:
    """util-linux's `dmesg --json`: priority and time as numbers, or decoded (-x, -T)."""
    # of a record of facility 1 it prints the level, too: nothing shows that Linux wrote it
    priority, uptime = record["pri"], record.get("time")
    known = type(priority) is int
    decoded = LEVELS.index(str(priority)) if priority in LEVELS else None
    name = record.get("fac")
    date = stamps.ISO.match(uptime) if isinstance(uptime, str) else None
    return Entry(
        message,
        shape="jp" if known else "jx",
        stamp=stamps.stamp_of(date.groupdict()) if date else None,
        uptime_s=_finite(uptime),
        level=int(str(priority)) & 7 if known else decoded,
        facility=int(str(priority)) >> 3 or None
        if known
        else facility_number(str(name))
        if name
        else None,
    )


def _finite(value: object) -> float | None:
    """JSON's numbers have no NaN and no end, Python's reader of it has both."""
    known = isinstance(value, float) and math.isfinite(value)
    whole = type(value) is int and abs(value) < 1 << 62
    return float(str(value)) if known or whole else None


def _of_member(found: re.Match[str]) -> Entry | None:
    try:
        message = json.loads(found["value"], strict=False)
    except ValueError:
        return None
    return Entry(_inner(str(message)), shape="j")


def _of_journal(record: Mapping[str, object], message: str) -> Entry:
    """journald sets the fields that begin with _ itself: `_TRANSPORT` can't be claimed."""
    transport = text_field(record.get("_TRANSPORT"))
    name = text_field(record.get("SYSLOG_IDENTIFIER")) or text_field(record.get("_COMM"))
    level, facility = number_field(record.get("PRIORITY")), number_field(record.get("SYSLOG_FACILITY"))
    if name == "kernel" and transport not in (None, "kernel"):
        name = NOT_LINUX
    if transport == "kernel":
        facility = 0 if facility is None else facility
        name = name or "kernel"
    comm = text_field(record.get("_COMM"))
    if name in _DAEMONS and comm is not None and comm != name[:MAX_COMM]:
        name = "?"
    if name == "audit" and transport not in (None, "audit"):
        name = "?"
    believed = transport == "kernel" and level is not None and name == "kernel"
    if transport == "audit":
        name = "audit"
    uptime_us = number_field(record.get("_SOURCE_BOOTTIME_TIMESTAMP")) or number_field(
        record.get("_SOURCE_MONOTONIC_TIMESTAMP")
    )
    return Entry(
        message.rstrip("\n"),
        shape="J",
        stamp=_stamp(record),
        uptime_s=None if uptime_us is None else uptime_us / 1e6,
        level=level if believed else None,
        facility=facility if transport == "kernel" else None,
        host=text_field(record.get("_HOSTNAME")),
        identifier=name or "?",
        identifier_pid=number_field(record.get("_PID")),
        trust=Trust.KERNEL if believed else Trust.TEXT,
    )


def _stamp(record: Mapping[str, object]) -> Stamp | None:
    us = number_field(record.get("_SOURCE_REALTIME_TIMESTAMP")) or number_field(
        record.get("__REALTIME_TIMESTAMP")
    )
    return None if us is None else Stamp(epoch=f"{us // 1_000_000}.{us % 1_000_000:06}")


def _inner(message: str) -> str:
    """Some loggers escape a line's end twice."""
    return message.removesuffix("\\n").removesuffix("\\r").rstrip("\r\n")


def text_field(value: object) -> str | None:
    """A field of journald's JSON: text, or bytes as a list of numbers where it is not printable."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(b, int) and 0 <= b <= 255 for b in value):
        return text_of(bytes(value))
    if isinstance(value, list) and value and isinstance(value[0], str):
        return value[0]
    return None


def number_field(value: object) -> int | None:
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return int(text) if text.isdecimal() and len(text) <= 20 else None
