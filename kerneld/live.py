"""How the living do, written every two seconds into a small database in memory, and read back."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

from kerneld.errors import StoreError
from kerneld.model.base import from_us, to_us
from kerneld.model.living import DaemonState, LivingState

T = TypeVar("T")

FRESH = timedelta(seconds=10)
"""five missed writes: the daemon hangs or was killed"""

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -256;
    CREATE TABLE living (
        pid INTEGER PRIMARY KEY, kernel_id TEXT, uid INTEGER, state TEXT, document TEXT NOT NULL);
    CREATE TABLE daemon (at INTEGER NOT NULL, document TEXT NOT NULL);
    BEGIN IMMEDIATE;
    COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Living:
    """What was last written. at: when, None if never; daemon: None where it stopped, or never ran."""

    states: tuple[LivingState, ...] = ()
    at: datetime | None = None
    daemon: DaemonState | None = None

    def is_running(self, now: datetime) -> bool:
        """Whether the daemon wrote just now: one that was killed leaves its last words."""
        return self.daemon is not None and self.at is not None and abs(now - self.at) < FRESH


@dataclass(frozen=True, slots=True)
class LivingRow:
    """A state as it is written: a seventh of its size while a kernel rests and nothing is new."""

    pid: int
    kernel_id: str
    uid: int
    state: str
    document: str


def row_of(state: LivingState) -> LivingRow:
    return LivingRow(state.key.pid, state.kernel_id, state.uid, state.state, state.model_dump_json())


class LiveWriter:
    """The daemon's side: one transaction a call, descriptors open from the start, files 0600.

    Closing it takes the file away, which says that no daemon runs; what it held stays beside it
    (`.last`) for the next start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: os.stat_result | None = None
        self._written: dict[int, LivingRow] = {}
        self._open()

    def _open(self) -> None:
        path = self._path
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            for file in _files(path):
                file.unlink(missing_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.fchmod(fd, 0o600)
            os.close(fd)
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.executescript(_SCHEMA)
            self._file = os.stat(path)
            self._written = {}
        except (OSError, sqlite3.Error) as problem:
            raise StoreError(f"{path}: {problem}") from None

    def write(self, living: Sequence[LivingRow], daemon: DaemonState, *, at: datetime) -> None:
        """Replace what stands there by what is otherwise now; at: now."""
        if not self._is_in_place():
            self._connection.close()
            self._file = None
            self._open()
        rows = {row.pid: row for row in living}
        gone = [(pid,) for pid in self._written.keys() - rows.keys()]
        new = [
            (row.pid, row.kernel_id, row.uid, row.state, row.document)
            for row in rows.values()
            if self._written.get(row.pid) is not row
        ]
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM living WHERE pid = ?", gone)
            self._connection.executemany("REPLACE INTO living VALUES (?, ?, ?, ?, ?)", new)
            run("DELETE FROM daemon")
            run("INSERT INTO daemon VALUES (?, ?)", (to_us(at), daemon.model_dump_json()))
            run("COMMIT")
        except sqlite3.Error as problem:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise StoreError(f"{self._path}: {problem}") from None
        self._written = rows

    def _is_in_place(self) -> bool:
        """Nobody reads a file that was removed, or replaced; in a shut folder it may lie yet."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.stat(self._path), self._file)
        except PermissionError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Fold the log into the file, which is then one file to move."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA journal_mode = DELETE")
        except (sqlite3.OperationalError, sqlite3.ProgrammingError):
            pass  # somebody reads: it is whole all the same, and stays in its mode; or it is closed
        self._connection.close()
        try:
            if self._is_in_place():
                os.replace(self._path, _last(self._path))
        except OSError as problem:
            raise StoreError(f"{self._path}: {problem.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()


def read_living(path: Path, *, uid: int | None = None) -> Living:
    """What a daemon last wrote, running, stopped or killed; an empty Living where there is nothing.

    uid: the asker's own kernels only. StoreError: it is there, but may not be read.
    """
    for file in (path, _last(path)):
        found = _read(file, lambda connection: _living(connection, uid))
        if found is not None:
            return found if file == path else Living(found.states, found.at)
    return Living()


def read_pulse(path: Path, now: datetime) -> tuple[DaemonState | None, dict[str, int]]:
    """The daemon, None where none runs now, and how many kernels live in which state.

    The kernels' own documents are not read: 1,000 of them take 0.1 s. StoreError: as above.
    """
    found = _read(path, _pulse)
    if found is None or not found[0].is_running(now):
        return None, {}
    return found[0].daemon, found[1]


def _read(file: Path, read: Callable[[sqlite3.Connection], T]) -> T | None:
    """None where there is nothing that can be read."""
    try:
        if not file.is_file():
            return None
        uri = f"file:{quote(os.path.abspath(file))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=2)) as connection:
            connection.execute("BEGIN")
            return read(connection)
    except OSError as problem:
        raise StoreError(f"{file}: {problem.strerror}") from None
    except (sqlite3.DatabaseError, ValueError) as problem:
        if getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN:
            raise StoreError(f"{file}: it may not be read: is it another user's?") from None
        return None


def _living(connection: sqlite3.Connection, uid: int | None) -> Living:
    at, daemon = _daemon(connection)
    rows = connection.execute(
        "SELECT document FROM living WHERE ?1 IS NULL OR uid = ?1 ORDER BY pid", [uid]
    ).fetchall()
    return Living(tuple(LivingState.model_validate_json(row[0]) for row in rows), at, daemon)


def _pulse(connection: sqlite3.Connection) -> tuple[Living, dict[str, int]]:
    kernels = connection.execute("SELECT state, count(*) FROM living GROUP BY state").fetchall()
    return Living((), *_daemon(connection)), dict(kernels)


def _daemon(connection: sqlite3.Connection) -> tuple[datetime | None, DaemonState | None]:
    row = connection.execute("SELECT at, document FROM daemon").fetchone()
    if row is None:
        return None, None
    return from_us(row[0]), DaemonState.model_validate_json(row[1])


def _last(path: Path) -> Path:
    return path.with_name(f"{path.name}.last")


def _files(path: Path) -> tuple[Path, ...]:
    return (path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", ".last")))
