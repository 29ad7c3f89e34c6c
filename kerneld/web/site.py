"""What pages and JSON share: the databases, who looks, and the answers for that person alone."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from kerneld.errors import KerneldError, NothingFound, UsageError
from kerneld.live import Living
from kerneld.model.base import to_us
from kerneld.model.incident import Incident
from kerneld.model.living import LivingState
from kerneld.outputs.incidents import newest_of_loops
from kerneld.store import Query, Store
from kerneld.store.overview import Overview
from kerneld.web.archive import Archive, Busy
from kerneld.web.asked import PAGE, Asked, columns_of, position_of
from kerneld.web.gate import Gate, Unreachable
from kerneld.web.render import Renderer
from kerneld.web.story import place_of
from kerneld.web.viewer import Viewer

KEPT_OVERVIEWS = 64
MOST_AT_ONCE, MOST_OF_ALL_SEEING = 8, 64
"""answers under way for one viewer: a browser asks for six at once"""

STATUS: dict[type[KerneldError], int] = {NothingFound: 404, UsageError: 400}
"""of an error of the store; any other is its own failure: 503"""


@dataclass(frozen=True, slots=True)
class Page:
    """Incidents newest first, as the viewer may see them. older: where the next page begins, or ""."""

    incidents: tuple[Incident, ...]
    older: str


@dataclass(frozen=True, slots=True)
class Counted:
    """places: of each line's latest incident, by uuid, where the line stands."""

    overview: Overview
    places: dict[str, str]
    first_us: int
    column_us: int
    until_us: int


@dataclass(slots=True)
class Site:
    """One a process. Whatever reads takes the viewer first: nobody else's rows are handed on."""

    archive: Archive
    gate: Gate
    renderer: Renderer
    names_users: bool = False
    """in the metrics, which go where they are scraped"""
    _overviews: OrderedDict[object, Counted] = field(default_factory=OrderedDict)
    _version: tuple[int, int] = (0, 0)
    _turns: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def turn(self, viewer: Viewer) -> Iterator[None]:
        """Busy for whoever asks for so much at once that others would wait."""
        if self._turns[viewer.name] >= (MOST_OF_ALL_SEEING if viewer.sees_all else MOST_AT_ONCE):
            raise Busy
        self._turns[viewer.name] += 1
        try:
            yield
        finally:
            self._turns[viewer.name] -= 1
            if not self._turns[viewer.name]:
                del self._turns[viewer.name]

    async def page(self, viewer: Viewer, asked: Asked) -> Page:
        query = viewer.narrowed(asked.query)
        found = await self.archive.ask(lambda store: store.find(query))
        shown = [viewer.sight_of(incident) for incident in newest_of_loops(found[:PAGE])]
        last = found[PAGE - 1] if len(found) > PAGE else None
        return Page(tuple(shown), position_of(last.died_at, last.id or 0) if last else "")

    async def incident(self, viewer: Viewer, ref: str) -> Incident:
        """NothingFound for what is not there, and for what is another's, in the same words."""
        try:
            found = await self.archive.ask(lambda store: store.get(ref))
        except (NothingFound, UsageError):
            raise NothingFound("no such incident") from None
        if not viewer.may_have(found):
            raise NothingFound("no such incident")
        return viewer.sight_of(found)

    async def counted(self, viewer: Viewer, asked: Asked, now: datetime) -> Counted:
        """Counts of a period, kept until an end settles or a minute has gone."""
        version = await self.archive.settled()
        if version != self._version:
            self._overviews.clear()
            self._version = version
        minute = now.replace(second=0, microsecond=0)
        since = asked.query.since and asked.query.since.replace(second=0, microsecond=0)
        query = viewer.narrowed(replace(asked.query, since=since, before=None, limit=None))
        key = (query, minute)
        known = self._overviews.get(key)
        if known is None:
            known = await self.archive.ask(lambda store: _counted(store, query, now))
            self._overviews[key] = known
            while len(self._overviews) > KEPT_OVERVIEWS:
                self._overviews.popitem(last=False)
        return known

    async def living(self, viewer: Viewer) -> tuple[Living, list[LivingState]]:
        """The viewer's kernels, the hungriest first; none where the recorder does not run."""
        living = await self.archive.living()
        runs = living.is_running(datetime.now(UTC))
        own = [state for state in living.states if runs and viewer.may_have(state)]
        return living, sorted(own, key=lambda s: s.tree_bytes or s.rss_bytes or 0, reverse=True)


def _counted(store: Store, query: Query, now: datetime) -> Counted:
    oldest = store.oldest()
    column_us, first_us = columns_of(query.since, oldest, now)
    overview = store.overview(query, column_us=column_us, first_us=first_us)
    places = {
        line.uuid: place_of(store.get(line.uuid)) for line in overview.lines if line.uuid is not None
    }
    until_us = to_us(now + timedelta(seconds=1))
    return Counted(overview, places, first_us, column_us, until_us)


def errors_of(problem: Exception) -> tuple[int, str]:
    """A status of HTTP, and words for whoever asked."""
    if isinstance(problem, Busy):
        return 503, "too much is asked right now: try again in a moment"
    if isinstance(problem, Unreachable):
        return 503, str(problem)
    status = next((code for kind, code in STATUS.items() if isinstance(problem, kind)), 503)
    return status, str(problem)
