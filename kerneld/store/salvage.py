"""A damaged database into what of it can still be read, in a fresh one."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from kerneld.model.incident import Incident
from kerneld.store.connection import connect_damaged, transaction
from kerneld.store.schema import TALLY

log = logging.getLogger(__name__)

_TABLES = ("ends", "evidence", "tracked", "meta", "tallies")


def salvage(damaged: Path, fresh: Database) -> int:
    """Copy what can be read, from both ends of each table towards the damage; how many ends."""
    try:
        old = connect_damaged(damaged)
    except sqlite3.Error:
        return 0
    with closing(old):
        for table in _TABLES:
            with transaction(fresh):
                for row in _readable(old, table):
                    _take(fresh, table, row)
    with transaction(fresh):
        fresh.execute(TALLY)
    return fresh.table("ends").count


def _readable(db: Database, table: str) -> Iterator[dict[str, object]]:
    for order in ("ASC", "DESC"):
        try:
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
        except (sqlite3.Error, UnicodeDecodeError):
            continue
        return


def _take(db: Database, table: str, row: dict[str, object]) -> None:
    """A row that holds together; a damaged page may give any bytes."""
    try:
        if table == "ends":
            Incident.model_validate_json(str(row["document"]))
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", list(row.values()))
    except (ValueError, sqlite3.Error):
        log.debug("a row of %s was damaged", table)
