"""A database into whether its pages hold together, as far as a bound of time allows."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kerneld.store.connection import connect_untouched, is_damage, primary_code, telling

CHECK_S = 2.0
"""333 MiB took 1.5 s, its pages in memory"""


@dataclass(frozen=True, slots=True)
class Wholeness:
    """damage: what SQLite says is wrong, else "". is_all: whether every page was looked at."""

    damage: str = ""
    is_all: bool = True


def look_over(path: Path, *, within_s: float = CHECK_S) -> Wholeness:
    """Without a trace beside it; a writer goes on meanwhile. StoreError: it can't be opened."""
    found = _checked(path, within_s)
    # without a log it was taken for one that nobody writes to; a daemon may have begun to
    return _checked(path, within_s) if found.damage else found


def _checked(path: Path, within_s: float) -> Wholeness:
    with telling(path):
        try:
            db, copy = connect_untouched(path)
            with closing(db):
                # Python's progress handler is not called by this check before SQLite 3.42
                late = threading.Timer(within_s, db.interrupt)
                late.start()
                try:
                    said = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
                finally:
                    late.cancel()
                    late.join()
            if copy is not None:
                copy.cleanup()
        except sqlite3.DatabaseError as problem:
            if primary_code(problem) == sqlite3.SQLITE_INTERRUPT:
                return Wholeness(is_all=False)
            if not is_damage(problem):
                raise
            return Wholeness(str(problem))
    return Wholeness("" if said == "ok" else said.replace("*** in database main ***\n", ""))
