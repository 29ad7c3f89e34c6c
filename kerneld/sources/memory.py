"""Memory of every tracked process, sampled into rings that a death is asked for; no queue between."""

import logging
import select
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from kerneld.model.cells import Held
from kerneld.model.effects import Effect, ForgetMemory, SampleMemory
from kerneld.model.facts import SourceState
from kerneld.model.growth import Grown
from kerneld.model.process import Process, ProcessKey
from kerneld.model.readings import CgroupDelta, MemoryAccount
from kerneld.proc.cgroup import CGROUP_ROOT, CgroupDir, cgroup_dirs
from kerneld.proc.memory import ProcessMemory
from kerneld.proc.process import boot_clock, boot_seconds
from kerneld.sources.cgroup_history import CgroupHistory
from kerneld.sources.host_history import HostHistory
from kerneld.sources.memory_track import (
    BUSY_FOR_S,
    SLOW_BUSY_S,
    SLOW_REST_S,
    STATUS_REST_S,
    LivingMemory,
    Track,
    sampled_by,
)
from kerneld.sources.shm_history import ShmHistories
from kerneld.sources.source import Mailbox, Outlet, beat_s

log = logging.getLogger(__name__)

REST_S = 1.0
NEAR_SHARE = 0.8
BIG_SHARE = 0.1
"""Page cache fills a cgroup to its limit in all peace: only who holds this much of it is hurried."""


