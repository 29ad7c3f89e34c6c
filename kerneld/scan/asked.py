"""Events to those that were asked for, and to how many deaths they are."""

import fnmatch
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kerneld.model.records import LogEvent

SAME_DEATH = timedelta(minutes=1)
RECENT = 64


@dataclass(slots=True)
class Tally:
    """How many deaths, and errors of a graphics processor, events tell of."""

    events: int = 0
    deaths: int = 0
    errors: int = 0
    _recent: deque[LogEvent] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, event: LogEvent) -> None:
        """Several records of one process in quick succession tell of one death."""
        self.events += 1
        if event.kind == "xid":
            self.errors += 1
            return
        if not any(_is_same_death(event, other) for other in self._recent):
            self.deaths += 1
        self._recent.append(event)


@dataclass(slots=True)
class Counts:
    """lines: read in all. undated: left out because their time is not known."""

    lines: int = 0
    undated: int = 0
    told: Tally = field(default_factory=Tally)
    fitting: Tally = field(default_factory=Tally)

    def take(self, event: LogEvent, asked: "Asked") -> bool:
        """Count the event, and whether it fits."""
        self.told.add(event)
        if asked.needs_date and event.time is None and asked.fits_process(event):
            self.undated += 1
            return False
        if not asked.fits(event):
            return False
        self.fitting.add(event)
        return True


def _is_same_death(event: LogEvent, other: LogEvent) -> bool:
    if event.pid is None or _process(event) != _process(other):
        return False
    if event.time is not None and other.time is not None:
        return abs(event.time - other.time) < SAME_DEATH
    if event.uptime_s is not None and other.uptime_s is not None:
        return abs(event.uptime_s - other.uptime_s) < SAME_DEATH.total_seconds()
    return True


def _process(event: LogEvent) -> int | None:
    """Old Linux names the threads of one process in a line each."""
    return event.pid if event.process_pid is None else event.process_pid


@dataclass(frozen=True, slots=True)
class Asked:
    """What an event must be like. comm: a name, or a pattern with * and ?."""

    since: datetime | None = None
    until: datetime | None = None
    pid: int | None = None
    comm: str | None = None

    @property
    def needs_date(self) -> bool:
        return self.since is not None or self.until is not None

    def fits_process(self, event: LogEvent) -> bool:
        if self.pid is not None and self.pid not in (event.pid, event.process_pid):
            return False
        return self.comm is None or fnmatch.fnmatchcase(event.comm or "", self.comm)

    def fits(self, event: LogEvent) -> bool:
        if not self.fits_process(event):
            return False
        if not self.needs_date:
            return True
        return (
            event.time is not None
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )
