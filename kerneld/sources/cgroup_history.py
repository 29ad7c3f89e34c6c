"""A cgroup's counters, second by second, to the last reading that is surely from before a death."""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kerneld.model.facts import CgroupReading
from kerneld.proc.cgroup import CgroupDir, CgroupWatch

KEPT_READINGS = 5
"""1 a second: the sampler sees an end within 1 s, and MARGIN_S more must be left behind it"""

MARGIN_S = 1.0
"""A victim may still be seen after its kill was counted: it dies only once it runs, and unmaps."""


@dataclass(slots=True)
class Slot:
    """One reading, and the most usage seen from it until the next one."""

    at_s: float
    readings: tuple[CgroupReading, ...]
    usage_bytes: list[int] = field(default_factory=list)


class CgroupHistory:
    """One cgroup that processes are sampled in; one thread samples, the owner asks for a reading."""

    def __init__(self, dirs: tuple[CgroupDir, ...]) -> None:
        self.members = 0
        self._watch = CgroupWatch(dirs)
        self._slots: deque[Slot] = deque(maxlen=KEPT_READINGS)
        self._open = True
        self._closing = threading.Lock()

    def sample(self, now_s: float) -> None:
        readings = self._watch.read(datetime.now(UTC))
        self._slots.append(Slot(now_s, readings, [r.usage_bytes or 0 for r in readings]))

    def sample_usage(self) -> None:
        """Between two readings, while a member grows: a limit can be reached within a second."""
        most = self._slots[-1].usage_bytes
        for index, usage in enumerate(self._watch.usage_bytes()[: len(most)]):
            most[index] = max(most[index], usage or 0)

    def read_now(self) -> tuple[CgroupReading, ...]:
        """Fresh counters; from any thread."""
        with self._closing:
            return self._watch.read(datetime.now(UTC)) if self._open else ()

    def near_limit_bytes(self, share: float) -> int | None:
        """The limit of which this share is used at the last look, if any."""
        for slot in list(self._slots)[-1:]:
            for reading, usage in zip(slot.readings, slot.usage_bytes, strict=True):
                if reading.limit_bytes and usage >= share * reading.limit_bytes:
                    return reading.limit_bytes
        return None

    def before(self, alive_s: float) -> tuple[CgroupReading, ...]:
        """The counters MARGIN_S before a process was last seen alive, else the oldest kept.

        The usage is the most that was seen from then until it was last seen alive.
        """
        slots = list(self._slots)
        if not slots:
            return ()
        start = max((i for i, s in enumerate(slots) if s.at_s <= alive_s - MARGIN_S), default=0)
        during = [slots[start], *(s for s in slots[start + 1 :] if s.at_s <= alive_s)]
        return tuple(
            reading.model_copy(
                update={"usage_bytes": max(s.usage_bytes[i] for s in during if i < len(s.usage_bytes))}
            )
            if reading.usage_bytes is not None
            else reading
            for i, reading in enumerate(slots[start].readings)
        )

    def close(self) -> None:
        with self._closing:
            self._open = False
            self._watch.close()
