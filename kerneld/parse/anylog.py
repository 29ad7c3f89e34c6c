"""The lines of any log, in their order, to the events that Linux or a killer's daemon states there.

What is not believed: a line without the prefix that its neighbours have; a line that lies inside a
file's name or a quoted word of the line before; another identifier's words.
"""

import re
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from kerneld.model.facts import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse import wrapped
from kerneld.parse.entry import Entry
from kerneld.parse.killers import Killers
from kerneld.parse.kmsg import KernelLog
from kerneld.parse.kmsg_text import Message, Origin
from kerneld.parse.records import Records
from kerneld.parse.stamps import Stamp, moment_of

DOUBT_BYTES = 4096
"""how far behind a line with a prefix one without is not believed: a record has at most 2048 bytes"""
AFTERMATH = 24
"""lines that are read behind one that tells something"""
MAX_REPORT_LINES = 100_000
"""lines of an open OOM report: 32,768 tasks, and what other programs log meanwhile"""
MAX_SEEN = 512
NEIGHBOURS = 3
"""lines of Linux of one shape, behind which one that has less around it is not believed"""
MAX_DOUBTED = 256
"""so many lines in a row: the log is written in another way from there on"""

_AUDITED = re.compile(
    r"(?:audit: )?(?:node=\S{1,255} )?(?:type=)?(?:1326|1701|SECCOMP|ANOM_ABEND) "
    r"(?:auid=|(?:msg=)?audit\()"
)
"""the only lines that count of those under audit's name: anybody may log under it"""
_OPEN_QUOTE = re.compile(r".*[ =(,:]'[^']*", re.DOTALL)
_SAYS = {
    "earlyoom": (re.compile(r"[Ll]ow [Mm]emory! [Aa]t or below |mem avail: |dryrun mode enabled"), 8),
    "nohang": (
        re.compile(
            r"(?:=+ )?STARTING implement_corrective_action|Recheck memory levels\.\.\."
            r"|Victim status \(found in "
            r"|Process with highest badness |Implement(?:ing)? a corrective action:|TOP printed in "
        ),
        32,
    ),
}
"""lines that only such a daemon writes, and how many behind one are taken for its own"""


@dataclass(frozen=True, slots=True)
class _Line:
    entry: Entry
    number: int
    is_doubted: bool


