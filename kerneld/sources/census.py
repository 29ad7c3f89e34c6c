"""Who else was there: the largest processes after a death, and before it while memory gets short.

A look at all of 10,000 processes takes 50 ms of a core: it never comes before a verdict, it lets go
between slices, and it rests as long as it cost. With memory enough nobody is looked at.
"""

import select
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial

from kerneld.model.effects import Effect, LookAround
from kerneld.model.facts import LookedAround, SourceState
from kerneld.model.process import Process
from kerneld.model.readings import Surroundings
from kerneld.model.vocabulary import LimitKind
from kerneld.proc.cgroup import CGROUP_ROOT, CgroupDir, cgroup_dirs
from kerneld.proc.disk import free_bytes
from kerneld.proc.largest import largest, members
from kerneld.proc.process import list_pids
from kerneld.sources.host_history import HostHistory
from kerneld.sources.source import Mailbox, Outlet, beat_s

ASKED_SHARE = 0.1
CALM_SHARE, URGENT_SHARE = 0.002, 0.02
"""of a core, in the long run: after deaths, while memory gets short, while there is hardly any left"""
SHORT_S, LASTS_S = 2.0, 1.5
"""between two looks while memory is short; the sampler says each second that it is"""
BREATH_S = 0.001
MAX_ASKED, MAX_CGROUPS = 4096, 8


class CensusSource:
    """One thread looks; deaths ask from the owner's, shortage from the memory sampler's."""

    name = "census"

    def __init__(self, *, proc_root: str = "/proc", cgroup_root: str = CGROUP_ROOT) -> None:
        self._roots = (proc_root, cgroup_root)
        self._mailbox = Mailbox(latest=MAX_ASKED)
        self._short: tuple[float, bool, bool, list[CgroupDir]] | None = None
        self._not_before_s = self.next_short_s = 0.0

    def control(self, effect: Effect) -> None:
        if isinstance(effect, LookAround):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def grows_short(self, host: HostHistory, cgroups: list[CgroupDir]) -> None:
        """Called each second while it is so: little is left of the host's memory, or of a cgroup's."""
        now_s = time.monotonic()
        self._short = (now_s, host.short_of() is not None, host.is_urgent, cgroups[:MAX_CGROUPS])
        if now_s >= self.next_short_s:
            self._mailbox.wake()

    # ------------------------------------------------------------------ the thread

    def run(self, outlet: Outlet) -> None:
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        poller = select.poll()
        poller.register(self._mailbox.fd, select.POLLIN)
        asked: list[LookAround] = []
        while not outlet.stopping.is_set():
            outlet.tick()
            asked += [order for order in self._mailbox.drain() if isinstance(order, LookAround)]
            if asked and time.monotonic() >= self._not_before_s:
                self._answer(asked, outlet)
                asked = []
            self._look_at_shortage(outlet)
            pause_s = self._not_before_s - time.monotonic() if asked else beat_s()
            poller.poll(max(0.0, min(pause_s, beat_s())) * 1000)

    def _answer(self, asked: list[LookAround], outlet: Outlet) -> None:
        """One look for all who wait; of each limit's processes and of each path once."""
        began_s = time.thread_time()
        breathe = partial(outlet.stopping.wait, BREATH_S)
        everybody = self._all(breathe)
        under: dict[str, Surroundings] = {}
        free = cache(partial(free_bytes, proc_root=self._roots[0]))
        for order in asked[-MAX_ASKED:]:
            owner = self._limit_of(order.process)
            if owner is not None and owner.path not in under:
                under[owner.path] = self._under(owner, breathe)
            outlet.emit(
                LookedAround(
                    everybody.at,
                    (everybody, *([under[owner.path]] if owner else [])),
                    key=order.process.key,
                    disk_free_bytes=free(order.path) if order.path else None,
                )
            )
        self._not_before_s = time.monotonic() + (time.thread_time() - began_s) / ASKED_SHARE

    def _look_at_shortage(self, outlet: Outlet) -> None:
        short, now_s = self._short, time.monotonic()
        if short is None or now_s < self.next_short_s or now_s - short[0] > LASTS_S:
            return
        began_s = time.thread_time()
        _, is_host, is_urgent, cgroups = short
        breathe = partial(outlet.stopping.wait, BREATH_S)
        seen = [self._under(one, breathe) for one in cgroups]
        if is_host:
            seen.append(self._all(breathe))
        if seen:
            outlet.offer(LookedAround(datetime.now(UTC), tuple(seen)))
        cost_s = time.thread_time() - began_s
        share = URGENT_SHARE if is_urgent else CALM_SHARE
        self.next_short_s = time.monotonic() + max(SHORT_S, cost_s / share)

    def _all(self, breathe: Callable[[], object]) -> Surroundings:
        found = largest(list_pids(self._roots[0]), breathe, proc_root=self._roots[0])
        return Surroundings(at=datetime.now(UTC), largest=found)

    def _under(self, owner: CgroupDir, breathe: Callable[[], object]) -> Surroundings:
        found = largest(members(owner.directory), breathe, proc_root=self._roots[0])
        return Surroundings(at=datetime.now(UTC), cgroup=owner.path, largest=found)

    def _limit_of(self, process: Process) -> CgroupDir | None:
        """The cgroup whose limit is the tightest over a process."""
        limits = [limit for limit in process.limits if limit.kind is LimitKind.CGROUP]
        if not limits or process.cgroup is None:
            return None
        dirs = cgroup_dirs(process.cgroup, proc_root=self._roots[0], cgroup_root=self._roots[1])
        return next((one for one in dirs if one.path == limits[0].path), None)
