"""Questions of many into one thread that owns the database: opened to read, and anew when replaced."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from kerneld.live import Living, read_living, read_pulse
from kerneld.store import Store

T = TypeVar("T")

MOST_WAITING = 256
"""questions; one more is refused: whoever asks so much is served best by an error"""

FRESH_S = 0.5
"""300 living kernels take 30 ms to read"""


class Busy(Exception):
    """More is asked than can be answered."""


class Archive:
    """The loop never waits for SQLite; the thread does."""

    def __init__(self, database: Path, live: Path) -> None:
        self.database, self.live = database, live
        self._thread = ThreadPoolExecutor(1, "database")
        self._store: Store | None = None
        self._openings = 0
        self._living, self._lived_at = Living(), -FRESH_S
        self._waiting = 0

    async def ask(self, question: Callable[[Store], T]) -> T:
        """StoreError where there is no database, or it can't be read; Busy."""
        return await self._run(lambda: question(self._opened()))

    async def version(self) -> tuple[int, int]:
        """Another value when something was committed since. Costs 10 µs."""
        return await self.ask(lambda store: (self._openings, store.version()))

    async def settled(self) -> tuple[int, int]:
        """Another value when an end has settled since, or the database is another."""
        return await self.ask(lambda store: (self._openings, store.cursor()))

    async def recorder_runs(self, now: datetime) -> bool:
        """Anybody may ask: no kernel's own row is read. StoreError: the database can't be read."""

        def runs(store: Store) -> bool:
            store.version()
            return read_pulse(self.live, now)[0] is not None

        return await self.ask(runs)

    async def living(self) -> Living:
        return await self._run(self._living_now)

    def _living_now(self) -> Living:
        """As the recorder tells every 2 s; read once for all pages that are told together."""
        if time.monotonic() - self._lived_at >= FRESH_S:
            self._living = read_living(self.live)
            self._lived_at = time.monotonic()
        return self._living

    async def _run(self, job: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        finally:
            self._waiting -= 1

    def _opened(self) -> Store:
        if self._store is not None and not self._store.is_current():
            self._store.close()
            self._store = None
        if self._store is None:
            self._store = Store.read(self.database)
            self._openings += 1
        return self._store

    async def close(self) -> None:
        def closed() -> None:
            if self._store is not None:
                self._store.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, closed)
        self._thread.shutdown()
