"""A database of any older schema into today's: migrations by user_version, a backup first."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from kerneld.errors import ConfigError
from kerneld.store.connection import tables, transaction
from kerneld.store.files import private_file

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID = 0x6B726E64
"""`krnd`: another program's database is never migrated"""

COUNTED = "ends_counted"
"""the index of all that is counted of ends"""
HUB_USERS = "ends_hub"

# died_at and settled_at: integer µs. settled_seq: the order of settling, for cursors. The document
# stands last: a filter on the columns before it never reads the pages it overflows to.
_FIRST = (
    """CREATE TABLE ends (
        id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
        category TEXT NOT NULL, cause TEXT NOT NULL, confidence TEXT NOT NULL, state TEXT NOT NULL,
        revision INTEGER NOT NULL, died_at INTEGER NOT NULL, settled_at INTEGER, kernel_id TEXT,
        pid INTEGER NOT NULL, uid INTEGER NOT NULL, user_name TEXT, notebook TEXT, caused_by TEXT,
        is_incident INTEGER NOT NULL, settled_seq INTEGER, document_bytes INTEGER NOT NULL,
        document TEXT NOT NULL)""",
    "CREATE TABLE evidence (uuid TEXT PRIMARY KEY, size INTEGER NOT NULL, document BLOB NOT NULL)",
    """CREATE TABLE tracked (
        boot_id TEXT NOT NULL, pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL,
        pidfd_inode INTEGER NOT NULL, scope TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (boot_id, pid, start_ticks, pidfd_inode, scope))""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value)",
    "CREATE INDEX ends_state ON ends(died_at) WHERE state = 'provisional'",
    "CREATE UNIQUE INDEX ends_settled ON ends(settled_seq) WHERE settled_seq IS NOT NULL",
    "CREATE VIEW incidents AS SELECT * FROM ends WHERE is_incident = 1",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
_ORDERED_BY_TIME = (
    ["died_at"],
    ["is_incident", "died_at"],
    ["category", "died_at"],
    ["cause", "died_at"],
    ["uid", "died_at"],
    ["user_name", "died_at"],
    ["kernel_id", "died_at"],
    ["pid", "died_at"],
)

Migration = Callable[["Database"], None]


def _first(db: "Database") -> None:
    for statement in _FIRST:
        db.execute(statement)
    for columns in _ORDERED_BY_TIME:
        db.table("ends").create_index(columns)


TALLY = """INSERT OR IGNORE INTO tallies SELECT uid, cause, count(*) FROM ends
    WHERE is_incident = 1 AND settled_seq IS NOT NULL GROUP BY uid, cause"""
"""what the ends that are there amount to, where nothing was counted yet"""

# Settled incidents, each counted once and never uncounted: what retention deletes must not let a
# counter of the metrics fall.
_TALLIES = (
    """CREATE TABLE tallies (
        uid INTEGER NOT NULL, cause TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (uid, cause))""",
    TALLY,
)


def _tallied(db: "Database") -> None:
    for statement in _TALLIES:
        db.execute(statement)


# What a page asks for: whom the Hub calls a row's user, in which container, and which line is to blame.
# The last index answers every count of a page by itself: the rows' documents are never touched.
_SHOWN = (
    "ALTER TABLE ends ADD COLUMN hub_name TEXT",
    "ALTER TABLE ends ADD COLUMN container_id TEXT",
    "ALTER TABLE ends ADD COLUMN place TEXT",
    """UPDATE ends SET
        hub_name = json_extract(document, '$.user.hub_name'),
        container_id = json_extract(document, '$.container.id'),
        place = coalesce(
            json_extract(document, '$.cell.sha256') || ':' || json_extract(document, '$.cell.line'),
            json_extract(document, '$.growth_lines[0].file') || ':'
                || json_extract(document, '$.growth_lines[0].line'))
        WHERE json_valid(document)""",
    f"CREATE INDEX {HUB_USERS} ON ends(hub_name, died_at)",
    f"CREATE INDEX {COUNTED} ON ends(is_incident, died_at, category, cause, uid, user_name, hub_name, "
    "container_id, notebook, place)",
)


def _shown(db: "Database") -> None:
    for statement in _SHOWN:
        db.execute(statement)


MIGRATIONS: tuple[Migration, ...] = (_first, _tallied, _shown)


def version_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check(db: sqlite3.Connection, path: Path, *, known: int = len(MIGRATIONS)) -> int:
    """The schema's version, 0 for an empty database; ConfigError where it is not for this kerneld."""
    version = version_of(db)
    if version > known:
        raise ConfigError(
            f"{path}: written by a newer kerneld (schema {version}, this one knows {known}); "
            "upgrade kerneld, or name another database with --db"
        )
    strangers = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if strangers and db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise ConfigError(f"{path}: another program's database; name kerneld's with --db")
    return version


def migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database up to date, a transaction a step: a kill in between leaves whole steps."""
    version = check(db, path, known=len(migrations))
    if 0 < version < len(migrations):
        _back_up(db, path.with_name(f"{path.name}.v{version}.bak"))
    for number, step in enumerate(migrations[version:], version + 1):
        with transaction(db):
            step(tables(db))
            db.execute(f"PRAGMA user_version = {number}")


def _back_up(db: sqlite3.Connection, target: Path) -> None:
    os.close(private_file(target))
    with closing(sqlite3.connect(target)) as copy:
        db.backup(copy)
