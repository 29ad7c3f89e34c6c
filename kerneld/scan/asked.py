"""Events to those that were asked for, and to how many deaths they are."""

import fnmatch
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kerneld.model.facts import LogEvent

SAME_DEATH = timedelta(minutes=1)
RECENT = 64


@dataclass(slots=True)
class Counts:
    """lines: read in all. undated: left out because their time is not known."""

    lines: int = 0
    events: int = 0
    deaths: int = 0
    errors: int = 0
    undated: int = 0
    _recent: deque[LogEvent] = field(default_factory=lambda: deque(maxlen=RECENT))

    def tell(self, event: LogEvent) -> None:
        """Several records of one process in quick succession tell of one death."""
        self.events += 1
        if event.kind == "xid":
            self.errors += 1
            return
        if not any(_is_same_death(event, other) for other in self._recent):
            self.deaths += 1
        self._recent.append(event)


def _is_same_death(event: LogEvent, other: LogEvent) -> bool:
    if event.pid is None or event.pid != other.pid:
        return False
    if event.time is not None and other.time is not None:
        return abs(event.time - other.time) < SAME_DEATH
    if event.uptime_s is not None and other.uptime_s is not None:
        return abs(event.uptime_s - other.uptime_s) < SAME_DEATH.total_seconds()
    return True


@dataclass(frozen=True, slots=True)
class Asked:
    """What an event must be like. comm: a name, or a pattern with * and ?."""

    since: datetime | None = None
    until: datetime | None = None
    pid: int | None = None
    comm: str | None = None

    def fits(self, event: LogEvent, counts: Counts) -> bool:
        if self.pid is not None and event.pid != self.pid:
            return False
        if self.comm is not None and not fnmatch.fnmatchcase(event.comm or "", self.comm):
            return False
        if self.since is None and self.until is None:
            return True
        if event.time is None:
            counts.undated += 1
            return False
        return (self.since is None or event.time >= self.since) and (
            self.until is None or event.time < self.until
        )
