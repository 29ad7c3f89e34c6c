"""One process in the memory sampler's hand: when it is looked at, and what was seen."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from kerneld.model.cells import Held
from kerneld.model.growth import Grown
from kerneld.model.process import ProcessKey
from kerneld.model.readings import CgroupReading, PeakReading
from kerneld.model.vocabulary import PeakHow
from kerneld.parse.procfs import parse_statm_rss, parse_statm_vm
from kerneld.proc.memory import PAGE_BYTES, ProcessMemory
from kerneld.proc.process import boot_clock
from kerneld.sources.cgroup_history import CgroupHistory
from kerneld.sources.ring import Ring
from kerneld.sources.shm_history import ShmHistory

GROWTH_BYTES = 4 << 20
"""since the last sample: more is growth, and the process is looked at busy_hz times a second"""
BUSY_FOR_S = 3.0
TOLD_BYTES = 16 << 20
"""of growth: so much is told to who charges it to lines"""
SLOW_REST_S, SLOW_BUSY_S = 30.0, 1.0
STATUS_REST_S = 120.0
"""with cold caches a status costs 55 µs, a look for children 7, a sample 3: so they are rare at rest"""
THREADS_S = 10.0
"""of several threads each is opened: 0.2 ms where an ipykernel has 13"""
GROWTH_OVER_S = 10.0
LIVING_SAMPLES, LIVING_S = 60, 300.0
ACCOUNT_SAMPLES = 240
LOOKED_WITHIN_S = 1.5
"""after a moment: its word wakes the sampler, which looks at everybody every second anyway"""


@dataclass(frozen=True, slots=True)
class LivingMemory:
    """A process now: samples are (seconds ago, bytes) of the last 5 minutes, oldest first."""

    rss_bytes: int | None
    tree_bytes: int | None
    growth_bytes_per_s: float | None
    samples: tuple[tuple[float, int], ...]


class Track:
    """One process in the sampler's hand. memory is None once it ended; the ring stays."""

    __slots__ = (
        "_has_descendants",
        "_raw",
        "_statm",
        "busy_until_s",
        "cgroup",
        "cgroup_before",
        "grown_since",
        "hwm_bytes",
        "key",
        "last_bytes",
        "marked",
        "memory",
        "ring",
        "shm",
        "slow_due_s",
        "status_bytes",
        "status_due_s",
        "swap_bytes",
        "threads_due_s",
        "told_bytes",
        "told_s",
        "tree_bytes",
        "tree_peak_bytes",
        "tree_ring",
    )

    def __init__(
        self,
        key: ProcessKey,
        memory: ProcessMemory | None,
        cgroup: CgroupHistory | None,
        now_s: float,
    ) -> None:
        self.key = key
        self.memory = memory
        self._statm = memory.resident.fd if memory else -1
        self._raw = b""
        self._has_descendants = False
        self.cgroup = cgroup
        self.cgroup_before: tuple[CgroupReading, ...] | None = None
        self.ring = Ring(now_s)
        self.tree_ring: Ring | None = None
        self.shm: ShmHistory | None = None
        self.marked = False
        self.last_bytes = self.tree_bytes = self.tree_peak_bytes = self.status_bytes = 0
        self.told_s, self.told_bytes = now_s, 0
        self.grown_since: tuple[float, int] | None = None
        """since when and from where it grew by TOLD_BYTES; taken by the sampler"""
        self.hwm_bytes: int | None = None
        self.swap_bytes: int | None = None
        self.busy_until_s = self.slow_due_s = self.status_due_s = self.threads_due_s = 0.0

    def sample(self, now_s: float) -> bool:
        """One look; False when the process has no memory any more: it ended.

        Nearly every look finds what the last one found: it touches as little as it can, as with cold
        caches the rest of a track costs as much as the system call.
        """
        memory = self.memory
        if memory is None:
            return False
        try:
            raw = os.pread(self._statm, 64, 0)
        except OSError:
            raw = b""
        if raw and raw == self._raw and not self._has_descendants and now_s < self.slow_due_s:
            self.ring.seen_s = now_s
            return True
        if raw != self._raw:
            pages = parse_statm_rss(raw)
            if not pages:
                self._end()
                return False
            self._raw, self.last_bytes = raw, pages * PAGE_BYTES
            self.ring.append(now_s, self.last_bytes)
            self._note_growth(now_s)
        self.ring.seen_s = now_s
        tree = self.last_bytes
        if self._has_descendants:
            tree += memory.descendants_bytes()
            if self.tree_ring is None:
                self.tree_ring = Ring(now_s)
            self.tree_ring.append(now_s, tree)
        if tree != self.tree_bytes:
            self._note_tree(tree, now_s)
        if now_s >= self.slow_due_s:
            self._look_slowly(memory, now_s)
        return True

    @property
    def last_s(self) -> float:
        """When it was last seen alive."""
        return self.ring.seen_s

    def _note_growth(self, now_s: float) -> None:
        grown = self.last_bytes - self.told_bytes
        if 0 <= grown < TOLD_BYTES:
            return
        if grown > 0 and self.told_bytes:
            self.grown_since = (self.told_s, self.told_bytes)
        self.told_s, self.told_bytes = now_s, self.last_bytes

    def take_growth(self, now_s: float, free_bytes: int | None) -> Grown:
        """With the room to the nearest limit, the host's free memory included."""
        since_s, since_bytes = self.grown_since or (now_s, self.last_bytes)
        self.grown_since = None
        under = self.cgroup.headroom_bytes() if self.cgroup else None
        room = min((x for x in (free_bytes, under) if x is not None), default=None)
        return Grown(self.key, since_s, since_bytes, now_s, self.last_bytes, room)

    def _note_tree(self, tree_bytes: int, now_s: float) -> None:
        if self.tree_bytes and tree_bytes - self.tree_bytes > GROWTH_BYTES:
            self.busy_until_s = now_s + BUSY_FOR_S
        self.tree_bytes = tree_bytes
        self.tree_peak_bytes = max(self.tree_peak_bytes, tree_bytes)

    def is_busy(self, now_s: float) -> bool:
        return self.memory is not None and (self.marked or now_s < self.busy_until_s)

    def _look_slowly(self, memory: ProcessMemory, now_s: float) -> None:
        """Descendants, VmHWM and VmSwap; children of every thread only while it is busy."""
        busy = self.is_busy(now_s)
        self.slow_due_s = now_s + (SLOW_BUSY_S if busy else SLOW_REST_S)
        every_thread = now_s >= self.threads_due_s and (busy or self.threads_due_s == 0)
        if every_thread:
            self.threads_due_s = now_s + THREADS_S
        memory.find_descendants(every_thread=every_thread)
        if self._has_descendants and not memory.descendants:
            self._note_tree(self.last_bytes, now_s)
        self._has_descendants = bool(memory.descendants)
        moved = abs(self.last_bytes - self.status_bytes) > GROWTH_BYTES
        if moved or now_s >= self.status_due_s:
            self.status_due_s = now_s + STATUS_REST_S
            self.status_bytes = self.last_bytes
            status = memory.status()
            if status.hwm_bytes is not None:
                self.hwm_bytes, self.swap_bytes = status.hwm_bytes, status.swap_bytes

    @property
    def mapped_pages(self) -> int | None:
        pages = parse_statm_vm(self._raw)
        return pages[0] if pages else None

    def vm(self) -> tuple[int | None, int | None]:
        """Address space and data when it was last seen alive."""
        pages = parse_statm_vm(self._raw)
        return (pages[0] * PAGE_BYTES, pages[1] * PAGE_BYTES) if pages else (None, None)

    def held(self, since_s: float, until_s: float) -> Held | None:
        """What it held in a span of time. Word of its begin is some 40 ms late."""
        before = self.ring.last_at(since_s)
        after = self.ring.first_at(until_s, within_s=LOOKED_WITHIN_S)
        if before is None or after is None:
            return None
        return Held(before, max(before, after, self.ring.most(since_s, until_s)), after)

    def living(self, now_s: float) -> LivingMemory:
        return LivingMemory(
            rss_bytes=self.last_bytes or None,
            tree_bytes=self.tree_bytes or None,
            growth_bytes_per_s=self.ring.growth_bytes_per_s(now_s, over_s=GROWTH_OVER_S),
            samples=self.ring.pairs(now_s, at_most=LIVING_SAMPLES, since_s=now_s - LIVING_S),
        )

    def peaks(self, most_bytes: int) -> tuple[PeakReading, ...]:
        """Lower bounds: it may have grown since. A VmHWM below a later sample is left out."""
        peaks = [PeakReading(how=PeakHow.SAMPLE, peak_bytes=most_bytes, lower_bound=True)]
        if self.hwm_bytes is not None and self.hwm_bytes >= most_bytes:
            peaks.insert(0, PeakReading(how=PeakHow.VMHWM, peak_bytes=self.hwm_bytes, lower_bound=True))
        return tuple(peaks) if most_bytes else ()

    def _end(self) -> None:
        if self.cgroup is not None and self.cgroup_before is None:
            self.cgroup_before = self.cgroup.before(self.last_s)
        if self.memory is not None:
            self.memory.close()
        self.memory = None

    def close(self) -> None:
        if self.memory is not None:
            self.memory.close()
        self.memory = None


class Sampled(TypedDict):
    """Those fields of a MemoryAccount that a ring fills."""

    samples: tuple[tuple[float, int], ...]
    last_bytes: int | None
    last_at: datetime | None
    growth_bytes_per_s: float | None


def sampled_by(ring: Ring, died_at: datetime) -> Sampled:
    """What a ring tells of a death."""
    died_s = boot_clock(died_at)
    samples = ring.pairs(died_s, at_most=ACCOUNT_SAMPLES)
    return {
        "samples": samples,
        "last_bytes": samples[-1][1] if samples else None,
        "last_at": died_at - timedelta(seconds=samples[-1][0]) if samples else None,
        "growth_bytes_per_s": ring.growth_bytes_per_s(died_s, over_s=GROWTH_OVER_S),
    }
