"""Limits and a time into what is to go: by age unless that looks like a clock's jump, else fairly."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from kerneld.model.base import to_us
from kerneld.store.connection import transaction

SUSPICIOUS_SHARE = 0.1
SIZES = ("page_count", "freelist_count", "page_size")
BATCH = 200
"""rows a transaction: a death that comes meanwhile waits for one batch, not for all"""
ROW_OVERHEAD_BYTES = 840
"""columns and index entries of one end beside its document: the mean of 20,000"""


class Limits(Protocol):
    """What is kept; the configuration's `[retention]`."""

    @property
    def max_age_days(self) -> int: ...
    @property
    def max_incidents(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def max_per_user(self) -> int: ...
    @property
    def evidence_days(self) -> int: ...
    @property
    def requested_days(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PruneReport:
    """How many went, or would go. refused: why nothing went by age, in words."""

    by_age: int = 0
    by_user: int = 0
    by_count: int = 0
    by_size: int = 0
    evidence: int = 0
    files: int = 0
    refused: str | None = None

    @property
    def ends(self) -> int:
        return self.by_age + self.by_user + self.by_count + self.by_size


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go: ends by id (with their evidence), evidence alone by the id of its end."""

    ends: frozenset[int]
    evidence: frozenset[int]
    report: PruneReport


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    uid: int
    document_bytes: int
    evidence_bytes: int

    @property
    def bytes(self) -> int:
        return self.document_bytes + self.evidence_bytes + ROW_OVERHEAD_BYTES


# requested ends before incidents, old before new; what is still being judged never
_ROWS = """
    SELECT ends.id, uid, document_bytes, coalesce(evidence.size, 0) FROM ends
    LEFT JOIN evidence USING (uuid) WHERE state = 'settled' ORDER BY is_incident, died_at, ends.id
"""


def plan(db: sqlite3.Connection, limits: Limits, now: datetime, *, confirmed: bool) -> Plan:
    """What has to go now. confirmed: a person says that the clock is right."""
    rows = [_Row(*row) for row in db.execute(_ROWS)] if _is_crowded(db, limits) else []
    aged, refused = _aged(db, limits, now, confirmed=confirmed)
    stale = set() if refused else _stale(db, limits, now, confirmed=confirmed)
    kept = [row for row in rows if row.id not in aged]
    crowded = _over_each(kept, limits.max_per_user)
    kept = [row for row in kept if row.id not in crowded]
    surplus = _over_all(kept, limits.max_incidents)
    kept = [row for row in kept if row.id not in surplus]
    heavy, heavy_evidence = _over_size(db, rows, kept, stale=stale, max_bytes=limits.max_bytes)
    ends = aged | crowded | surplus | heavy
    evidence = (stale | heavy_evidence) - ends
    report = PruneReport(
        by_age=len(aged),
        by_user=len(crowded),
        by_count=len(surplus),
        by_size=len(heavy),
        evidence=len(evidence),
        refused=refused,
    )
    return Plan(frozenset(ends), frozenset(evidence), report)


def _is_crowded(db: sqlite3.Connection, limits: Limits) -> bool:
    """Whether a limit may be passed; seldom, and to look at 20,000 rows takes 0.4 s."""
    counts = [row[0] for row in db.execute("SELECT count(*) FROM ends GROUP BY uid")]
    return (
        sum(counts) > limits.max_incidents
        or max(counts, default=0) > limits.max_per_user
        or used_bytes(db) > limits.max_bytes
    )


def used_bytes(db: sqlite3.Connection) -> int:
    count, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in SIZES)
    return (count - free) * size


def carry_out(db: sqlite3.Connection, planned: Plan) -> None:
    """Delete as planned, in short transactions, and give pages back to the disk."""
    for ids in _batches(planned.ends | planned.evidence):
        with transaction(db):
            db.executemany(
                "DELETE FROM evidence WHERE uuid = (SELECT uuid FROM ends WHERE id = ?)",
                [(id,) for id in ids],
            )
            gone = [(id,) for id in ids if id in planned.ends]
            db.executemany("DELETE FROM ends WHERE id = ?", gone)
    for _ in range(16):
        if not db.execute("PRAGMA freelist_count").fetchone()[0]:
            break
        # sqlite3's execute steps it once, which is one page; executescript runs it to its end
        db.executescript("PRAGMA incremental_vacuum(256)")
    # what secure_delete overwrote still stands in the log until it is cut off
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _batches(ids: Iterable[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]


# ---------------------------------------------------------------- by age


def _aged(
    db: sqlite3.Connection, limits: Limits, now: datetime, *, confirmed: bool
) -> tuple[set[int], str | None]:
    """Ends past their time, and why they stay all the same: clocks jump."""
    old = to_us(now - timedelta(days=limits.max_age_days))
    old_request = to_us(now - timedelta(days=limits.requested_days))
    due = {
        row[0]
        for row in db.execute(
            "SELECT id FROM ends WHERE state = 'settled' AND "
            "(died_at < ? OR (category = 'requested' AND died_at < ?))",
            [old, old_request],
        )
    }
    total = db.execute("SELECT count(*) FROM ends").fetchone()[0]
    if confirmed or len(due) <= SUSPICIOUS_SHARE * total:
        return due, None
    return set(), (
        f"{len(due)} of {total} ends are past their time, more than {SUSPICIOUS_SHARE:.0%}: if the "
        "clock is right, `kerneld prune --yes` deletes them"
    )


def _stale(db: sqlite3.Connection, limits: Limits, now: datetime, *, confirmed: bool) -> set[int]:
    """Ends whose evidence is past its time; none where all of it is, the newest included.

    A tenth would be too strict here: a machine with one incident a week would keep them for ever.
    """
    cut = to_us(now - timedelta(days=limits.evidence_days))
    rows = db.execute(
        "SELECT ends.id, died_at < ? FROM evidence CROSS JOIN ends USING (uuid) "
        "WHERE state = 'settled'",
        [cut],
    ).fetchall()
    if not confirmed and all(is_old for _, is_old in rows):
        return set()
    return {id for id, is_old in rows if is_old}


# ---------------------------------------------------------------- fairly


def fair_level(sizes: Iterable[int], budget: int) -> int:
    """The highest level at which all fit the budget, each cut off there: the largest lose first."""
    ordered = sorted(sizes)
    for place, size in enumerate(ordered):
        share = max(0, budget) // (len(ordered) - place)
        if size > share:
            return share
        budget -= size
    return ordered[-1] if ordered else 0


def _by_user(rows: Sequence[_Row]) -> dict[int, list[_Row]]:
    found: dict[int, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.uid, []).append(row)
    return found


def _over_each(rows: Sequence[_Row], most: int) -> set[int]:
    return {row.id for own in _by_user(rows).values() for row in own[: max(0, len(own) - most)]}


def _over_all(rows: Sequence[_Row], most: int) -> set[int]:
    users = _by_user(rows)
    return _over_each(rows, fair_level((len(own) for own in users.values()), most))


def _over_size(
    db: sqlite3.Connection,
    rows: Sequence[_Row],
    kept: Sequence[_Row],
    *,
    stale: set[int],
    max_bytes: int,
) -> tuple[set[int], set[int]]:
    """Ends, and evidence alone, that go for the file's size: evidence first, of the largest user."""
    used = used_bytes(db)
    known = sum(row.bytes for row in rows)
    if used <= max_bytes or not known:
        return set(), set()
    left = {row.id: row.bytes - (row.evidence_bytes if row.id in stale else 0) for row in kept}
    budget = int(known * max_bytes / used * 0.95)
    users = _by_user(kept)
    level = fair_level((sum(left[row.id] for row in own) for own in users.values()), budget)
    ends: set[int] = set()
    evidence: set[int] = set()
    for own in users.values():
        excess = sum(left[row.id] for row in own) - level
        for row in own:
            if excess > 0 and row.evidence_bytes and row.id not in stale:
                evidence.add(row.id)
                excess -= row.evidence_bytes
                left[row.id] -= row.evidence_bytes
        for row in own:
            if excess > 0:
                ends.add(row.id)
                excess -= left[row.id]
    return ends, evidence
