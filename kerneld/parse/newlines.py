"""Lines of Linux, in their order, to those that are no part of the record before.

Linux prints users' names into its log (a mapped file's, a mount option's, a program's path), and
where a name holds newlines, most readers of the log print what follows each as a line of its own,
with the record's own prefix: a file `x\\nOut of memory: Killed process …\\n` forges a kill. Such a
line has the clock of the line before. Where the clock tells microseconds, that gives it away: a
third of a report's lines share one on a fast machine, but two causes hardly ever do. Where it tells
seconds or nothing, the rest of the torn record does, which comes soon: Linux closes each name.
"""

import re

from kerneld.parse import wrapped
from kerneld.parse.entry import Entry, Line
from kerneld.parse.stamps import Stamp

MAX_RECORD = 2048
"""PRINTK_MESSAGE_MAX: so much of a record may stand around a quoted name"""
MAX_TAIL = 64
"""what Linux prints behind a file's name: the addresses of its map, `likely on CPU …`"""

_FAMILIES = (
    # each head is longer than a process's name: no name that a line begins with can claim it
    re.compile(
        r"(?:(?:Out of [Mm]emory|Memory cgroup out of memory)[^:]{0,30}: )?"
        r"(?:Killed process [0-9]|[Kk]ill process [0-9])"
        r"|oom-kill:constraint=|oom_reaper: reaped process [0-9]"
        r"|Tasks in .* are going to be killed due to memory\.oom\.group set"
        r"|.{1,15} invoked oom-killer: gfp_mask=0x"
        r"|\[ *(?:pid *\] +uid +tgid |[0-9]{1,10}\](?: +-?[0-9]{1,18}){6} )",
        re.DOTALL,
    ),
    re.compile(r"audit: type=[0-9]{4} audit\("),
    re.compile(r"NVRM: Xid \([^)]{1,80}\): [0-9]"),
    re.compile(r"Memory failure: 0x[0-9a-f]"),
    re.compile(r"lowmemorykiller: "),
)
"""what Linux prints in records one right behind the other, users' names cut or escaped in them"""

_UNQUOTED = re.compile(
    r"(?:overlay(?:fs)?|CIFS|cifs|[Nn][Ff][Ss]|9p\w{0,9}|fuse|input"
    r"|usb [0-9.:-]{1,20}: (?:Product|Manufacturer|SerialNumber)): "
)
"""who prints a name that a user chose without marks around it"""
_NAME = "name"


class Newlines:
    """feed takes a line and gives those that stand, in their order; it may hold some of them back."""

    def __init__(self) -> None:
        self._clock: int | None = None
        self._is_fine = False
        self._first: Entry | None = None
        self._last: Entry | None = None
        self._shown = ""
        self._behind = 0
        self._held: list[Line] = []

    @property
    def is_holding(self) -> bool:
        return bool(self._held)

    def release(self) -> list[Line]:
        """The log goes on elsewhere, or falls silent: what was held was no part of a record."""
        held, self._held, self._shown = self._held, [], ""
        return held

    def gap(self) -> list[Line]:
        """Lines were left out here."""
        self._first = self._last = None
        return self.release()

    def feed(self, line: Line) -> list[Line]:
        entry = line.entry
        if not entry.is_linux:
            if self._held:
                self._held.append(line)
                return []
            return [line]
        last, self._last = self._last, entry
        if not self._is_fine:
            self._look_at_clock(entry)
        if last is None or self._first is None or not may_be_one_record(last, entry):
            self._first = entry
            before = self.release()
            self._look_for_names(entry)
            return [*before, line]
        if self._is_fine and _microseconds(entry) is not None:
            return [] if _is_doubted(entry.text, self._first.text) else [line]
        return self._held_back(line)

    def _look_at_clock(self, entry: Entry) -> None:
        """It tells microseconds: two different ones were seen that no clock of jiffies tells."""
        clock = _microseconds(entry)
        if clock is not None and clock % 1000:
            self._is_fine = self._clock not in (None, clock)
            self._clock = clock

    # ------------------------------------------------------------ seconds, or no clock

    def _held_back(self, line: Line) -> list[Line]:
        """Hold what tells of a death close behind a user's text until the text is seen to end."""
        text = line.entry.text
        self._behind += len(text) + 1
        if self._held:
            self._held.append(line)
            if self._ends(text):
                *inside, end = self.release()
                self._look_for_names(end.entry)
                return [*(each for each in inside if not _may_tell(each.entry)), end]
            return self.release() if self._is_far else []
        is_near = self._shown and not self._is_far
        if is_near and _may_tell(line.entry) and not wrapped.names_object(text):
            self._held = [line]
            return []
        self._look_for_names(line.entry)
        return [line]

    def _look_for_names(self, entry: Entry) -> None:
        found = "" if entry.is_record else _names_in(entry.text)
        if found == _NAME or (found and entry.shape):  # prose has quotes, too
            self._shown = found
            self._behind = len(entry.text.rpartition(" in ")[2] if found == _NAME else entry.text)

    @property
    def _is_far(self) -> bool:
        """Too far behind the user's text to be a part of it."""
        limit = wrapped.MAX_NAME + MAX_TAIL if self._shown == _NAME else MAX_RECORD
        return self._behind > limit

    def _ends(self, text: str) -> bool:
        """The rest of a record behind a user's text stands in this line."""
        if self._shown == _NAME:
            return wrapped.ends_name(text)
        return any(quote in text for quote in self._shown) and not _is_kin(text, text)


def _may_tell(entry: Entry) -> bool:
    return entry.is_linux and wrapped.may_tell(entry.text)


def _is_doubted(text: str, first: str) -> bool:
    """It tells of a death at the very moment of a line that shows what a user wrote."""
    if not wrapped.may_tell(text) or _is_kin(first, text):
        return False
    return bool(_names_in(first)) or _UNQUOTED.match(first) is not None


def _is_kin(text: str, other: str) -> bool:
    return any(kin.match(text) and kin.match(other) for kin in _FAMILIES)


def _names_in(text: str) -> str:
    """What may hold a newline: a mapped file's name, or the quotes that stand around other names."""
    if wrapped.names_object(text):
        return _NAME
    return ("'" if "'" in text else "") + ('"' if '"' in text else "")


def _microseconds(entry: Entry) -> int | None:
    """The clock of Linux itself, where the line has it."""
    if entry.uptime_s is not None:
        return round(entry.uptime_s * 1e6)
    clock = entry.stamp.iso if entry.stamp is not None else None
    if clock is None or clock[-7:-6] != ",":
        return None
    return int(clock[-6:])  # `dmesg --time-format=iso`


def may_be_one_record(entry: Entry, other: Entry) -> bool:
    """Two lines whose prefixes do not tell that they are two records."""
    if not entry.shape and not other.shape:
        return True
    if entry.is_record or entry.level != other.level or entry.caller != other.caller:
        return False
    if (entry.shape.lower(), entry.host) != (other.shape.lower(), other.host):
        return False
    if entry.shape[-1:].lower() == "r":
        return other.shape[-1:] == "R"
    if entry.uptime_s is not None:
        return entry.uptime_s == other.uptime_s
    if _microseconds(entry) is not None:
        return entry.stamp == other.stamp
    return _second(entry.stamp) == _second(other.stamp)


def _second(stamp: Stamp | None) -> tuple[str | None, ...]:
    if stamp is None:
        return ()
    clock = stamp.iso or stamp.epoch or stamp.clock or ""
    return (stamp.month, stamp.day, stamp.year, re.split(r"[.,]", clock, maxsplit=1)[0])
