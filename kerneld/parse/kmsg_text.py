"""The Linux log's escaped text to names, lines and where they stand; shared by its parsers."""

import re
from dataclasses import dataclass
from datetime import datetime

from kerneld.model.records import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse.procfs import text_of

COMM = r"(?P<comm>(?>\\x[0-9a-f]{2}|.){0,15}?)"
"""TASK_COMM_LEN is 16. An escaped byte counts as one, so that no name can hold a rival line's head"""

HEX = r"(?:0x)?[0-9a-fA-F]{1,16}"

_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message stands: the log's own clock, wall time if the log has one, file and line.

    line_number: the record's number where the log numbers its records itself. has_year: False where
    the year of time is assumed.
    """

    uptime_s: float | None = None
    time: datetime | None = None
    source_file: str | None = None
    line_number: int | None = None
    has_year: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the log, and what is known of its sender; level None: the log does not say.

    is_escaped: the text has /dev/kmsg's `\\xNN`. is_excerpt: lines around it may be missing or cut.
    """

    text: str
    level: int | None
    origin: Origin
    trust: Trust
    is_escaped: bool
    is_excerpt: bool

    def name(self, text: str) -> str:
        """A process's or a cgroup's name as /proc has it: /dev/kmsg's escapes undone."""
        return plain(text) if self.is_escaped else storable(text)

    def event(self, fields: dict[str, object]) -> LogEvent:
        """A LogEvent that stands at this message. fields: LogEvent's own names."""
        return LogEvent.model_validate(
            {
                "trust": self.trust,
                "line": shown(self.text),
                "uptime_s": self.origin.uptime_s,
                "time": self.origin.time,
                "source_file": self.origin.source_file,
                "line_number": self.origin.line_number,
                "has_year": self.origin.has_year,
                **fields,
            }
        )


def storable(text: str) -> str:
    """Text without surrogates, which no UTF-8 can hold."""
    if text.isascii():
        return text
    return text_of(text.encode("utf-8", "surrogatepass"))


def plain(text: str) -> str:
    """Text with `\\xNN` undone: Linux escapes what is not printable ASCII, and the backslash."""
    if "\\" not in text:
        return storable(text)
    raw = text.encode("utf-8", "surrogatepass")
    return text_of(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), raw))


def shown(text: str) -> str:
    """The text on one line: each control character as `\\xNN`."""
    text = storable(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode())
