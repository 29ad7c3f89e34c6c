"""A database is private, one daemon's, of the right schema, and nobody else's file."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from incidents import full, segfault
from sqlite_utils import Database
from store_rig import NOW, a_case, an_end

from kerneld.config import Retention
from kerneld.errors import (
    AlreadyRunning,
    ConfigError,
    KerneldError,
    StoreError,
)
from kerneld.model.growth import GrowthLine
from kerneld.model.incident import CellPart
from kerneld.store import Store
from kerneld.store.connection import tables
from kerneld.store.schema import MIGRATIONS, migrate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kerneld" / "kerneld.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


def test_files_are_private_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        with Store.open(path) as store:
            store.save_all([(an_end(), a_case())])
            modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert {"kerneld.db", "kerneld.db-wal", "kerneld.db-shm", "kerneld.db.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_database_where_others_could_plant_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(StoreError, match="others may write there"):
        Store.open(folder / "k.db")


@pytest.mark.parametrize("name", ["kerneld.db", "kerneld.db.lock"])
def test_a_link_in_the_place_of_a_file_is_not_followed(path: Path, name: str) -> None:
    path.parent.mkdir(mode=0o700)
    victim = path.parent.parent / "victim"
    victim.write_text("precious")
    path.with_name(name).symlink_to(victim)
    with pytest.raises(StoreError):
        Store.open(path)
    assert victim.read_text() == "precious"


def test_a_second_daemon_is_refused_and_told_the_firsts_pid(store: Store, path: Path) -> None:
    with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}\b") as caught:
        Store.open(path)
    assert caught.value.exit_code == 75
    store.save_all([(an_end(), None)])


def test_a_command_may_prune_beside_the_daemon(store: Store, path: Path) -> None:
    store.save_all([(an_end(1, days_ago=400), None)])
    with Store.attach(path) as beside:
        assert beside.prune(Retention(), NOW, confirmed=True).by_age == 1
    assert store.counts().ends == 0


def test_a_newer_schema_is_refused_by_everybody(path: Path) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for way in (Store.open, Store.read, Store.attach):
        with pytest.raises(ConfigError, match="newer kerneld") as caught:
            way(path)
        assert caught.value.exit_code == 78
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["sqlite", "text"])
def test_another_programs_file_is_left_alone(path: Path, kind: str) -> None:
    path.parent.mkdir(mode=0o700)
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE thesis (page)")
    else:
        path.write_text("Chapter one. " * 1000)
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        Store.open(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.corrupt*"))


def add_a_column(db: Database) -> None:
    db.execute("ALTER TABLE ends ADD COLUMN more TEXT")


def test_older_rows_get_what_the_page_asks_for(path: Path) -> None:
    asked = "SELECT hub_name, container_id, place FROM ends ORDER BY id"
    grown = GrowthLine(file="/h/etl.py", line=12, bytes=5, share=1.0)
    cell = CellPart(execution_count=1, line=4, sha256="ab" * 32)
    with Store.open(path) as store:
        store.save_all(
            [(end, None) for end in (full(1, growth_lines=(grown,)), full(2, cell=cell), segfault(3))]
        )
        rows = store._db.execute(asked).fetchall()
        store._db.execute("UPDATE ends SET document = 'torn' WHERE id = 3")
        for name in ("ends_hub", "ends_counted"):
            store._db.execute(f"DROP INDEX {name}")
        for name in ("hub_name", "container_id", "place"):
            store._db.execute(f"ALTER TABLE ends DROP COLUMN {name}")
        store._db.execute("PRAGMA user_version = 2")
    with Store.open(path) as store:
        assert store._db.execute(asked).fetchall() == rows
    assert rows[:2] == [
        ("alice", "0123456789abcdef", place) for place in ("/h/etl.py:12", f"{'ab' * 32}:4")
    ]


def test_an_older_schema_is_migrated_after_a_backup(path: Path) -> None:
    with Store.open(path) as store:
        store.save_all([(an_end(), None)])
        migrate(store._db, path, (*MIGRATIONS, add_a_column))
        assert store._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    backup = path.with_name(f"kerneld.db.v{len(MIGRATIONS)}.bak")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with Store.read(backup) as old:
        assert old.counts().ends == 1


def test_a_migration_that_fails_leaves_the_database_as_it_was(store: Store, path: Path) -> None:
    def half(db: object) -> None:
        store._db.execute("CREATE TABLE half (x)")
        raise sqlite3.OperationalError("killed here")

    with pytest.raises(sqlite3.OperationalError):
        migrate(store._db, path, (*MIGRATIONS, half))
    assert store._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert "half" not in tables(store._db).table_names()


def test_reading_never_makes_a_database(path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        Store.read(path)
    assert not path.parent.exists()
    with pytest.raises(KerneldError) as caught:
        Store.attach(path)
    assert caught.value.exit_code == 74


def test_a_reader_cannot_write(store: Store, path: Path) -> None:
    with Store.read(path) as reader, pytest.raises(StoreError):
        reader.save_all([(an_end(), None)])


def test_readers_read_while_the_daemon_writes(store: Store, path: Path) -> None:
    with Store.read(path) as reader:
        for number in range(1, 20):
            store.save_all([(an_end(number), None)])
            assert reader.counts().ends == number
