"""What of the settled incidents is told outside: a cursor, what waits, and what was told, on disk."""

import logging
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from kerneld.model.base import from_us, to_us
from kerneld.model.notices import Message, Waiting
from kerneld.store import connection, files
from kerneld.store.connection import telling, transaction

log = logging.getLogger(__name__)

KEPT = timedelta(days=7)
"""what could not be told in this time never is; what was told is known for it, and not told again"""

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS cursor (seq INTEGER NOT NULL, born INTEGER);
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY, rule TEXT NOT NULL, key TEXT NOT NULL, made_at INTEGER NOT NULL,
        next_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, told_at INTEGER);
    CREATE TABLE IF NOT EXISTS incidents (
        rule TEXT NOT NULL, uuid TEXT NOT NULL, revision INTEGER NOT NULL, settled_at INTEGER NOT NULL,
        taken_at INTEGER NOT NULL, loop_id TEXT NOT NULL, line TEXT NOT NULL, message INTEGER,
        PRIMARY KEY (rule, uuid));
    CREATE INDEX IF NOT EXISTS waiting ON incidents (rule, settled_at) WHERE message IS NULL;
    CREATE INDEX IF NOT EXISTS sent ON incidents (message) WHERE message IS NOT NULL;
    CREATE INDEX IF NOT EXISTS told ON messages (rule, told_at);
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the incidents of a database were taken. born: which database; None: an older one."""

    seq: int
    born: int | None


class Outbox:
    """One file with one owner. Every method is one transaction; StoreError where SQLite can't."""

    def __init__(self, path: Path) -> None:
        """AlreadyRunning: another process tells from it. One that is damaged is set aside."""
        path = Path(os.path.abspath(path))
        files.is_there(path)
        files.private_folder(path.parent)
        self.path = path
        self.began_anew = False
        """it was damaged: what waited in it is lost, and has to be taken again"""
        self._lock = files.take_lock(path)
        try:
            with telling(path):
                self._db = self._opened()
        except BaseException:
            os.close(self._lock)
            raise

    def _opened(self) -> sqlite3.Connection:
        try:
            return _made(self.path)
        except sqlite3.DatabaseError as problem:
            if not connection.is_damage(problem):
                raise
        aside = files.set_aside(self.path)
        log.warning("%s was damaged: kept as %s", self.path, aside)
        self.began_anew = True
        return _made(self.path)

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with telling(self.path), transaction(self._db):
            yield self._db

    # ------------------------------------------------------------------ taking

    def cursor(self) -> Cursor | None:
        """None: nothing was ever taken."""
        with telling(self.path):
            row = self._db.execute("SELECT seq, born FROM cursor").fetchone()
        return None if row is None else Cursor(*row)

    def take(self, wanted: Sequence[tuple[str, Waiting]], cursor: Cursor, *, now: datetime) -> None:
        """Rules' names and what each has to tell, and how far this is. What is known stays as it is."""
        values = [
            (rule, one.uuid, one.revision, to_us(one.settled_at), to_us(now), one.loop_id, one.line)
            for rule, one in wanted
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", values)
            db.execute("DELETE FROM cursor")
            db.execute("INSERT INTO cursor VALUES (?, ?)", (cursor.seq, cursor.born))

    # ------------------------------------------------------------------ telling

    def waiting(self, rule: str) -> list[Waiting]:
        """What no message holds yet, in the order of settling."""
        return self._incidents("rule = ? AND message IS NULL", rule)

    def open_message(self, rule: str) -> Message | None:
        """The one that is being told."""
        with telling(self.path):
            row = self._db.execute(
                "SELECT id, key, made_at, next_at, attempts FROM messages "
                "WHERE rule = ? AND told_at IS NULL ORDER BY id LIMIT 1",
                [rule],
            ).fetchone()
        if row is None:
            return None
        number, key, made_at, next_at, attempts = row
        ends = tuple(self._incidents("message = ?", number))
        return Message(number, key, ends, from_us(made_at), from_us(next_at), attempts)

    def compose(self, rule: str, incidents: Sequence[Waiting], *, now: datetime) -> Message:
        """One message of these, fixed from now on."""
        keys = [f"{one.uuid}/{one.revision}" for one in incidents]
        key = keys[0] if len(keys) == 1 else str(uuid.uuid5(uuid.NAMESPACE_URL, " ".join(keys)))
        with self._transaction() as db:
            made = db.execute(
                "INSERT INTO messages (rule, key, made_at, next_at) VALUES (?, ?, ?, ?)",
                (rule, key, to_us(now), to_us(now)),
            )
            db.executemany(
                "UPDATE incidents SET message = ? WHERE rule = ? AND uuid = ?",
                [(made.lastrowid, rule, one.uuid) for one in incidents],
            )
        return Message(made.lastrowid or 0, key, tuple(incidents), now, now)

    def told(self, message: Message, *, now: datetime) -> None:
        """It was taken, or given up."""
        with self._transaction() as db:
            db.execute("UPDATE messages SET told_at = ? WHERE id = ?", (to_us(now), message.id))

    def failed(self, message: Message, *, next_at: datetime) -> Message:
        later = replace(message, attempts=message.attempts + 1, next_at=next_at)
        with self._transaction() as db:
            db.execute(
                "UPDATE messages SET attempts = ?, next_at = ? WHERE id = ?",
                (later.attempts, to_us(next_at), message.id),
            )
        return later

    def told_since(self, rule: str, at: datetime) -> int:
        """How many messages."""
        with telling(self.path):
            sql = "SELECT count(*) FROM messages WHERE rule = ? AND told_at >= ?"
            return int(self._db.execute(sql, [rule, to_us(at)]).fetchone()[0])

    def tidy(self, rules: Sequence[str], *, now: datetime) -> int:
        """Forget what was told long ago. How many incidents are told nobody: too old, or of no rule."""
        marks = ", ".join("?" * len(rules))
        old = to_us(now - KEPT - timedelta(days=1))
        with self._transaction() as db:
            lost = db.execute(
                f"DELETE FROM incidents WHERE rule NOT IN ({marks}) AND (message IS NULL OR message IN "
                "(SELECT id FROM messages WHERE told_at IS NULL)) OR message IS NULL AND taken_at < ?",
                [*rules, old],
            ).rowcount
            db.execute(f"DELETE FROM messages WHERE rule NOT IN ({marks})", [*rules])
            db.execute(
                "DELETE FROM incidents WHERE taken_at < ? AND message IS NOT NULL AND message NOT IN "
                "(SELECT id FROM messages WHERE told_at IS NULL)",
                [old],
            )
            db.execute("DELETE FROM messages WHERE told_at < ?", [old])
        return lost

    def _incidents(self, where: str, value: object) -> list[Waiting]:
        with telling(self.path):
            rows = self._db.execute(
                "SELECT uuid, revision, settled_at, loop_id, line FROM incidents "
                f"WHERE {where} ORDER BY settled_at, uuid",
                [value],
            ).fetchall()
        return [Waiting(one, rev, from_us(at), loop, line) for one, rev, at, loop, line in rows]


def _made(path: Path) -> sqlite3.Connection:
    os.close(files.private_file(path))
    db = connection.connect_writer(path, lambda db, path: None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_SCHEMA)
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except BaseException:
        db.close()
        raise
    if found != "ok":
        db.close()
        problem = sqlite3.DatabaseError(found)
        problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise problem
    return db
