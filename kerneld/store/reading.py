"""Questions to an open database into incidents, cases and the tracked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from kerneld.errors import NothingFound, StoreError, UsageError
from kerneld.model.base import from_us
from kerneld.model.case import Case
from kerneld.model.incident import Incident
from kerneld.model.living import TrackedLife
from kerneld.store import rows
from kerneld.store.connection import telling
from kerneld.store.prune import used_bytes
from kerneld.store.query import Query, prefix_pattern, statement

Row = tuple[Any, ...]
"""as SQLite gives it; the columns' types are the schema's"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the database holds. bytes: pages in use; oldest: the first end's death."""

    ends: int
    incidents: int
    provisional: int
    evidence: int
    tracked: int
    bytes: int
    oldest: datetime | None


class Reading:
    """What every connection can do, whether it may write or not."""

    path: Path
    _db: Database

    def find(self, query: Query) -> list[Incident]:
        """The ends that fit, in the query's order; [] where none does."""
        sql, values = statement(query)
        found = [_incident(row) for row in self._rows(sql, values)]
        return found if query.reverse else found[::-1]

    def ends(self) -> Iterator[Incident]:
        """Every end there is, in the order of its first verdict, read a page at a time."""
        last = 0
        sql = "SELECT document, id FROM ends WHERE id > ? ORDER BY id LIMIT 500"
        while page := self._rows(sql, [last]):
            yield from map(_incident, page)
            last = page[-1][1]

    def get(self, ref: str, *, uid: int | None = None) -> Incident:
        """By number, uuid, the start of a uuid, or `latest`; NothingFound, UsageError if ambiguous.

        uid: the asker's own only; others' are not found.
        """
        if ref == "latest":
            found = self.find(Query(limit=1, uid=uid))
        elif ref.isdecimal() and not ref.startswith("0"):
            found = self._documents("id = ?", int(ref[:18])) or self._by_prefix(ref)
        else:
            found = self._by_prefix(ref)
        mine = [incident for incident in found if uid is None or incident.user.uid == uid]
        if not mine:
            raise NothingFound(f"no incident {ref}; `kerneld incidents --all` lists every end")
        if len(mine) > 1:
            raise UsageError(f"{ref} is ambiguous: {', '.join(i.uuid for i in mine[:5])}")
        return mine[0]

    def _by_prefix(self, ref: str) -> list[Incident]:
        return self._documents("uuid GLOB ?", prefix_pattern(ref)) if len(ref) >= 4 else []

    def has(self, uuid: str) -> bool:
        return bool(self._rows("SELECT 1 FROM ends WHERE uuid = ?", [uuid]))

    def case(self, uuid: str) -> Case | None:
        """The evidence of an end; None where it was not kept, or no longer is."""
        found = self._rows("SELECT document FROM evidence WHERE uuid = ?", [uuid])
        return rows.unpack(found[0][0]) if found else None

    def provisional(self) -> list[tuple[Incident, Case | None]]:
        """Ends whose last word is not said, the oldest first."""
        return [(end, self.case(end.uuid)) for end in self._documents("state = 'provisional'")]

    def cursor(self) -> int:
        """Where `changed_since` has to start to tell of what settles from now on."""
        with telling(self.path):
            return self._meta("settled_seq") or 0

    def changed_since(self, cursor: int, *, limit: int = 500) -> tuple[list[Incident], int]:
        """Ends settled after the cursor, in the order of settling, and the cursor after them."""
        found = self._rows(
            "SELECT document, settled_seq FROM ends WHERE settled_seq > ? ORDER BY settled_seq LIMIT ?",
            [cursor, limit],
        )
        return [_incident(row) for row in found], found[-1][1] if found else cursor

    def tracked(self) -> list[TrackedLife]:
        found = self._rows("SELECT document FROM tracked ORDER BY rowid")
        return [TrackedLife.model_validate_json(row[0]) for row in found]

    def lives_of(self, kernel_id: str) -> int:
        """How many lives of this kernel id ended already: its restarts."""
        sql = "SELECT count(*) FROM ends WHERE kernel_id = ? AND scope = 'kernel'"
        return int(self._rows(sql, [kernel_id])[0][0])

    def heard_at(self) -> datetime | None:
        """When the last daemon was known to be alive."""
        with telling(self.path):
            at = self._meta("heard_at")
        return None if at is None else from_us(at)

    def counts(self) -> Counts:
        with telling(self.path):
            ends, evidence = self._db.table("ends"), self._db.table("evidence")
            oldest = self._db.execute("SELECT min(died_at) FROM ends").fetchone()[0]
            return Counts(
                ends=ends.count,
                incidents=ends.count_where("is_incident = 1"),
                provisional=ends.count_where("state = 'provisional'"),
                evidence=evidence.count,
                tracked=self._db.table("tracked").count,
                bytes=used_bytes(self._db),
                oldest=None if oldest is None else from_us(oldest),
            )

    def _documents(self, where: str, *values: object) -> list[Incident]:
        sql = f"SELECT document FROM ends WHERE {where} ORDER BY died_at LIMIT 10000"
        return [_incident(row) for row in self._rows(sql, values)]

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        with telling(self.path):
            return self._db.execute(sql, list(values)).fetchall()

    def _meta(self, key: str) -> int | None:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        return None if found is None else int(found[0])


def _incident(row: Row) -> Incident:
    try:
        return Incident.model_validate_json(row[0])
    except ValueError as problem:
        # the first two lines say where; the rest quotes what may be a user's code
        where = ": ".join(str(problem).splitlines()[:2])
        raise StoreError(f"a stored incident can't be read: {where}") from None
