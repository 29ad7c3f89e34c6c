"""A cgroup's counters, second by second, to the last reading that is surely from before a death."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kerneld.model.readings import CgroupReading
from kerneld.parse.cgroups import parse_cgroup_bytes
from kerneld.proc.cgroup import CgroupDir, CgroupWatch, RawReading

KEPT_READINGS = 5
"""1 a second: the sampler sees an end within 1 s, and MARGIN_S more must be left behind it"""

MARGIN_S = 1.0
"""A victim may still be seen after its kill was counted: it dies only once it runs, and unmaps."""

SAME_MOMENT = timedelta(milliseconds=10)


@dataclass(slots=True)
class Slot:
    """One reading of a cgroup and its ancestors, and the most usage seen from it until the next."""

    at_s: float
    at: datetime
    raw: tuple[RawReading, ...]
    usage_bytes: list[int]


class CgroupHistory:
    """One cgroup that processes are sampled in; one thread samples, the owner asks for a reading."""

    def __init__(self, dirs: tuple[CgroupDir, ...]) -> None:
        self.members = 0
        self._watch = CgroupWatch(dirs)
        self._slots: deque[Slot] = deque(maxlen=KEPT_READINGS)
        self._open = True
        self._closing = threading.Lock()
        self._read: tuple[datetime, tuple[CgroupReading, ...]] = (datetime.min.replace(tzinfo=UTC), ())

    def sample(self, now_s: float) -> None:
        raw = self._watch.read_raw()
        usage = [parse_cgroup_bytes(one[1]) or 0 for one in raw]
        self._slots.append(Slot(now_s, datetime.now(UTC), raw, usage))

    def sample_usage(self) -> None:
        """Between two readings, while a member grows: a limit can be reached within a second."""
        most = self._slots[-1].usage_bytes
        for index, usage in enumerate(self._watch.usage_bytes()[: len(most)]):
            most[index] = max(most[index], usage or 0)

    def read_after(self, died_at: datetime) -> tuple[CgroupReading, ...]:
        """Counters of now, from any thread; of many deaths at once the last reading after each."""
        now = datetime.now(UTC)
        with self._closing:
            if not self._open:
                return ()
            read_at, readings = self._read
            if not died_at <= read_at or now - read_at > SAME_MOMENT:
                readings = self._watch.read(now)
                self._read = now, readings
            return readings

    def near_limit(self, share: float) -> tuple[int, CgroupDir] | None:
        """The limit of which this share is used at the last look, and whose it is, if any."""
        if not self._slots:
            return None
        slot = self._slots[-1]
        for raw, usage, owner in zip(slot.raw, slot.usage_bytes, self._watch.dirs, strict=False):
            limit = parse_cgroup_bytes(raw[2])
            if limit and usage >= share * limit:
                return limit, owner
        return None

    def headroom_bytes(self) -> int | None:
        """To the nearest of its limits at the last look; None: it has none."""
        if not self._slots:
            return None
        slot = self._slots[-1]
        pairs = zip(slot.raw, slot.usage_bytes, strict=True)
        rooms = [limit - usage for raw, usage in pairs if (limit := parse_cgroup_bytes(raw[2]))]
        return max(0, min(rooms)) if rooms else None

    def before(self, alive_s: float) -> tuple[CgroupReading, ...]:
        """The counters MARGIN_S before a process was last seen alive, else the oldest kept.

        The usage is the most that was seen from then until it was last seen alive.
        """
        slots = list(self._slots)
        if not slots:
            return ()
        start = max((i for i, s in enumerate(slots) if s.at_s <= alive_s - MARGIN_S), default=0)
        during = [slots[start], *(s for s in slots[start + 1 :] if s.at_s <= alive_s)]
        readings = self._watch.parse(slots[start].raw, slots[start].at)
        return tuple(
            reading.model_copy(
                update={"usage_bytes": max(s.usage_bytes[i] for s in during if i < len(s.usage_bytes))}
            )
            if reading.usage_bytes is not None
            else reading
            for i, reading in enumerate(readings)
        )

    def close(self) -> None:
        with self._closing:
            self._open = False
            self._watch.close()
