"""Incidents, cases and the tracked into the database: each call one transaction, all or nothing."""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from kerneld.errors import KerneldError, StoreError
from kerneld.model.base import to_us
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import State
from kerneld.store import connection, files, opening, prune, rows
from kerneld.store.connection import telling, transaction
from kerneld.store.reading import Reading
from kerneld.store.unread import Unread

if TYPE_CHECKING:  # what only lists incidents needs no case: its classes cost 25 ms
    from kerneld.model.case import Case
    from kerneld.model.living import TrackedLife
    from kerneld.model.process import ProcessKey

    Pack = Callable[..., tuple[bytes | None, str | None]]
    """a case, and whether another takes its place soon, to what is kept and what was left out"""

log = logging.getLogger(__name__)
EVIDENCE_BYTES = 262_144
T = TypeVar("T")

Save = tuple[Incident, "Case | None"]


class Store(Reading):
    """One connection with one owner. Every method raises StoreError where SQLite can't."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        *,
        lock: int | None = None,
        copy: tempfile.TemporaryDirectory[str] | None = None,
        journal: opening.Journal = "WAL",
        pack: "Pack | None" = None,
    ) -> None:
        self._db = db
        self._lock = lock
        self._copy = copy
        self._journal = journal
        self._pack_case = pack
        self.path = path
        self.unread = Unread()
        self.opened = 1
        """how often: what a daemon saved before the last time may not be in this database"""
        self._identity: files.Identity = files.identity(path)
        self._log_stamp = files.log_stamp(path)

    # ------------------------------------------------------------------ open and close

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        journal: opening.Journal = "WAL",
        evidence_bytes: int = EVIDENCE_BYTES,
    ) -> Self:
        """For the daemon: made where it is missing, migrated, and held against a second daemon.

        AlreadyRunning: another daemon has it. ConfigError: a newer schema, or not kerneld's. A
        damaged database is set aside, a fresh one takes what could be read of it.
        """
        path = Path(os.path.abspath(path))
        lock, db = opening.held(path, journal)
        return cls(db, path, lock=lock, journal=journal, pack=_packer(evidence_bytes))

    @classmethod
    def attach(cls, path: Path, *, evidence_bytes: int = EVIDENCE_BYTES) -> Self:
        """For a command that writes beside the daemon (`prune`, `rejudge`): made and migrated never."""
        opening.must_exist(path)
        with telling(path):
            db = connection.connect_writer(path, opening.must_be_current)
        return cls(db, path, pack=_packer(evidence_bytes))

    @classmethod
    def read(cls, path: Path) -> Self:
        """For a reading command, whether the daemon runs, stopped or was killed; never makes a file."""
        opening.must_exist(path)
        try:
            with telling(path):
                db, copy = connection.connect_reader(path)
                opening.must_be_current(db, path)
        except OSError as problem:
            raise StoreError(f"{path}: {problem.strerror}") from None
        return cls(db, path, copy=copy)

    def is_current(self) -> bool:
        """Whether what a reader opened is what lies at the path now; a copy, until that changes."""
        if files.identity(self.path) != self._identity:
            return False
        return self._copy is None or files.log_stamp(self.path) == self._log_stamp

    def version(self) -> int:
        """Another number when another connection has committed since it was asked last."""
        with telling(self.path):
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def stay_in_place(self) -> None:
        """Open anew what lies at the path where that is another database, or none any more.

        A file that was removed takes every commit, and nobody ever reads it. Closing comes first:
        SQLite then leaves the other database's files alone. StoreError: what lies there can't be used;
        every write fails until it can.
        """
        if self._lock is None or files.is_barred(self.path):
            return
        if files.identity(self.path) == self._identity:
            return
        known, self._identity = self._identity, ()
        self._db.close()
        files.drop_orphans(self.path, known)
        ours = os.dup(self._lock) if files.still_locked(self.path, self._lock) else None
        try:
            lock, self._db = opening.held(self.path, self._journal, ours)
        except KerneldError as problem:
            raise StoreError(f"removed or replaced while kerneld ran: {problem}") from None
        os.close(self._lock)
        self._lock = lock
        self._identity = files.identity(self.path)
        self.opened += 1
        log.error("%s was removed or replaced while kerneld ran: it is opened anew", self.path)

    def close(self) -> None:
        self._db.close()
        if self._copy is not None:
            self._copy.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ write

    def save_all(self, items: Sequence[Save]) -> list[Incident]:
        """Store all or none, in one commit on the disk; the incidents as stored, with their ids.

        A known uuid is replaced. A case of None leaves the evidence there is.
        """
        try:
            return self._save_all(items)
        except ValueError:  # pydantic's, for text that is no UTF-8
            return self._save_all([(rows.clean(i), c and rows.clean(c)) for i, c in items])

    def _save_all(self, items: Sequence[Save]) -> list[Incident]:
        packed: list[tuple[Incident, bytes | None]] = []
        for incident, case in items:
            evidence, dropped = (None, None) if case is None else self._pack(incident, case)
            told = incident.model_copy(update={"evidence_dropped": dropped}) if dropped else incident
            packed.append((told, evidence))
        return self._write(lambda: self._insert(packed)) if packed else []

    def _pack(self, incident: Incident, case: "Case") -> tuple[bytes | None, str | None]:
        if self._pack_case is None or not rows.keeps_evidence(incident):
            return None, None
        return self._pack_case(case, soon_replaced=incident.state is State.PROVISIONAL)

    def _insert(self, items: Sequence[tuple[Incident, bytes | None]]) -> list[Incident]:
        run = self._db.execute
        last_id = (run("SELECT seq FROM sqlite_sequence WHERE name = 'ends'").fetchone() or [0])[0]
        last_seq = self._meta("settled_seq") or 0
        known: dict[str, tuple[int, int | None]] = {}
        stored: list[Incident] = []
        values: list[tuple[object, ...]] = []
        counted: list[tuple[int, str]] = []
        for incident, _ in items:
            place = (
                known.get(incident.uuid)
                or run("SELECT id, settled_seq FROM ends WHERE uuid = ?", (incident.uuid,)).fetchone()
            )
            if place is None:
                last_id += 1
                place = (last_id, None)
            number, seq = place
            if seq is None and incident.state is State.SETTLED:
                last_seq += 1
                seq = last_seq
                if incident.is_incident:
                    counted.append((incident.user.uid, incident.cause.value))
            known[incident.uuid] = (number, seq)
            stored.append(incident.model_copy(update={"id": number}))
            values.append(rows.row_of(stored[-1], seq))
        self._db.executemany(rows.UPSERT, values)
        self._db.executemany(rows.COUNT, counted)
        self._set_meta("settled_seq", last_seq)
        self._keep_evidence(items)
        return stored

    def _keep_evidence(self, items: Sequence[tuple[Incident, bytes | None]]) -> None:
        kept = [(i.uuid, len(packed), packed) for i, packed in items if packed is not None]
        gone = [(i.uuid,) for i, _ in items if not rows.keeps_evidence(i)]
        self._db.executemany("INSERT OR REPLACE INTO evidence VALUES (?, ?, ?)", kept)
        self._db.executemany("DELETE FROM evidence WHERE uuid = ?", gone)

    def track(self, lives: "Sequence[TrackedLife]") -> None:
        """Remember who is watched, so that a later daemon knows whom a killed one watched."""
        try:
            values = [rows.row_of_life(life) for life in lives]
        except ValueError:
            values = [rows.row_of_life(rows.clean(life)) for life in lives]
        sql = "INSERT OR REPLACE INTO tracked VALUES (?, ?, ?, ?, ?, ?)"
        self._write(lambda: self._db.executemany(sql, values))

    def untrack(self, keys: "Sequence[ProcessKey]") -> None:
        """Forget these processes, in whatever role."""
        sql = (
            "DELETE FROM tracked WHERE boot_id = ? AND pid = ? AND start_ticks = ? AND pidfd_inode = ?"
        )
        self._write(lambda: self._db.executemany(sql, [rows.key_of(key) for key in keys]))

    def note_alive(self, at: datetime) -> None:
        """The daemon lives at this time; `heard_at` tells a later one."""
        self._write(lambda: self._set_meta("heard_at", to_us(at)))

    def prune(
        self, limits: prune.Limits, now: datetime, *, dry_run: bool = False, confirmed: bool = False
    ) -> prune.PruneReport:
        """Delete what is past its time or over a limit. confirmed: a person says the clock is right."""
        with telling(self.path):
            planned = prune.plan(self._db, limits, now, confirmed=confirmed)
            cut = (now - timedelta(days=limits.evidence_days)).timestamp()
            old = [file for file in files.left_behind(self.path) if file.lstat().st_mtime < cut]
            if planned.report.refused:
                old = []
            if not dry_run:
                prune.carry_out(self._db, planned)
                for file in old:
                    file.unlink(missing_ok=True)
                if self._lock is not None:
                    files.keep_reserve(self.path)
            return replace(planned.report, files=len(old))

    def _write(self, action: Callable[[], T]) -> T:
        """One commit, into the database that lies at the path when it is done."""
        done = self._commit(action)
        if self._lock is None or files.identity(self.path) == self._identity:
            return done
        self.stay_in_place()
        return self._commit(action)

    def _commit(self, action: Callable[[], T]) -> T:
        """One transaction; tried once more where room was made, or a damaged file replaced."""
        with telling(self.path):
            try:
                with transaction(self._db):
                    return action()
            except sqlite3.Error as problem:
                if not self._mended(problem):
                    raise
            with transaction(self._db):
                return action()

    def _mended(self, problem: sqlite3.Error) -> bool:
        if self._lock is None:
            return False
        if connection.is_damage(problem):
            self._db.close()
            self._db = opening.replaced(self.path, self._journal)
            self._identity = files.identity(self.path)
            return True
        if connection.is_full(problem) and files.give_up_reserve(self.path):
            log.warning("%s: the disk is full; the reserve is given up for what comes now", self.path)
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return True
        return False

    def _set_meta(self, key: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _packer(limit_bytes: int) -> "Pack":
    """Loaded with a database to write: at a death there may be no descriptor left to load it with."""
    from kerneld.store.evidence import pack

    return partial(pack, limit_bytes=limit_bytes)
