"""A path into an open SQLite connection, and SQLite's errors into words with a remedy."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from kerneld.errors import StoreError

if TYPE_CHECKING:
    from sqlite_utils import Database

BUSY_TIMEOUT_S = 5.0

# auto_vacuum holds only where it is set before the first table. FULL: a commit that was
# acknowledged survives a power cut (0.2 ms). temp_store: no code in files of /tmp, and sorting
# works without a free descriptor. cache_size: half a MiB of pages, not 2. 256 pages: on a full disk
# the reserve must hold a checkpoint.
_WRITER = (
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -512",
    "PRAGMA wal_autocheckpoint = 256",
    "PRAGMA journal_size_limit = 4194304",
)
_READER = ("PRAGMA temp_store = MEMORY", "PRAGMA trusted_schema = OFF", "PRAGMA query_only = ON")


def connect_writer(
    path: Path, check: Callable[[sqlite3.Connection, Path], object]
) -> sqlite3.Connection:
    """A connection to a database that exists, set up to write once the check let it pass."""
    db = _connect(path, "mode=rw", ())
    try:
        check(db, path)
        for pragma in _WRITER:
            db.execute(pragma)
    except BaseException:
        db.close()
        raise
    return db


def connect_reader(path: Path) -> tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str] | None]:
    """A connection that writes nothing, and the folder it reads from where that had to be a copy.

    On read-only media SQLite can't make the index of a log that a killed daemon left: it then reads
    a private copy; without a log it is told that the file can't change.
    """
    try:
        db = _connect(path, "mode=ro", _READER)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db, None
    except sqlite3.OperationalError as problem:
        if primary_code(problem) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    log = Path(f"{path}-wal")
    if not log.exists() or not log.stat().st_size:
        return _connect(path, "mode=ro&immutable=1", _READER), None
    folder = tempfile.TemporaryDirectory(prefix="kerneld-")
    for file in (path, log):
        shutil.copyfile(file, Path(folder.name) / file.name)
    return _connect(Path(folder.name) / path.name, "mode=rw", _READER), folder


def connect_untouched(path: Path) -> tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str] | None]:
    """A reader that makes no log and no index beside a database that has none: nobody writes to it.

    One that never has them (on a network filesystem) is read under its locks: it may be written to.
    """
    if os.path.exists(f"{path}-wal") or not _keeps_log(path):
        return connect_reader(path)
    return _connect(path, "mode=ro&immutable=1", _READER), None


def _keeps_log(path: Path) -> bool:
    """https://www.sqlite.org/fileformat2.html#file_format_version_numbers: 1 is a rollback journal."""
    try:
        with open(path, "rb") as file:
            return file.read(20)[18:] != b"\x01\x01"
    except OSError:
        return True


def connect_damaged(path: Path) -> sqlite3.Connection:
    """A reader that goes on where it can: writable_schema takes a file shorter than its header says."""
    return _connect(path, "mode=ro", (*_READER, "PRAGMA writable_schema = ON"))


def _connect(path: Path, how: str, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    uri = f"file:{quote(os.path.abspath(path))}?{how}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        for pragma in pragmas:
            db.execute(pragma)
    except sqlite3.Error:
        db.close()
        raise
    return db


def tables(db: sqlite3.Connection) -> "Database":
    """Its tables as sqlite-utils has them: made, changed, counted and filled by name.

    Loaded where that is asked for: with what it brings it takes 3.3 MiB, and a recorder whose database
    is of today asks only questions of its own.
    """
    from sqlite_utils import Database

    # its plugins are code of others: not with these rights
    return Database(db, execute_plugins=False, recursive_triggers=False)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; a commit that fails is rolled back, so that it can be tried again."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise


def primary_code(problem: sqlite3.Error) -> int:
    """SQLite's error without its extended part; 0 where the driver itself complained."""
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF


def is_damage(problem: sqlite3.Error) -> bool:
    return primary_code(problem) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(problem: sqlite3.Error) -> bool:
    """A full disk says so, or fails to write; SQLite tells the two apart only sometimes."""
    return primary_code(problem) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_BUSY: "another program holds the database",
    sqlite3.SQLITE_LOCKED: "another program holds the database",
    sqlite3.SQLITE_READONLY: "it may not be written here; is it another user's?",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened; is it another user's?",
    sqlite3.SQLITE_PERM: "it is another user's",
    sqlite3.SQLITE_CORRUPT: "it is damaged; the daemon sets it aside at its next start",
    sqlite3.SQLITE_NOTADB: "it is no database; name kerneld's with --db",
}


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """SQLite's errors as a StoreError that says what and where and what to do."""
    try:
        yield
    except sqlite3.Error as problem:
        remedy = _REMEDIES.get(primary_code(problem))
        raise StoreError(f"{path}: {problem}" + (f": {remedy}" if remedy else "")) from problem
