"""Commits to the database into server-sent events: one look a second for all pages together."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kerneld.errors import KerneldError
from kerneld.model.base import to_us
from kerneld.model.incident import Incident
from kerneld.outputs.text import one_line
from kerneld.web.archive import Busy
from kerneld.web.asked import Asked
from kerneld.web.listing import life_of, row_of
from kerneld.web.site import Site
from kerneld.web.viewer import Viewer

log = logging.getLogger(__name__)

PACE_S = 1.0
LIVING_PACE_S = 2.0
HEARTBEAT_S = 15.0
LONGEST_S = 300.0
"""then the browser comes again, and must still be let in"""
CAUGHT_UP = 50
"""incidents; of whoever missed more the whole page is loaded anew"""
LATE = timedelta(seconds=10)
"""from an end's settling until a look has told it, generously: what is told twice changes nothing"""
MOST, MOST_OF_ONE = 1_000, 64
MOST_WAITING = 32
"""events of a page that does not read; then it is told to load itself anew"""


class TooMany(Exception):
    """Of streams that are open."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page shows: pages that show the same are served by one look. asked None: the living."""

    viewer: Viewer
    asked: Asked | None


@dataclass(slots=True, eq=False)
class Stream:
    wanted: Wanted
    events: "asyncio.Queue[str]" = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))

    def put(self, event: str) -> None:
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            while not self.events.empty():
                self.events.get_nowait()
            self.events.put_nowait(event_of("reload", {}))


def event_of(name: str, data: dict[str, object]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n{_seen_now()}"


def _seen_now() -> str:
    """Until when a page knows all, as its browser says when it comes again; a time betrays nobody."""
    return f"id: {to_us(datetime.now(UTC))}\n\n"


class Feed:
    """Runs while anybody listens, and reads nothing while nobody does."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._streams: set[Stream] = set()
        self._looking: asyncio.Task[None] | None = None
        self._has_begun = asyncio.Event()
        self._latest: tuple[tuple[int, int], list[Incident]] | None = None

    async def listen(self, wanted: Wanted, knows_until: datetime | None) -> AsyncIterator[str]:
        """Events until the stream has lasted LONGEST_S or its page is gone. TooMany.

        knows_until: what settled since is told first; None: nothing was missed.
        """
        own = sum(other.wanted.viewer.name == wanted.viewer.name for other in self._streams)
        if len(self._streams) >= MOST or own >= MOST_OF_ONE * (8 if wanted.viewer.sees_all else 1):
            raise TooMany
        return self._events(Stream(wanted), knows_until)

    async def _events(self, stream: Stream, knows_until: datetime | None) -> AsyncIterator[str]:
        """Counted from its first word on: a page that is gone before that leaves nothing here."""
        until = asyncio.get_running_loop().time() + LONGEST_S
        self._streams.add(stream)
        try:
            if self._looking is None or self._looking.done():
                self._has_begun.clear()
                self._looking = asyncio.create_task(self._look())
            await self._has_begun.wait()
            yield "retry: 3000\n\n"
            for event in await self._missed(stream.wanted, knows_until):
                yield event
            while asyncio.get_running_loop().time() < until:
                try:
                    yield await asyncio.wait_for(stream.events.get(), HEARTBEAT_S)
                except TimeoutError:
                    yield _seen_now()
        finally:
            self._streams.discard(stream)

    async def _missed(self, wanted: Wanted, knows_until: datetime | None) -> list[str]:
        """What settled while no stream was open: before the first one began, between two."""
        if wanted.asked is None or knows_until is None:
            return []
        since = knows_until - LATE
        try:
            latest = await self._latest_settled()
            missed = [end for end in latest if end.settled_at and end.settled_at >= since]
            if len(missed) == CAUGHT_UP:
                return [event_of("reload", {})]
            return await self._told(wanted, missed)
        except (KerneldError, Busy) as problem:
            log.warning("%s", problem)
            return []

    async def _latest_settled(self) -> list[Incident]:
        """Read once for all pages that come again together."""
        version = await self._site.archive.settled()
        if self._latest is None or self._latest[0] != version:
            begin = max(0, version[1] - CAUGHT_UP)
            found, _ = await self._site.archive.ask(lambda store: store.changed_since(begin))
            self._latest = (version, found)
        return self._latest[1]

    async def _look(self) -> None:
        """Until nobody listens."""
        version: tuple[int, int] | None = None
        cursor: int | None = None
        living_at = 0.0
        while self._streams:
            try:
                if cursor is None:
                    cursor = await self._site.archive.ask(lambda store: store.cursor())
                now = await self._site.archive.version()
                if now != version:
                    version, cursor = now, await self._tell_settled(cursor)
                if asyncio.get_running_loop().time() - living_at >= LIVING_PACE_S:
                    living_at = asyncio.get_running_loop().time()
                    await self._tell_living()
            except (KerneldError, Busy) as problem:
                log.warning("%s", problem)
                version = cursor = None
            finally:
                self._has_begun.set()
            await asyncio.sleep(PACE_S)

    async def _tell_settled(self, cursor: int) -> int:
        settled, cursor = await self._site.archive.ask(lambda store: store.changed_since(cursor))
        if not settled:
            return cursor
        listening: dict[Wanted, list[Stream]] = {}
        for stream in self._streams:
            if stream.wanted.asked is not None:
                listening.setdefault(stream.wanted, []).append(stream)
        for wanted, streams in listening.items():
            for event in await self._told(wanted, settled):
                for stream in streams:
                    stream.put(event)
        return cursor

    async def _told(self, wanted: Wanted, settled: list[Incident]) -> list[str]:
        own = [incident for incident in settled if wanted.viewer.may_have(incident)]
        fitting = await self._that_fit(wanted, own)
        return [
            self._event(wanted.viewer.sight_of(incident), fits=incident.uuid in fitting)
            for incident in own
        ]

    async def _that_fit(self, wanted: Wanted, own: list[Incident]) -> set[str]:
        """Of what settled, what this page asks for: the store alone knows what fits."""
        if not own or wanted.asked is None:
            return set()
        query = wanted.viewer.narrowed(wanted.asked.query)
        uuids = [incident.uuid for incident in own]
        return await self._site.archive.ask(lambda store: store.fitting(query, uuids))

    def _event(self, incident: Incident, *, fits: bool) -> str:
        """Its row; or that it is none of this page's, which may show its first verdict."""
        if not fits:
            return event_of("gone", {"uuid": incident.uuid})
        row = row_of(incident, self._site.renderer.view(datetime.now(UTC)))
        html = self._site.renderer.text("row.html", row=row)
        return event_of(
            "incident", {"html": html, "uuid": incident.uuid, "told": one_line(incident).split(":")[0]}
        )

    async def _tell_living(self) -> None:
        listening: dict[Viewer, list[Stream]] = {}
        for stream in self._streams:
            if stream.wanted.asked is None:
                listening.setdefault(stream.wanted.viewer, []).append(stream)
        now = datetime.now(UTC)
        for viewer, streams in listening.items():
            living, states = await self._site.living(viewer)
            lives = [life_of(state, now) for state in states]
            html = self._site.renderer.text(
                "lives.html", lives=lives, runs=living.is_running(now), heard=""
            )
            event = event_of("kernels", {"html": html})
            for stream in streams:
                stream.put(event)
