"""Questions to an open database into incidents, cases and the tracked."""

import json
import sqlite3
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerneld.errors import NothingFound, StoreError, UsageError
from kerneld.model.base import from_us, to_us
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Category, Cause
from kerneld.store.connection import tables, telling
from kerneld.store.overview import Overview, overview
from kerneld.store.prune import used_bytes
from kerneld.store.query import (
    BY_USER,
    DOCUMENT,
    LIVES,
    Query,
    naming_statement,
    page_statement,
    place_statement,
    prefix_pattern,
    statement,
)
from kerneld.store.unread import Unread

if TYPE_CHECKING:  # what only lists incidents needs no case: its classes cost 25 ms
    from kerneld.model.case import Case
    from kerneld.model.living import TrackedLife

PAGE = 200
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
    unread: Unread
    """rows that hold no incident are skipped and named here: one of them costs the others nothing"""
    _db: sqlite3.Connection

    def find(self, query: Query) -> list[Incident]:
        """The ends that fit, in the query's order; [] where none does."""
        sql, values = statement(query)
        found = list(self._incidents(self._rows(sql, values)))
        return found if query.reverse else found[::-1]

    def each(self, query: Query) -> Iterator[Incident]:
        """As `find`, a page at a time: 100,000 held at once took 7 GiB."""
        left = sys.maxsize if query.limit is None else query.limit
        turn = self._newer(query, left) if not query.reverse else self._older(query)
        while left > 0 and (page := turn(min(PAGE, left))):
            yield from self._incidents(page)
            left -= len(page)

    def _newer(self, query: Query, left: int) -> Callable[[int], list[Row]]:
        """Pages of the latest `left`, oldest first."""
        first = self._rows(*place_statement(query, left - 1)) if 0 < left < sys.maxsize else []
        last = (first[0][0], first[0][1] - 1) if first else (-sys.maxsize, 0)

        def turn(count: int) -> list[Row]:
            nonlocal last
            page = self._rows(*page_statement(query, last, count))
            last = (page[-1][2], page[-1][1]) if page else last
            return page

        return turn

    def _older(self, query: Query) -> Callable[[int], list[Row]]:
        """Pages, newest first."""
        before = query.before

        def turn(count: int) -> list[Row]:
            nonlocal before
            page = self._rows(*statement(replace(query, before=before, limit=count)))
            before = (page[-1][2], page[-1][1]) if page else before
            return page

        return turn

    def fitting(self, query: Query, uuids: Sequence[str]) -> set[str]:
        """Those, of these ends, that the question is for."""
        return {row[0] for row in self._rows(*naming_statement(query, uuids))}

    def oldest(self) -> datetime | None:
        """When the first incident that is kept died."""
        found = self._rows("SELECT min(died_at) FROM ends WHERE is_incident = 1")[0][0]
        return None if found is None else from_us(found)

    def overview(self, query: Query, *, column_us: int, first_us: int = 0) -> Overview:
        """The incidents that fit, counted, from an index alone."""
        return overview(self._rows, query, column_us=column_us, first_us=first_us)

    def ends(self) -> Iterator[Incident]:
        """Every end there is, in the order of its first verdict, read a page at a time."""
        last = 0
        sql = f"SELECT {DOCUMENT}, id FROM ends WHERE id > ? ORDER BY id LIMIT {PAGE}"
        while page := self._rows(sql, [last]):
            yield from self._incidents(page)
            last = page[-1][1]

    def get(self, ref: str, *, uid: int | None = None) -> Incident:
        """By number, uuid, the start of a uuid, or `latest`; NothingFound, UsageError if ambiguous.

        uid: the asker's own only; others' are not found.
        """
        if ref == "latest":
            newest = (Query(limit=limit, reverse=True, uid=uid) for limit in (1, PAGE))
            found = next(filter(None, map(self.find, newest)), [])[:1]
        elif ref.isdecimal() and not ref.startswith("0"):
            found = self._named("id = ?", int(ref[:18]), uid) or self._by_prefix(ref, uid)
        else:
            found = self._by_prefix(ref, uid)
        if not found:
            raise NothingFound(f"no incident {ref}; `kerneld incidents --all` lists every end")
        if len(found) > 1:
            raise UsageError(f"{ref} is ambiguous: {', '.join(i.uuid for i in found[:5])}")
        return found[0]

    def _by_prefix(self, ref: str, uid: int | None) -> list[Incident]:
        return self._named("uuid GLOB ?", prefix_pattern(ref), uid) if len(ref) >= 4 else []

    def _named(self, where: str, value: object, uid: int | None) -> list[Incident]:
        """What a person asked for by name: one that can't be read is an error."""
        sql = f"SELECT {DOCUMENT}, id FROM ends WHERE {where} AND (? IS NULL OR uid = ?) LIMIT {PAGE}"
        rows = self._rows(sql, [value, uid, uid])
        for row in rows:
            if _incident(row) is None:
                raise StoreError(
                    f"{self.path}: incident {row[1]} can't be read: its row is damaged; the others can"
                )
        return list(self._incidents(rows))

    def has(self, uuid: str) -> bool:
        return bool(self._rows("SELECT 1 FROM ends WHERE uuid = ?", [uuid]))

    def case(self, uuid: str) -> "Case | None":
        """The evidence of an end; None where it was not kept, or no longer is."""
        from kerneld.store.evidence import unpack

        sql = "SELECT CAST(document AS BLOB) FROM evidence WHERE uuid = ?"
        for row in self._rows(sql, [uuid]):
            try:
                return unpack(row[0])
            except (ValueError, zlib.error):
                self.unread.note(f"the evidence of {uuid}")
        return None

    def provisional(self) -> "list[tuple[Incident, Case | None]]":
        """Ends whose last word is not said, the oldest first."""
        sql = f"SELECT {DOCUMENT}, id FROM ends WHERE state = 'provisional' ORDER BY died_at"
        ends = self._incidents(self._rows(f"{sql} LIMIT 10000"))
        return [(end, self.case(end.uuid)) for end in ends]

    def cursor(self) -> int:
        """Where `changed_since` has to start to tell of what settles from now on."""
        with telling(self.path):
            return self._meta("settled_seq") or 0

    def born(self) -> int | None:
        """Another number, another database: its cursors mean nothing here. None: an older kerneld's."""
        with telling(self.path):
            return self._meta("born")

    def changed_since(
        self, cursor: int, *, limit: int = 500, uid: int | None = None
    ) -> tuple[list[Incident], int]:
        """Ends settled after the cursor, in the order of settling, and the cursor after them.

        uid: the asker's own only; the cursor passes others' all the same.
        """
        found = self._rows(
            f"SELECT CASE WHEN ?1 IS NULL OR uid = ?1 THEN {DOCUMENT} END, id, settled_seq FROM ends "
            "WHERE settled_seq > ?2 ORDER BY settled_seq LIMIT ?3",
            [uid, cursor, limit],
        )
        own = [row for row in found if row[0] is not None]
        return list(self._incidents(own)), found[-1][2] if found else cursor

    def tracked(self) -> "list[TrackedLife]":
        from kerneld.model.living import TrackedLife

        found: list[TrackedLife] = []
        sql = "SELECT CAST(document AS BLOB), pid FROM tracked ORDER BY rowid"
        for document, pid in self._rows(sql):
            try:
                found.append(TrackedLife.model_validate_json(document))
            except ValueError:
                self.unread.note(f"what was tracked of process {pid}")
        return found

    def lives_of(self, kernel_ids: Collection[str], *, besides: Collection[str] = ()) -> dict[str, int]:
        """How many lives of these kernel ids ended already: their restarts; of the others none did.

        besides: ends, by uuid, that are not counted.
        """
        rows = self._rows(LIVES, [json.dumps([*kernel_ids]), json.dumps([*besides])])
        return dict(rows)

    def tallies(self) -> dict[Cause, int]:
        """Settled incidents by cause, as each first settled; what was pruned counts on."""
        rows = self._rows("SELECT cause, sum(count) FROM tallies GROUP BY cause")
        return {Cause(cause): count for cause, count in rows}

    def tallies_by_user(self) -> dict[tuple[str, Category], int]:
        """The same of the MOST_USERS with most, by their last known name (`uid N` without one)."""
        found: Counter[tuple[str, Category]] = Counter()
        for uid, name, cause, count in self._rows(BY_USER):
            found[name or f"uid {uid}", Cause(cause).category] += count
        return dict(found)

    def death_before(self, incident: Incident, *, within: timedelta) -> Incident | None:
        """The last incident before this one that ended a life of the same kernel of the same user.

        The user has to be the same: the id is a file's name, and anybody can name a file.
        """
        if incident.kernel is None:
            return None
        times = map(to_us, (incident.died_at - within, incident.died_at))
        found = self._rows(
            f"SELECT {DOCUMENT}, id FROM ends WHERE kernel_id = ? AND died_at >= ? AND died_at <= ? "
            "AND +uid = ? AND scope = 'kernel' AND +is_incident = 1 AND uuid != ? "
            "ORDER BY died_at DESC LIMIT 1",
            [incident.kernel.id, *times, incident.user.uid, incident.uuid],
        )
        return next(self._incidents(found), None)

    def heard_at(self) -> datetime | None:
        """When the last daemon was known to be alive."""
        with telling(self.path):
            at = self._meta("heard_at")
        return None if at is None else from_us(at)

    def counts(self) -> Counts:
        with telling(self.path):
            found = tables(self._db)
            ends, evidence = found.table("ends"), found.table("evidence")
            oldest = self._db.execute("SELECT min(died_at) FROM ends").fetchone()[0]
            return Counts(
                ends=ends.count,
                incidents=ends.count_where("is_incident = 1"),
                provisional=ends.count_where("state = 'provisional'"),
                evidence=evidence.count,
                tracked=found.table("tracked").count,
                bytes=used_bytes(self._db),
                oldest=None if oldest is None else from_us(oldest),
            )

    def _incidents(self, found: Iterable[Row]) -> Iterator[Incident]:
        """Those that can be read, of rows that begin with DOCUMENT and the id."""
        for row in found:
            incident = _incident(row)
            if incident is None:
                self.unread.note(f"incident {row[1]}")
            else:
                yield incident

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        with telling(self.path):
            found: list[Row] = self._db.execute(sql, list(values)).fetchall()
            return found

    def _meta(self, key: str) -> int | None:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        return None if found is None else int(found[0])


def _incident(row: Row) -> Incident | None:
    try:
        return Incident.model_validate_json(row[0])
    except ValueError:  # pydantic's text quotes the document
        return None
