"""Every 2 s: how the living do, into live.db; once a minute that kerneld lives; hourly what goes."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from kerneld import __version__
from kerneld.daemon.owner import Owner
from kerneld.errors import StoreError
from kerneld.live import LiveWriter, LivingRow, row_of
from kerneld.model.facts import SourceState
from kerneld.model.living import DaemonState, LivingState, SourceHealth
from kerneld.model.process import ProcessKey
from kerneld.model.session import Session
from kerneld.model.vocabulary import Mode
from kerneld.sources.memory import MemorySource
from kerneld.store import Limits, Store
from kerneld.track import LivingKernel

log = logging.getLogger(__name__)

HEARTBEAT_S = 60.0
PRUNE_S = 3600.0
RESTATED_S, MOVED_SHARE, RESTATED_A_ROUND = 10.0, 0.02, 64
"""A state, its samples and its row cost 0.1 ms, in which a death waits. So one is told anew where its
word or its cell is another, and of the others so many a round: whose memory moved, or is old news."""


class Sources(Protocol):
    """What the collector knows of its sources."""

    def health(self) -> Sequence[SourceState]: ...

    @property
    def losses(self) -> Mapping[str, int]: ...

    @property
    def lag_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class _Stated:
    """What was last said of a kernel, and when."""

    at: datetime
    rss_bytes: int | None
    cell_at: datetime | None
    row: LivingRow


class Housekeeping:
    """What the owner's thread does between deaths."""

    def __init__(
        self, store: Store, memory: MemorySource, limits: Limits, *, live: LiveWriter, mode: Mode
    ) -> None:
        self._store = store
        self._memory = memory
        self._limits = limits
        self._live = live
        self._mode = mode
        self._started_at = datetime.now(UTC)
        self._heartbeat_at = self._prune_at = 0.0
        self._last: dict[ProcessKey, _Stated] = {}
        self._room = RESTATED_A_ROUND
        self._opened = store.opened
        self._told = ""

    def do(self, owner: Owner, sources: Sources) -> None:
        """One round. A store that can't be written now is tried again at the next."""
        now = datetime.now(UTC)
        owner.turns.measure()
        living = sorted(owner.tracker.kernels(), key=self._told_at)
        self._room = RESTATED_A_ROUND
        self._last = {one.key: self._stated(one, now) for one in living}
        try:
            self._stay_in_place(owner)
            self._live.write(
                [last.row for last in self._last.values()], self._daemon(owner, sources), at=now
            )
            if time.monotonic() >= self._heartbeat_at:
                self._store.note_alive(now)
                self._heartbeat_at = time.monotonic() + HEARTBEAT_S
            if time.monotonic() >= self._prune_at:
                self._prune(now)
                self._prune_at = time.monotonic() + PRUNE_S
        except StoreError as problem:
            if str(problem) != self._told:
                log.error("%s", problem)
            self._told = str(problem)
        else:
            self._told = ""

    def _stay_in_place(self, owner: Owner) -> None:
        """A database that was removed, or replaced by another, gets what is still open."""
        self._store.stay_in_place()
        if self._store.opened != self._opened:
            self._opened = self._store.opened
            self._heartbeat_at = 0.0
            owner.save_again()

    def _prune(self, now: datetime) -> None:
        report = self._store.prune(self._limits, now)
        if report.refused:
            log.warning("nothing was deleted by age: %s", report.refused)

    def _daemon(self, owner: Owner, sources: Sources) -> DaemonState:
        return DaemonState(
            pid=os.getpid(),
            started_at=self._started_at,
            version=__version__,
            mode=self._mode,
            database=str(self._store.path),
            sources=tuple(
                SourceHealth(
                    name=s.source,
                    up=s.up,
                    reason=s.reason,
                    remedy=s.remedy,
                    lost=sources.losses.get(s.source, 0),
                )
                for s in sources.health()
            ),
            lost=sum(sources.losses.values()),
            unsaved=owner.unsaved,
            lag_s=sources.lag_s,
            verdict_delays=owner.delays.told(),
        )

    def _told_at(self, living: LivingKernel) -> datetime:
        """Who waits longest comes first; the new are told in any case."""
        last = self._last.get(living.key)
        return last.at if last else self._started_at

    def _stated(self, living: LivingKernel, now: datetime) -> _Stated:
        """How a kernel does; as it was said last, while it does the same and holds what it held."""
        last = self._last.get(living.key)
        if last is None or last.row.state != _word_for(living):
            return self._stated_anew(living, now)
        if last.cell_at != _cell_at(living.session):
            return self._stated_anew(living, now)
        held, before = self._memory.rss_bytes(living.key) or 0, last.rss_bytes or 0
        is_old = (now - last.at).total_seconds() >= RESTATED_S
        if self._room and (is_old or abs(held - before) > before * MOVED_SHARE):
            self._room -= 1
            return self._stated_anew(living, now)
        return last

    def _stated_anew(self, living: LivingKernel, now: datetime) -> _Stated:
        state = self._state(living, now)
        return _Stated(now, state.rss_bytes, _cell_at(living.session), row_of(state))

    def _state(self, living: LivingKernel, now: datetime) -> LivingState:
        kernel, session = living.kernel(), living.session
        process = kernel.process
        memory = self._memory.living(process.key)
        limits = [limit.limit_bytes for limit in process.limits]
        cell = session.cell if session.busy else None
        return LivingState(
            key=process.key,
            at=now,
            kernel_id=kernel.id,
            state=_word_for(living),
            uid=process.uid,
            user_name=process.user_name,
            hub_name=process.environ.get("JUPYTERHUB_USER") or None,
            container_id=process.container_id,
            notebook_path=kernel.notebook_path,
            kernel_name=kernel.name,
            started_at=process.started_at,
            rss_bytes=memory.rss_bytes if memory else None,
            tree_bytes=memory.tree_bytes if memory else None,
            limit_bytes=min(limits, default=None),
            growth_bytes_per_s=memory.growth_bytes_per_s if memory else None,
            execution_count=cell.execution_count if cell else None,
            cell_started_at=cell.at if cell else None,
            samples=memory.samples if memory else (),
        )


def _cell_at(session: Session) -> datetime | None:
    """When the running cell began."""
    return session.last_cell.at if session.busy and session.last_cell else None


def _word_for(living: LivingKernel) -> str:
    session = living.session
    if not living.life.confirmed and not session.heard:
        return "starting"
    if session.busy is None:
        return "unknown"
    return "busy" if session.busy else "idle"
