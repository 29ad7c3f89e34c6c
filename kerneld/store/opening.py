"""A path into a database that is kerneld's, of today's schema and whole; damage is set aside."""

import logging
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Literal

from kerneld.errors import ConfigError, StoreError
from kerneld.store import connection, files, schema
from kerneld.store.salvage import salvage

log = logging.getLogger(__name__)

QUICK_CHECK_BYTES = 64 << 20
"""checked at each start up to this size (44 MiB: 0.14 s); a larger one when a page fails"""


Journal = Literal["WAL", "DELETE"]
"""WAL wants memory that is shared by all who open it: a network filesystem has none"""


def held(path: Path, journal: Journal, lock: int | None = None) -> tuple[int, sqlite3.Connection]:
    """The lock that keeps a second daemon away, and the database behind it. lock: held already."""
    files.is_there(path)
    files.private_folder(path.parent)
    was_ours = lock is not None or os.path.lexists(files.lock_of(path))
    lock = files.take_lock(path) if lock is None else lock
    try:
        with connection.telling(path):
            db = for_the_daemon(path, journal=journal, may_set_aside=was_ours)
    except BaseException:
        if not was_ours:  # the next start shall not take a stranger's file for a damaged one of ours
            os.unlink(files.lock_of(path))
        os.close(lock)
        raise
    files.keep_reserve(path)
    return lock, db


def for_the_daemon(path: Path, *, journal: Journal, may_set_aside: bool) -> sqlite3.Connection:
    """Made, migrated and checked. may_set_aside: a damaged one is known to have been kerneld's."""
    try:
        return _made(path, journal)
    except sqlite3.DatabaseError as problem:
        if not connection.is_damage(problem):
            raise
        if not may_set_aside and not _has_magic(path):
            raise ConfigError(f"{path}: no database of kerneld's; name another one with --db") from None
        return replaced(path, journal)


def replaced(path: Path, journal: Journal) -> sqlite3.Connection:
    """A fresh database in the place of a damaged one, with what could be read of it."""
    aside = files.set_aside(path)
    fresh = _made(path, journal)
    count = salvage(aside, fresh)
    log.warning("%s was damaged: kept as %s; %d of its ends could be read", path, aside, count)
    return fresh


def must_exist(path: Path) -> None:
    if not files.is_there(path):
        raise StoreError(
            f"{path}: no such database; kerneld makes it when it runs (`kerneld run`, or its "
            "service), and --db names another one"
        )


def must_be_current(db: sqlite3.Connection, path: Path) -> None:
    """Reading commands and those beside the daemon never migrate."""
    if schema.check(db, path) < len(schema.MIGRATIONS):
        raise StoreError(
            f"{path}: of an older kerneld, or still empty; the daemon's next start mends it"
        )


def _made(path: Path, journal: Journal) -> sqlite3.Connection:
    os.close(files.private_file(path))
    db = connection.connect_writer(path, schema.check)
    try:
        db.execute(f"PRAGMA journal_mode = {journal}")
        schema.migrate(db, path)
        if os.path.getsize(path) <= QUICK_CHECK_BYTES:
            _check_pages(db)
        # the log and its index are opened now, while there are descriptors
        with connection.transaction(db):
            db.execute("INSERT OR REPLACE INTO meta VALUES ('opened_by', ?)", [os.getpid()])
            db.execute("INSERT OR IGNORE INTO meta VALUES ('born', ?)", [secrets.randbits(62)])
    except BaseException:
        db.close()
        raise
    return db


def _check_pages(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        problem = sqlite3.DatabaseError(found)
        problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise problem


def _has_magic(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(16) == b"SQLite format 3\0"