class MemorySource:
    """Rings of memory: 1 Hz at rest, busy_hz while a process grows, is busy or nears its limit.

    In the sampler's thread on_grown hears who grew, and on_short where memory is almost used up; the
    accounts and mark_busy are the owner's.
    """

    name = "memory"

    def __init__(
        self, *, busy_hz: float = 20.0, proc_root: str = "/proc", cgroup_root: str = CGROUP_ROOT
    ) -> None:
        self.on_grown: Callable[[Grown], None] | None = None
        self.on_short: Callable[[HostHistory, list[CgroupDir]], None] | None = None
        self._busy_s = 1.0 / busy_hz
        self._roots = (proc_root, cgroup_root)
        self._mailbox = Mailbox()
        self._tracks: dict[ProcessKey, Track] = {}
        self._living: list[Track] = []
        self._turns: deque[Track] = deque()
        self._cgroups: dict[tuple[int, str], CgroupHistory] = {}
        self._shm = ShmHistories(proc_root)
        self._host = HostHistory(proc_root)

    def control(self, effect: Effect) -> None:
        if isinstance(effect, SampleMemory | ForgetMemory):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def mark_busy(self, key: ProcessKey, busy: bool) -> None:
        """iopub says that a request is being served: it may allocate now, or begin workers."""
        track = self._tracks.get(key)
        if track is None or track.marked == busy:
            return
        track.marked = busy
        if busy:
            track.slow_due_s = min(track.slow_due_s, boot_seconds() + SLOW_BUSY_S)
        self._turns.append(track)
        self.wake()

    # ------------------------------------------------------------------ the sampler's thread

    def run(self, outlet: Outlet) -> None:
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        self._host.open()
        poller = select.poll()
        poller.register(self._mailbox.fd, select.POLLIN)
        rest_due_s = busy_due_s = boot_seconds()
        try:
            while not outlet.stopping.is_set():
                outlet.tick()
                for effect in self._mailbox.drain():
                    self._obey(effect)
                now_s = boot_seconds()
                if now_s >= rest_due_s:
                    self._sample_all(now_s)
                    rest_due_s = now_s + beat_s(REST_S)
                    busy_due_s = now_s + self._busy_s
                elif now_s >= busy_due_s:
                    self._sample_busy(now_s)
                    busy_due_s = now_s + self._busy_s
                while self._turns:  # a cell's own growth ends where the next one's begins
                    self._look(self._turns.popleft(), now_s)
                hurry = any(track.is_busy(now_s) for track in self._living)
                due_s = min(rest_due_s, busy_due_s) if hurry else rest_due_s
                poller.poll(max(0.0, due_s - boot_seconds()) * 1000)
        finally:
            self._host.close()

    def _sample_all(self, now_s: float) -> None:
        self._host.sample(now_s)
        for cgroup in self._cgroups.values():
            cgroup.sample(now_s)
        self._shm.sample(now_s)
        ended = False
        for track in self._living:
            ended |= not self._look(track, now_s)
        if ended:
            self._living = [track for track in self._living if track.memory is not None]
        self._hurry(now_s)

    def _sample_busy(self, now_s: float) -> None:
        busy = [track for track in self._living if track.is_busy(now_s)]
        if not busy:
            return
        for track in busy:
            self._look(track, now_s)
        for shm in {track.shm for track in busy if track.shm}:
            shm.sample(now_s)
        for cgroup in {track.cgroup for track in busy}:
            if cgroup is not None:
                cgroup.sample_usage()
        self._host.sample_busy(now_s)

    def _look(self, track: Track, now_s: float) -> bool:
        """False when the process has ended. Growth is told with the room that is left on the host."""
        alive = track.sample(now_s)
        if track.grown_since is not None and self.on_grown is not None:
            self.on_grown(track.take_growth(now_s, self._host.last.memory.available_bytes))
        return alive

    def _hurry(self, now_s: float) -> None:
        """Who holds much of a limit that is almost used up is looked at more often."""
        near = {
            cgroup: found
            for cgroup in self._cgroups.values()
            if (found := cgroup.near_limit(NEAR_SHARE)) is not None
        }
        host_limit = self._host.short_of()
        if not near and host_limit is None:
            return
        for track in self._living:
            found = near.get(track.cgroup) if track.cgroup else None
            limit = min((x for x in (found and found[0], host_limit) if x is not None), default=None)
            if limit is not None and track.tree_bytes >= BIG_SHARE * limit:
                track.busy_until_s = now_s + BUSY_FOR_S
        if self.on_short is not None:
            self.on_short(self._host, list(dict.fromkeys(owner for _, owner in near.values())))

    def _obey(self, effect: Effect) -> None:
        if isinstance(effect, SampleMemory):
            self._begin(effect.process)
        elif isinstance(effect, ForgetMemory):
            self._forget(effect.key)

    def _begin(self, process: Process) -> None:
        now_s = boot_seconds()
        if process.key in self._tracks:
            self._move(self._tracks[process.key], process, now_s)
            return
        cgroup = self._join_cgroup(process, now_s)
        memory = None
        try:
            memory = ProcessMemory(process.key, proc_root=self._roots[0])
        except ProcessLookupError:
            pass
        except OSError as problem:
            log.warning("the memory of process %d can't be sampled: %s", process.pid, problem)
        track = self._tracks[process.key] = Track(process.key, memory, cgroup, now_s)
        track.shm = self._shm.join(process.pid, now_s)
        if track.sample(now_s):
            track.slow_due_s += process.pid % SLOW_REST_S  # spread, so no second looks at all of them
            track.status_due_s += process.pid % STATUS_REST_S
            self._living.append(track)

    def _move(self, track: Track, process: Process, now_s: float) -> None:
        """A known process may have been put into another cgroup since."""
        location, before = process.cgroup, track.cgroup
        if location is None or self._cgroups.get((location.version, location.path)) is before:
            return
        track.cgroup = self._join_cgroup(process, now_s)
        self._leave_cgroup(before)

    def _join_cgroup(self, process: Process, now_s: float) -> CgroupHistory | None:
        location = process.cgroup
        if location is None:
            return None
        name = (location.version, location.path)
        history = self._cgroups.get(name)
        if history is None:
            dirs = cgroup_dirs(location, proc_root=self._roots[0], cgroup_root=self._roots[1])
            if not dirs:
                return None
            history = self._cgroups[name] = CgroupHistory(dirs)
            history.sample(now_s)
        history.members += 1
        return history

    def _forget(self, key: ProcessKey) -> None:
        track = self._tracks.pop(key, None)
        if track is None:
            return
        track.close()
        self._living = [other for other in self._living if other is not track]
        self._leave_cgroup(track.cgroup)
        self._shm.leave(track.shm)

    def _leave_cgroup(self, cgroup: CgroupHistory | None) -> None:
        if cgroup is None:
            return
        cgroup.members -= 1
        if cgroup.members == 0:
            self._cgroups = {n: c for n, c in self._cgroups.items() if c is not cgroup}
            cgroup.close()

    # ------------------------------------------------------------------ the owner's questions

    def account(self, key: ProcessKey, died_at: datetime) -> MemoryAccount:
        """What the sampler knew of a process that died then; empty where it knew nothing of it."""
        died_s = boot_clock(died_at)
        host, track = self._host.account(died_s), self._tracks.get(key)
        if track is None:
            return host
        sampled = sampled_by(track.ring, died_at)
        vm_bytes, data_bytes = track.vm()
        return host.model_copy(
            update={
                **sampled,
                "vm_bytes": vm_bytes,
                "data_bytes": data_bytes,
                "tree_peak_bytes": track.tree_peak_bytes or None,
                "swap_bytes": track.swap_bytes,
                "peaks": track.peaks(max((size for _, size in sampled["samples"]), default=0)),
                "shm": track.shm.fullest(died_s, died_at, boot_seconds()) if track.shm else None,
            }
        )

    def tree_account(self, key: ProcessKey, died_at: datetime) -> MemoryAccount:
        """The same of a process that lives, with all its children, when one of them died."""
        account, track = self.account(key, died_at), self._tracks.get(key)
        own = {"swap_bytes": None, "vm_bytes": None, "data_bytes": None, "peaks": ()}
        ring = track.tree_ring if track else None
        return account.model_copy(update={**own, **(sampled_by(ring, died_at) if ring else {})})

    def cgroup_delta(self, key: ProcessKey, died_at: datetime) -> CgroupDelta | None:
        """The cgroup's counters before the death and now; None where it is in no known cgroup.

        died_at: of the process itself, or of a child in the same cgroup while it lives on.
        """
        track = self._tracks.get(key)
        if track is None or track.cgroup is None:
            return None
        before = track.cgroup_before
        if before is None:
            before = track.cgroup.before(min(track.last_s, boot_clock(died_at)))
        return CgroupDelta(before=before, after=track.cgroup.read_after(died_at))

    def mapped_pages(self, key: ProcessKey) -> int | None:
        """The address space of a process by the last look; None where it is not sampled."""
        track = self._tracks.get(key)
        return track.mapped_pages if track else None

    def rss_bytes(self, key: ProcessKey) -> int | None:
        """What a process holds by the last look; None where it is not sampled."""
        track = self._tracks.get(key)
        return track.last_bytes or None if track else None

    def living(self, key: ProcessKey) -> LivingMemory | None:
        """How a process does now; None where it is not sampled."""
        track = self._tracks.get(key)
        return track.living(boot_seconds()) if track else None

    def held(self, key: ProcessKey, since: datetime, until: datetime) -> Held | None:
        """What a process held in a span of time; None where it was not sampled then."""
        track = self._tracks.get(key)
        return track.held(boot_clock(since), boot_clock(until)) if track else None
