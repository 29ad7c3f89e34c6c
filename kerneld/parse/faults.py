"""One message of the Linux log to the event it states: faults, traps, signals, hardware."""

import re
from dataclasses import dataclass

from kerneld.model.records import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse.fault_table import CUT_TABLE, OBJECT, SIGNALS, TABLE, WARNING, Row
from kerneld.parse.kmsg_text import COMM, Message, shown
from kerneld.parse.oom_lines import ASKER

_TORN_OBJECT = re.compile(rf" ?in {OBJECT}(?: likely on.{{0,60}})?", re.DOTALL)
PATIENCE = 6
"""lines of addresses stand between a fault and the line that names its process"""
_NAMED_LATER = {
    "potentially unexpected fatal signal ",
    "User process fault: interruption code ",
    ": unhandled page fault (",
}
_PID_LINE = re.compile(
    rf"Pid: (?P<pid>[0-9]{{1,10}}), comm: +{COMM}(?: (?:Tainted: |Not tainted).*)?", re.DOTALL
)


def _by_needle(table: tuple[Row, ...]) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """Rows in their order, those with one needle together: nearly no line has any."""
    needles = dict.fromkeys(row.needle for row in table)
    return tuple((needle, tuple(row for row in table if row.needle == needle)) for needle in needles)


_WHOLE = _by_needle(TABLE)
_OF_EXCERPTS = _WHOLE + _by_needle(CUT_TABLE)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An event whose next lines may say more: a torn-off object at once, who was hit soon after.

    patience: further messages that may come before.
    """

    event: LogEvent
    patience: int = 0

    def joined(self, message: Message) -> LogEvent | None:
        """The event with what this message adds, None where the message is none of its own."""
        if self.event.pid is None:
            found = ASKER[0].fullmatch(message.text) or _PID_LINE.fullmatch(message.text)
            if found is None or self.event.comm not in (None, message.name(found["comm"])):
                return None
            who = {"pid": int(found["pid"]), "comm": message.name(found["comm"])}
            return self.event.model_copy(update=who)
        torn = _TORN_OBJECT.fullmatch(message.text)
        if torn is None:
            return None
        return self.event.model_copy(update={"object": shown(torn["object"])})


def parse_fault(message: Message) -> LogEvent | Unfinished | None:
    """The event that a message states by itself; None for every other message."""
    for needle, rows in _OF_EXCERPTS if message.is_excerpt else _WHOLE:
        if needle not in message.text:
            continue
        for row in rows:
            found = row.pattern.fullmatch(message.text) if _is_at_level(row, message) else None
            if found is not None:
                return _event(row, found.groupdict(), message)
    return None


def _is_at_level(row: Row, message: Message) -> bool:
    """Text that tells levels has crashes as warnings, too (`dmesg -x` of a log that was relayed)."""
    if message.level is None or message.level in row.levels:
        return True
    return message.trust is Trust.TEXT and {message.level} <= WARNING


def _event(row: Row, groups: dict[str, str | None], message: Message) -> LogEvent | Unfinished:
    fields: dict[str, object] = {"kind": row.kind}
    for name, text in groups.items():
        if text is None:
            continue
        if name in ("comm", "xid_comm"):
            fields["comm"] = message.name(text)
        elif name == "audit_comm":
            fields["comm"] = _audit_name(text, message)
        elif name == "object":
            fields["object"] = shown(text)
        elif name in ("fault_addr", "ip"):
            fields[name] = text
        elif name == "signal_name":
            fields["signal"] = SIGNALS.get(text)
        else:
            fields[name] = int(text)
    event = message.event(fields)
    if event.pid is None and row.needle in _NAMED_LATER:
        return Unfinished(event, PATIENCE)
    return Unfinished(event) if row.may_continue and event.object is None else event


def _audit_name(text: str, message: Message) -> str | None:
    """audit_log_untrustedstring: quoted, or in hexadecimal where it holds a quote or a blank."""
    if text.startswith('"'):
        return message.name(text[1:-1])
    return None if text.startswith("(") else message.name(_from_hex(text))


def _from_hex(text: str) -> str:
    return bytes.fromhex(text[: len(text) & ~1]).decode("utf-8", "backslashreplace")
