"""A damaged database into what of it can still be read, in a fresh one."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from kerneld.model.incident import Incident
from kerneld.store.connection import connect_damaged, tables, transaction
from kerneld.store.schema import TALLY

if TYPE_CHECKING:
    from sqlite_utils import Database

log = logging.getLogger(__name__)

_TABLES = ("ends", "evidence", "tracked", "meta", "tallies")


def salvage(damaged: Path, fresh: sqlite3.Connection) -> int:
    """Copy what can be read, from both ends of each table towards the damage; how many ends."""
    try:
        old = connect_damaged(damaged)
    except sqlite3.Error:
        return 0
    found = tables(fresh)
    with closing(old):
        for table in _TABLES:
            with transaction(fresh):
                for row in _readable(old, table):
                    _take(found, table, row)
    with transaction(fresh):
        fresh.execute(TALLY)
    return found.table("ends").count


def _readable(db: sqlite3.Connection, table: str) -> Iterator[dict[str, object]]:
    for order in ("ASC", "DESC"):
        try:
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
        except (sqlite3.Error, UnicodeDecodeError):
            continue
        return


def _take(fresh: "Database", table: str, row: dict[str, object]) -> None:
    """A row that holds together; a damaged page may give any bytes."""
    try:
        if table == "ends":
            Incident.model_validate_json(str(row["document"]))
        fresh.table(table).insert(row, ignore=True)
    except (ValueError, sqlite3.Error):
        log.debug("a row of %s was damaged", table)
