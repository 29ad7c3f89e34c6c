"""Several places where this reader's incidents are, asked as one: an own database, the service."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from kerneld.errors import NothingFound, UsageError
from kerneld.model.incident import Incident
from kerneld.store import Query


class Unread(Protocol):
    def line(self) -> str | None: ...


class Place(Protocol):
    """A database that may be read, or the service that answers for one."""

    path: Path

    @property
    def unread(self) -> Unread: ...

    def find(self, query: Query) -> list[Incident]: ...

    def each(self, query: Query) -> Iterator[Incident]: ...

    def get(self, ref: str) -> Incident: ...

    def cursor(self) -> int: ...

    def changed_since(self, cursor: int) -> tuple[list[Incident], int]: ...


class Told:
    """An end that two places know is one: it has the same uuid in both."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places

    def find(self, query: Query) -> list[Incident]:
        """As `Store.find`: the latest `limit`, oldest first, or newest first with `reverse`."""
        if len(self.places) == 1:
            return self.places[0].find(query)
        found = list(_once(incident for place in self.places for incident in place.find(query)))
        newest_first = sorted(found, key=_died, reverse=True)[: query.limit]
        return newest_first if query.reverse else newest_first[::-1]

    def each(self, query: Query) -> Iterator[Incident]:
        """All that fit, oldest first."""
        return _once(heapq.merge(*(place.each(query) for place in self.places), key=_died))

    def get(self, ref: str) -> Incident:
        """By number, uuid, the start of one, or `latest`. A number may be known to both: UsageError."""
        found: list[Incident] = []
        nothing = NothingFound(f"no incident {ref}")
        for place in self.places:
            try:
                found.append(place.get(ref))
            except NothingFound as problem:
                nothing = problem
        if not found:
            raise nothing
        if ref == "latest":
            return max(found, key=_died)
        known = {incident.uuid: incident for incident in found}
        if len(known) > 1:
            raise UsageError(f"{ref} is ambiguous, here and at the service: {', '.join(known)}")
        return found[0]

    def following(self) -> Callable[[], list[Incident]]:
        """Each call: what settled since the last one, or since now."""
        cursors = [place.cursor() for place in self.places]

        def settled() -> list[Incident]:
            found: list[Incident] = []
            for index, place in enumerate(self.places):
                changed, cursors[index] = place.changed_since(cursors[index])
                found += changed
            return list(_once(found))

        return settled


def _died(incident: Incident) -> float:
    return incident.died_at.timestamp()


def _once(incidents: "Iterator[Incident] | list[Incident]") -> Iterator[Incident]:
    seen: set[str] = set()
    for incident in incidents:
        if incident.uuid not in seen:
            seen.add(incident.uuid)
            yield incident