class AnyLog:
    """One log. zone, latest: see stamps.moment_of. feed takes a line without its newline."""

    def __init__(self, *, zone: tzinfo, latest: datetime, source_file: str | None = None) -> None:
        self._zone, self._latest, self._source_file = zone, latest, source_file
        self._records = Records()
        self._held: list[_Line] = []
        self._kernels: dict[tuple[Trust, bool], KernelLog] = {}
        self._killers = Killers()
        self._last: Entry | None = None
        self._since_prefix = DOUBT_BYTES
        self._wants = 0
        self._report_lines = 0
        self._daemon: str | None = None
        self._daemon_lines = 0
        self._moment: tuple[Stamp, datetime | None] | None = None
        self._shapes: deque[str] = deque(maxlen=NEIGHBOURS)
        self._doubted = 0
        self._seen: deque[tuple[object, ...]] = deque(maxlen=MAX_SEEN)

    @property
    def is_open(self) -> bool:
        """The next lines may belong to what was told: none of them may be left out."""
        return self._wants > 0 or self._records.is_inside or self._is_reporting

    @property
    def _is_reporting(self) -> bool:
        if not any(log.is_reporting for log in self._kernels.values()):
            self._report_lines = 0
            return False
        return self._report_lines < MAX_REPORT_LINES

    def feed(self, raw: bytes, number: int, lost: int = 0) -> list[LogEvent]:
        """The events that the line completes. number: of the line in its file, from 1; lost: how
        many bytes of its end were cut off."""
        self._wants = max(0, self._wants - 1)
        self._report_lines += 1
        entry = self._records.feed(raw, lost)
        if entry is None:
            return []
        if entry.is_bare:
            doubted = self._since_prefix < DOUBT_BYTES
            self._since_prefix += len(raw) + 1
        else:
            doubted = False
            self._since_prefix = 0
        return self._arrange(_Line(entry, number, doubted))

    def notice(self) -> None:
        """A line that tells something comes: what follows it is wanted, too."""
        self._wants = AFTERMATH

    def gap(self) -> list[LogEvent]:
        """Lines were left out here."""
        events = self._release()
        self._last = None
        self._since_prefix = DOUBT_BYTES
        self._shapes.clear()
        return events

    def flush(self) -> list[LogEvent]:
        """The log falls silent: what waited for a further line, as far as it was told."""
        events = self._release()
        late = [event for log in self._kernels.values() for event in log.flush()]
        return events + self._fresh(late + self._killers.flush())

    def close(self) -> list[LogEvent]:
        """The log's end."""
        entry = self._records.close()
        events = self._arrange(_Line(entry, 0, False)) if entry else []
        events += self._release()
        left = [event for log in self._kernels.values() for event in log.close()]
        return events + self._fresh(left + self._killers.flush())

    # ------------------------------------------------------------ pieces of a message

    def _arrange(self, line: _Line) -> list[LogEvent]:
        """Hold a line until the next shows whether it goes on there."""
        if not self._held:
            self._held = [line]
            return []
        first = self._held[0]
        if not self._goes_on(first, line):
            events = self._release()
            self._held = [line]
            return events
        whole = self._whole([*(held.entry.text for held in self._held), line.entry.text])
        if whole is not None:
            self._held = [replace(first, entry=replace(first.entry, text=whole))]
            return []
        self._held.append(line)
        if not self._may_go_on(first.entry.text):
            self._held.pop()
            events = self._release()
            self._held = [line]
            return events
        return []

    def _goes_on(self, first: _Line, line: _Line) -> bool:
        if line.entry.is_bare:
            return True
        a, b = first.entry, line.entry
        return _is_one_record(a, b) and not a.escaped and a.is_linux and wrapped.is_torn_name(a.text)

    def _whole(self, pieces: list[str]) -> str | None:
        if sum(map(len, pieces)) > wrapped.MAX_MESSAGE:
            return None
        if wrapped.is_torn_name(pieces[0]) and wrapped.ends_name(pieces[-1]):
            return "".join(pieces)
        return wrapped.joined(pieces)

    def _may_go_on(self, text: str) -> bool:
        pieces = self._held[1:]
        if wrapped.is_torn_name(text):
            name = text.rpartition(" in ")[2]
            return len(name) + sum(len(p.entry.text) + 1 for p in pieces) <= wrapped.MAX_NAME
        return len(pieces) < wrapped.MAX_PIECES and wrapped.is_begun(text)

    def _release(self) -> list[LogEvent]:
        held, self._held = self._held, []
        return [event for line in held for event in self._judge(line)]

    # ------------------------------------------------------------ belief

    def _judge(self, line: _Line) -> list[LogEvent]:
        entry, last = line.entry, self._last
        if entry.is_bare and line.is_doubted:
            return []
        if self._is_misshapen(entry):
            return []
        self._last = entry
        if last is not None and _lies_in_quotes(entry, last):
            self._last = last
            return []
        return self._fresh(self._route(line))

    def _is_misshapen(self, entry: Entry) -> bool:
        """It lacks a wrapping that Linux's own lines have here: `[123.456789]`, a priority, …"""
        if entry.is_bare or not entry.is_linux:
            return False
        shapes = self._shapes
        shared = set(shapes[0]) if len(shapes) == NEIGHBOURS and len(set(shapes)) == 1 else set()
        if set(entry.shape) < shared and self._doubted < MAX_DOUBTED:
            self._doubted += 1
            return True
        self._doubted = 0
        shapes.append(entry.shape)
        return False

    def _route(self, line: _Line) -> list[LogEvent]:
        entry = line.entry
        if len(entry.text) > wrapped.MAX_MESSAGE * 4:
            return []
        message = Message(
            entry.text, entry.level, self._origin(line), Trust.TEXT, entry.escaped, is_excerpt=True
        )
        if entry.identifier == "audit":
            if _AUDITED.match(entry.text) is None:
                return []
            return self._linux(replace(entry, identifier=None), message.origin)
        if not entry.is_linux:
            return self._killers.feed(entry.identifier or "", message)
        daemon = self._daemon_of(entry) if entry.identifier is None else None
        if daemon is not None:
            return self._killers.feed(daemon, message)
        return self._linux(entry, message.origin)

    def _linux(self, entry: Entry, origin: Origin) -> list[LogEvent]:
        key = (entry.trust, entry.escaped)
        log = self._kernels.get(key)
        if log is None:
            log = self._kernels[key] = KernelLog(
                entry.trust, page_kb=None, is_escaped=entry.escaped, is_excerpt=True
            )
        return log.feed(
            entry.text,
            level=entry.level,
            facility=entry.facility,
            caller=f"{entry.host or ''}/{entry.caller or ''}",
            origin=origin,
        )

    def _daemon_of(self, entry: Entry) -> str | None:
        """The daemon whose own output this is: without an identifier its status lines tell."""
        if entry.uptime_s is not None or entry.level is not None:
            return None
        for daemon, (pattern, lines) in _SAYS.items():
            if pattern.match(entry.text):
                self._daemon, self._daemon_lines = daemon, lines
        self._daemon_lines -= 1
        return self._daemon if self._daemon_lines > 0 else None

    # ------------------------------------------------------------ what an event is given

    def _origin(self, line: _Line) -> Origin:
        entry = line.entry
        time: datetime | None = None
        if entry.stamp is not None:
            if self._moment is None or self._moment[0] != entry.stamp:
                at = moment_of(entry.stamp, zone=self._zone, latest=self._latest)
                self._moment = (entry.stamp, at)
            time = self._moment[1]
        has_year = entry.stamp is None or entry.stamp.has_year
        return Origin(entry.uptime_s, time, self._source_file, line.number, has_year)

    def _fresh(self, events: list[LogEvent]) -> list[LogEvent]:
        """Without what was told already: the same record again, by another way into the same log."""
        fresh = []
        for event in events:
            key = (event.kind, event.pid, event.uptime_s, event.line)
            audited = event.kind in ("seccomp", "other") and "auid=" in event.line
            if audited:
                who = event.line.partition("auid=")[2].partition(" exe=")[0]
                key = (event.kind, event.pid, None, who)
            if (event.uptime_s is not None or audited) and key in self._seen:
                continue
            self._seen.append(key)
            fresh.append(event)
        return fresh


def _is_one_record(entry: Entry, other: Entry) -> bool:
    """Two lines that may be one record: Linux's own clock says so, or the date where there is none."""
    if (entry.shape, entry.host) != (other.shape, other.host):
        return False
    if entry.uptime_s is not None:
        return entry.uptime_s == other.uptime_s
    return entry.stamp is not None and entry.stamp == other.stamp


def _lies_in_quotes(entry: Entry, last: Entry) -> bool:
    """It goes on with a quoted word of the line before: one record that Linux printed as two lines."""
    if not (entry.is_linux and last.is_linux) or entry.escaped:
        return False
    if not _is_one_record(entry, last):
        return False
    if last.text.count('"') % 2 == 0 and _OPEN_QUOTE.fullmatch(last.text) is None:
        return False
    return wrapped.told(last.text) == 0
