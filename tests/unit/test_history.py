"""IPython's own history file into the cell that runs; whatever else a user puts there into nothing."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kerneld.model.process import Process
from kerneld.model.said import CellStarted
from kerneld.model.session import Session
from kerneld.model.wire import HistoryOrder
from kerneld.proc.history import open_history
from kerneld.proc.process import read_process
from kerneld.reader import history
from kerneld.reader.history import last_cell

NOW = datetime.now(UTC)


def order(started_at: datetime = NOW, offset_s: int | None = None) -> HistoryOrder:
    local_s = (datetime.now().astimezone().utcoffset() or timedelta()).total_seconds()
    return HistoryOrder(
        handle=1, started_at=started_at, utc_offset_s=int(local_s if offset_s is None else offset_s)
    )


def told(path: Path, asked: HistoryOrder | None = None) -> tuple[int, str] | None:
    fd = os.open(path, os.O_RDONLY)
    try:
        return last_cell(asked or order(), fd)
    finally:
        os.close(fd)


WRITE = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
for source in ("x = 1", "for i in range(3):\\n    y = 'é'\\n"):
    shell.run_cell(source, store_history=True)
shell.history_manager.writeout_cache()
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By IPython itself: two cells of a session that began just now."""
    folder = tmp_path_factory.mktemp("ipython")
    subprocess.run([sys.executable, "-c", WRITE], env={"IPYTHONDIR": str(folder)}, check=True)
    return folder / "profile_default" / "history.sqlite"


@pytest.fixture
def file(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written, tmp_path / "history.sqlite"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Generated: what a user might put in its place."""
    connection = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
    yield connection
    connection.close()


def began(file: Path) -> datetime:
    """When the process did whose session is in it: half a second before that."""
    with closing(sqlite3.connect(file)) as connection:
        start = connection.execute("SELECT max(start) FROM sessions").fetchone()[0]
    return datetime.fromisoformat(start).astimezone(UTC) - timedelta(seconds=0.5)


TABLES = """
    CREATE TABLE sessions (session integer primary key, start timestamp);
    CREATE TABLE history (session integer, line integer, source text, source_raw text);
"""


def begun(seconds: float = 0.5) -> str:
    return (NOW + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(" ")


# ---------------------------------------------------------------- the file


def test_the_last_cell_of_the_session_that_began_with_the_kernel_is_told(file: Path) -> None:
    assert told(file, order(began(file))) == (2, "for i in range(3):\n    y = 'é'")


@pytest.mark.parametrize("seconds", [-3600, 120], ids=["another kernel's, before", "one after"])
def test_a_session_of_another_time_is_another_kernels(file: Path, seconds: float) -> None:
    assert told(file, order(began(file) + timedelta(seconds=seconds))) is None


def test_two_sessions_that_fit_are_none(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.executescript(TABLES)
    for session in (1, 2):
        database.execute("INSERT INTO sessions(session, start) VALUES (?, ?)", [session, begun()])
        database.execute("INSERT INTO history VALUES (?, 1, '', 'x')", [session])
    assert told(tmp_path / "history.sqlite", order(offset_s=0)) is None
    database.execute("UPDATE sessions SET start = ? WHERE session = 1", [begun(-99)])
    assert told(tmp_path / "history.sqlite", order(offset_s=0)) == (1, "x")


def test_a_write_ahead_log_and_a_lock_do_not_matter(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    database.executescript(TABLES)
    database.execute("INSERT INTO sessions(session, start) VALUES (1, ?)", [begun()])
    database.execute("INSERT INTO history VALUES (1, 7, '', 'x')")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN EXCLUSIVE")
    assert told(tmp_path / "history.sqlite", order(offset_s=0)) == (7, "x")


# ---------------------------------------------------------------- what a user may put there

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, {} FROM n"


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "CREATE TABLE sessions (session, start); CREATE TABLE history (x)",
        f"CREATE VIEW sessions AS {ENDLESS.format('i AS start')}",
        f"CREATE VIEW sessions(session, start) AS {ENDLESS.format(chr(39) + begun() + chr(39))}",
        f"{TABLES} DROP TABLE history; CREATE VIEW history AS SELECT 1 AS session, 1 AS line,"
        " hex(zeroblob(900000000)) AS source_raw",
        f"{TABLES} INSERT INTO sessions(session, start) VALUES (1, '{begun()}');"
        "INSERT INTO history VALUES (1, 'seven', '', 'x')",
        f"{TABLES} INSERT INTO sessions(session, start) VALUES (1, '{begun()}');"
        "INSERT INTO history VALUES (1, 7, '', x'00ff')",
        f"{TABLES} INSERT INTO sessions(session, start) VALUES (1, '99999-01-01')",
        f"{TABLES} INSERT INTO sessions(session, start) VALUES (1, '0001-01-01 00:00:00')",
    ],
    ids=["empty", "other columns", "endless", "endless and fitting", "huge", "text for a number",
         "bytes for a text", "no date", "before all zones"],
)  # fmt: skip
def test_a_hostile_database_tells_nothing_and_soon(
    database: sqlite3.Connection, tmp_path: Path, schema: str
) -> None:
    database.executescript(schema)
    began_s = time.monotonic()
    assert told(tmp_path / "history.sqlite", order(offset_s=0)) is None
    assert time.monotonic() - began_s < 3 * history.MAX_S


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"SQLite format 3\0",
        lambda data: os.urandom(8192),
        lambda data: data[: len(data) // 2],
        lambda data: data[:100] + os.urandom(len(data) - 100),
        lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
    ],
    ids=["empty", "a header", "noise", "half of it", "noise behind a header", "spoilt pages"],
)
def test_a_spoilt_file_tells_nothing(file: Path, spoil: Callable[[bytes], bytes]) -> None:
    at = began(file)
    file.write_bytes(spoil(file.read_bytes()))
    assert told(file, order(at)) is None


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with path.open("wb") as sparse:
        sparse.truncate(1 << 40)
    began_s = time.monotonic()
    assert told(path) is None
    assert time.monotonic() - began_s < 0.5


def test_every_byte_may_be_wrong(file: Path) -> None:
    """1 of 64 bytes turned, 200 times: told is a cell or nothing, and nobody falls."""
    whole, at = file.read_bytes(), began(file)
    for seed in range(200):
        spoilt = bytearray(whole)
        for place in range(seed % 64, len(spoilt), 64 + seed):
            spoilt[place] ^= 1 << seed % 8
        file.write_bytes(spoilt)
        told(file, order(at))


# ---------------------------------------------------------------- the door


def me() -> Process:
    process = read_process(os.getpid(), boot_id="b", pidfd_inode=None)
    assert process is not None
    return process


def test_the_file_that_a_process_writes_is_opened(file: Path) -> None:
    with file.open("r+b"):
        fd = open_history(me())
        assert fd is not None
        assert os.fstat(fd).st_ino == file.stat().st_ino
        os.close(fd)
    assert open_history(me()) is None


def test_a_file_behind_a_link_or_exchanged_since_is_not(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"another's")
    with file.open("r+b"):
        file.rename(tmp_path / "gone")
        file.symlink_to(other)
        assert open_history(me()) is None
        file.unlink()
        file.write_bytes(b"new")
        assert open_history(me()) is None


def test_a_file_that_is_only_read_is_nobodys_history(file: Path) -> None:
    with file.open("rb"):
        assert open_history(me()) is None


# ---------------------------------------------------------------- the session


def test_what_is_heard_takes_the_place_of_what_was_recalled() -> None:
    recalled = CellStarted(at=NOW, handle=1, execution_count=7, source="x", recalled=True)
    session = Session(listening=True).heard_of(recalled)
    assert (session.recalled, session.cell, session.busy, session.facts) == (recalled, None, None, ())
    heard = session.heard_of(CellStarted(at=NOW, handle=1, execution_count=8))
    assert heard.cell is not None
    assert heard.cell.execution_count == 8
    assert heard.heard_of(recalled) == heard
