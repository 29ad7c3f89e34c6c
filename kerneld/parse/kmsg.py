"""Records of /dev/kmsg, or bare messages of the Linux log, to the events that they state.

Belief: facility 0 alone is Linux itself; a line counts at its own level only, where the level is
known; a record is one message, whatever its text holds. Text without levels is trusted less.
"""

import re
from dataclasses import dataclass, replace

from kerneld.model.records import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse.faults import Unfinished, parse_fault
from kerneld.parse.kmsg_text import Message, Origin
from kerneld.parse.oom import OomReport
from kerneld.parse.procfs import text_of

MAX_OTHERS = 32
"""messages of other callers that may stand between a fault and its rest"""
MAX_CALLERS = 8
"""reports open at a time: Linux holds one lock, a merged log as many as it has hosts"""

_RECORD = re.compile(
    rb"(?P<priority>[0-9]{1,10}),(?P<sequence>[0-9]{1,19}),(?P<uptime_us>[0-9]{1,19}),"
    rb"(?P<flags>[^,;\n]{0,8})(?P<more>(?:,[^,;\n]{0,64}){0,8});(?P<message>[^\n]*)"
)


@dataclass(frozen=True, slots=True)
class KmsgRecord:
    """One record of /dev/kmsg: kernel/printk/printk.c info_print_ext_header and msg_print_ext_body.

    message: with its `\\xNN` escapes; the KEY=value lines behind it are dropped. caller: `T123` for
    a task, `C1` for a CPU, None without CONFIG_PRINTK_CALLER. continues: it goes on with the last.
    """

    priority: int
    sequence: int
    uptime_us: int
    caller: str | None
    continues: bool
    message: str

    @property
    def facility(self) -> int:
        return self.priority >> 3

    @property
    def level(self) -> int:
        return self.priority & 7


def parse_record(raw: bytes) -> KmsgRecord | None:
    """What one read of /dev/kmsg gave; None where it is no such record."""
    found = _RECORD.match(raw)
    if found is None:
        return None
    extra = found["more"].decode("ascii", "replace").split(",")
    caller = next((part[7:] for part in extra if part.startswith("caller=")), None)
    return KmsgRecord(
        priority=int(found["priority"]),
        sequence=int(found["sequence"]),
        uptime_us=int(found["uptime_us"]),
        caller=caller,
        continues=b"c" in found["flags"] or b"+" in found["flags"],
        message=text_of(found["message"]),
    )


_NOWHERE = Origin()


class KernelLog:
    """Messages in the log's order, one at a time, to events; a death told in several lines is one.

    trust KERNEL: levels and facilities are known. trust TEXT: one that is None is let pass.
    page_kb: the unit of the OOM report's task table; None: each report tells it by its victim.
    is_escaped: text is escaped as in /dev/kmsg. is_excerpt: lines may be missing or cut, so deaths
    whose last line is missing count. Both follow from trust where they are not given.
    """

    def __init__(
        self,
        trust: Trust,
        *,
        page_kb: int | None = 4,
        is_escaped: bool | None = None,
        is_excerpt: bool | None = None,
    ) -> None:
        self._trust = trust
        self._page_kb = page_kb
        self._is_escaped = trust is Trust.KERNEL if is_escaped is None else is_escaped
        self._is_excerpt = trust is Trust.TEXT if is_excerpt is None else is_excerpt
        self._reports: dict[str | None, OomReport] = {}
        self._unfinished: dict[str | None, Unfinished] = {}
        self._others = 0

    @property
    def is_waiting(self) -> bool:
        """An event waits for a line that may complete it: flush it when the log falls silent."""
        return bool(self._unfinished)

    @property
    def is_reporting(self) -> bool:
        """An OOM report has begun, and has not named its victim."""
        return any(report.is_open for report in self._reports.values())

    def feed(
        self,
        message: str,
        *,
        level: int | None = None,
        facility: int | None = None,
        caller: str | None = None,
        origin: Origin = _NOWHERE,
    ) -> list[LogEvent]:
        """The events that this message completes. caller: reports of two callers do not mix."""
        unknown = level is None or facility is None
        if facility not in (0, None) or (unknown and self._trust is Trust.KERNEL):
            return []
        said = Message(message, level, origin, self._trust, self._is_escaped, self._is_excerpt)
        events = self._overdue() if self._unfinished else []
        waiting = self._unfinished.pop(caller, None)
        if waiting is not None:
            if (joined := waiting.joined(said)) is not None:
                return [*events, joined]
            if waiting.patience and parse_fault(said) is None:
                self._unfinished[caller] = replace(waiting, patience=waiting.patience - 1)
            else:
                events.append(waiting.event)
        of_report = self._report(caller).feed(said)
        if of_report is not None:
            return events + of_report
        fault = parse_fault(said)
        if isinstance(fault, Unfinished):
            self._unfinished[caller], self._others = fault, 0
        elif fault is not None:
            events.append(fault)
        return events

    def flush(self) -> list[LogEvent]:
        """The events that waited, as far as they were told."""
        waiting, self._unfinished = self._unfinished, {}
        return [each.event for each in waiting.values()]

    def _overdue(self) -> list[LogEvent]:
        """What waited for its own caller while so many messages came."""
        self._others += 1
        return self.flush() if self._others > MAX_OTHERS else []

    def close(self) -> list[LogEvent]:
        """The end of the log: what waited, and victims whose kill line is missing."""
        left = self.flush()
        for report in self._reports.values():
            left += report.unresolved()
        self._reports = {}
        return left

    def _report(self, caller: str | None) -> OomReport:
        report = self._reports.pop(caller, None) or OomReport(self._page_kb)
        self._reports[caller] = report
        if len(self._reports) > MAX_CALLERS:
            del self._reports[next(iter(self._reports))]
        return report
