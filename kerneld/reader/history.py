"""IPython's history file, by its bytes, into the last cell of one session.

The file is its user's and may hold anything: it is read into memory, where SQLite gets nothing but
two queries of plain tables, little time, and short values. https://www.sqlite.org/security.html
"""

import os
import sqlite3
import time
from datetime import UTC, datetime, timedelta, timezone

from kerneld.model.wire import HistoryOrder

MAX_BYTES = 64 << 20
"""it is in memory twice, for some 0.1 s"""
MAX_S = 0.5
STARTS_WITHIN = timedelta(seconds=10)
"""a session begins once IPython is imported: 0.4 to 1 s after its process, on a busy machine 5"""
CLOCK_SLACK = timedelta(seconds=1)
_SESSIONS = 500
_LENGTH_BYTES = 8 << 20
_STEPS = 5000
_SQL_LENGTH, _EXPR_DEPTH, _VDBE_OP = 1000, 20, 5000
_MAGIC = b"SQLite format 3\0"
_WRITE_VERSION, _READ_VERSION = 18, 19


def last_cell(order: HistoryOrder, fd: int) -> tuple[int, str] | None:
    """The number and source of the last cell of the session that began with this process.

    None: there is none, the file is none or too large, or two sessions could be it.
    """
    if os.fstat(fd).st_size > MAX_BYTES:
        return None
    data = _read(fd)
    if not data.startswith(_MAGIC) or len(data) < 100:
        return None
    data[_WRITE_VERSION] = data[_READ_VERSION] = 1  # what is in memory has no write-ahead log
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.deserialize(bytes(data))
        del data
        _restrain(connection)
        return _last(connection, order)
    except (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError):
        return None
    finally:
        connection.close()


def _read(fd: int) -> bytearray:
    data = bytearray()
    while len(data) <= MAX_BYTES:
        piece = os.pread(fd, 1 << 20, len(data))
        if not piece:
            break
        data += piece
    return data


def _restrain(connection: sqlite3.Connection) -> None:
    for name in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON", "temp_store = 2"):
        connection.execute(f"PRAGMA {name}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LENGTH_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _SQL_LENGTH)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, _EXPR_DEPTH)
    connection.setlimit(sqlite3.SQLITE_LIMIT_VDBE_OP, _VDBE_OP)
    connection.set_authorizer(_may)
    until_s = time.monotonic() + MAX_S
    connection.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS)


def _may(action: int, table: str | None, *_: object) -> int:
    """Two tables are read, and nothing else is asked for."""
    if action == sqlite3.SQLITE_SELECT or (
        action == sqlite3.SQLITE_READ and table in ("sessions", "history")
    ):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _last(connection: sqlite3.Connection, order: HistoryOrder) -> tuple[int, str] | None:
    rows = connection.execute(
        "SELECT session, start FROM sessions ORDER BY session DESC LIMIT ?", [_SESSIONS]
    )
    zone = timezone(timedelta(seconds=order.utc_offset_s))
    begun = [session for session, start in rows if _fits(start, order.started_at, zone)]
    if len(begun) != 1:
        return None
    row = connection.execute(
        "SELECT line, source_raw FROM history WHERE session = ? ORDER BY line DESC LIMIT 1", begun
    ).fetchone()
    if row is None or type(row[0]) is not int or type(row[1]) is not str:
        return None
    return row[0], row[1]


def _fits(start: object, started_at: datetime, zone: timezone) -> bool:
    """IPython writes its local time without a zone."""
    if not isinstance(start, str):
        return False
    at = datetime.fromisoformat(start)
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    return -CLOCK_SLACK <= at.astimezone(UTC) - started_at <= STARTS_WITHIN
