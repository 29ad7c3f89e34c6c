"""The lines of any log, in their order, to the events that Linux or a killer's daemon states there.

Lines become records, records whole messages, and those that are believed go to whoever reads what
their speaker says; another identifier's words are nobody's.
"""

import re
from collections import deque
from datetime import datetime, tzinfo

from kerneld.model.records import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse import wrapped
from kerneld.parse.belief import Belief
from kerneld.parse.entry import Entry, Line
from kerneld.parse.killers import Killers
from kerneld.parse.kmsg import KernelLog
from kerneld.parse.kmsg_text import Message, Origin
from kerneld.parse.pieces import Pieces
from kerneld.parse.prefixes import unwrap
from kerneld.parse.procfs import text_of
from kerneld.parse.records import Records
from kerneld.parse.stamps import Stamp, moment_of

DOUBT_BYTES = 1 << 16
"""how far behind a line with a prefix one without is not believed: it may be a further line of the
same message. Linux's records have 2048 bytes at most, an application's message may have 48 KiB
(journald's LineMax=)"""
SHORTEST = 8
"""bytes: no line with a prefix is shorter, nor one that Linux or a killer's daemon writes, but
nohang's `UID: 0`"""
AFTERMATH = 24
"""lines that are read behind one that tells something"""
MAX_REPORT_LINES = 100_000
"""lines of an open OOM report: 32,768 tasks, and what other programs log meanwhile"""
MAX_SEEN = 512

_AUDITED = re.compile(
    r"(?:audit: )?(?:node=\S{1,255} )?(?:type=)?(?:1326|1701|SECCOMP|ANOM_ABEND) "
    r"(?:auid=|(?:msg=)?audit\()"
)
"""the only lines that count of those under audit's name: anybody may log under it"""
_AUDIT_TIME = re.compile(r"audit\(([0-9]{9,10}\.[0-9]{3}):")
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


class AnyLog:
    """One log. zone, latest: see stamps.moment_of. feed takes a line without its newline."""

    def __init__(self, *, zone: tzinfo, latest: datetime, source_file: str | None = None) -> None:
        self._zone, self._latest, self._source_file = zone, latest, source_file
        self._records = Records()
        self._pieces = Pieces()
        self._belief = Belief()
        self._kernels: dict[tuple[bool, bool], KernelLog] = {}
        self._killers = Killers()
        self._since_prefix = DOUBT_BYTES
        self._skipped = b""
        self._wants = 0
        self._report_lines = 0
        self._daemon: str | None = None
        self._daemon_lines = 0
        self._moment: tuple[Stamp, datetime | None] | None = None
        self._seen: deque[tuple[object, ...]] = deque(maxlen=MAX_SEEN)

    @property
    def is_open(self) -> bool:
        """The next lines may belong to what was told: none of them may be left out."""
        return (
            self._wants > 0 or self._records.is_inside or self._belief.is_holding or self._is_reporting
        )

    @property
    def _is_idle(self) -> bool:
        """A few letters are no piece of anything."""
        return self._pieces.is_idle and not self._records.is_inside and self._daemon_lines <= 0

    @property
    def lacks_bytes(self) -> int:
        """More than one line may be fed at once: see Records."""
        return self._records.lacks_bytes

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
        if not raw and not self._records.is_inside:
            self._since_prefix += 1
            return self._told(self._pieces.blank())
        if len(raw) < SHORTEST and self._is_idle and b"{" not in raw:
            self._since_prefix += len(raw) + 1
            return []
        entry = self._records.feed(raw, lost)
        if entry is None:
            return []
        if entry.is_bare:
            doubted = self._is_near_prefix()
            self._since_prefix += len(raw) + 1
        else:
            doubted = False
            self._since_prefix, self._skipped = 0, b""
        return self._told(self._pieces.feed(Line(entry, number, doubted)))

    def notice(self) -> None:
        """A line that tells something comes: what follows it is wanted, too."""
        self._wants = AFTERMATH

    def gap(self, skipped: bytes) -> list[LogEvent]:
        """Lines were left out here. skipped: the last of them, as many as may be one message."""
        events = self._told(self._pieces.release())
        events += self._routed(self._belief.gap())
        self._skipped = skipped
        return events

    def flush(self) -> list[LogEvent]:
        """The log falls silent: what waited for a further line, as far as it was told."""
        events = self._release()
        late = [event for log in self._kernels.values() for event in log.flush()]
        return events + self._fresh(late + self._killers.flush())

    def close(self) -> list[LogEvent]:
        """The log's end."""
        entry = self._records.close()
        events = self._told(self._pieces.feed(Line(entry, 0))) if entry else []
        events += self._release()
        left = [event for log in self._kernels.values() for event in log.close()]
        return events + self._fresh(left + self._killers.flush())

    def _release(self) -> list[LogEvent]:
        events = self._told(self._pieces.release())
        return events + self._routed(self._belief.release())

    def _told(self, lines: list[Line]) -> list[LogEvent]:
        return [event for line in lines for event in self._routed(self._belief.feed(line))]

    def _routed(self, lines: list[Line]) -> list[LogEvent]:
        return [event for line in lines for event in self._fresh(self._route(line))]

    def _is_near_prefix(self) -> bool:
        """A line with a prefix stands so close before that a bare one may be a part of its message."""
        skipped, self._skipped = self._skipped, b""
        for line in reversed(skipped.split(b"\n")):
            if len(line) > SHORTEST and not unwrap(text_of(line)).is_bare:
                self._since_prefix = 0
                break
            self._since_prefix += len(line) + 1
        return self._since_prefix < DOUBT_BYTES

    def _route(self, line: Line) -> list[LogEvent]:
        entry = line.entry
        if len(entry.text) > wrapped.MAX_MESSAGE * 4:
            return []
        if len(entry.text) < SHORTEST and entry.is_bare and self._daemon_lines <= 0:
            return []
        speaker, origin = entry.identifier, self._origin(line)
        if speaker == "audit":
            return self._linux(entry, origin) if _AUDITED.match(entry.text) is not None else []
        if speaker is None:
            speaker = self._daemon_of(entry)
        if speaker in (None, "kernel"):
            return self._linux(entry, origin)
        message = Message(entry.text, entry.level, origin, Trust.TEXT, entry.escaped, is_excerpt=True)
        return self._killers.feed(speaker or "", message)

    def _linux(self, entry: Entry, origin: Origin) -> list[LogEvent]:
        key = (entry.trust is Trust.KERNEL, entry.escaped)
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

    def _origin(self, line: Line) -> Origin:
        entry, time = line.entry, None
        stamp = entry.stamp
        if stamp is None and (audited := _AUDIT_TIME.search(entry.text, 0, 300)) is not None:
            stamp = Stamp(epoch=audited[1])
        if stamp is not None:
            if self._moment is None or self._moment[0] != stamp:
                at = moment_of(stamp, zone=self._zone, latest=self._latest)
                self._moment = (stamp, at)
            time = self._moment[1]
        has_year = stamp is None or stamp.has_year
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
