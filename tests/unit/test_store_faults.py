"""The store keeps what it acknowledged: killed, out of disk or descriptors, locked, damaged."""

import errno
import os
import random
import resource
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from store_rig import NOW, a_case, an_end

from kerneld.config import Retention
from kerneld.errors import (
    StoreError,
)
from kerneld.model.vocabulary import State
from kerneld.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kerneld" / "kerneld.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


def writer(path: Path, acks: int, seed: int) -> None:
    """In a child: save batches for ever; say each uuid once its commit has returned."""
    dice = random.Random(seed)
    with Store.open(path) as store:
        number = seed * 100_000
        while True:
            batch = range(number + 1, number + 1 + dice.randint(1, 4))
            number = batch[-1]
            state = dice.choice(list(State))
            store.save_all([(an_end(n, state=state), a_case(n)) for n in batch])
            os.write(acks, b"".join(b"%08x" % n for n in batch))


def kill_writers(path: Path, kills: int) -> None:
    acked: set[str] = set()
    for seed in range(1, kills + 1):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                writer(path, writing, seed)
            finally:
                os._exit(1)
        os.close(writing)
        select.select([reading], [], [], 20)  # the first commit stands
        time.sleep(random.Random(seed).uniform(0, 0.012))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = b"".join(iter(lambda fd=reading: os.read(fd, 65_536), b""))
        os.close(reading)
        assert told
        acked |= {told[at : at + 8].decode() for at in range(0, len(told), 8)}
    with Store.read(path) as store:
        found = [end.uuid[:8] for end in store.ends()]
        assert len(found) == len(set(found))
        assert acked - set(found) == set()
        assert all(store.case(end.uuid) is not None for end in store.ends())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not list(path.parent.glob("*.corrupt*"))


def test_a_killed_daemon_loses_nothing_that_it_acknowledged(path: Path) -> None:
    """60 times SIGKILL somewhere in a commit; the next daemon opens what is left each time."""
    kill_writers(path, 60)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_times_killed_daemon_loses_nothing(path: Path) -> None:
    kill_writers(path, 3000)


def test_what_a_killed_daemon_wrote_is_read_without_it(path: Path) -> None:
    """The log it left is read as it is; so it is from a folder that can't be written."""
    child = os.fork()
    if child == 0:
        store = Store.open(path)
        store.save_all([(an_end(), a_case())])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.with_name("kerneld.db-wal").stat().st_size
    with Store.read(path) as store:
        assert store.get("latest").id == 1


@pytest.mark.needs_root
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
def test_a_database_on_read_only_media_is_read(tmp_path: Path, killed: bool) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        child = os.fork()
        if child == 0:
            store = Store.open(disk / "kerneld" / "k.db")
            store.save_all([(an_end(), a_case())])
            if not killed:
                store.close()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with Store.read(disk / "kerneld" / "k.db") as store:
            assert store.get("latest").id == 1
            assert store.case(an_end().uuid) == a_case()


@pytest.mark.parametrize("damage", ["header", "middle", "truncated", "random"])
def test_a_damaged_database_is_set_aside_and_what_can_be_read_is_kept(path: Path, damage: str) -> None:
    with Store.open(path) as store:
        store.save_all([(an_end(n), a_case(n)) for n in range(1, 301)])
    size = path.stat().st_size
    with open(path, "r+b") as file:
        if damage == "truncated":
            file.truncate(size // 2)
        elif damage == "random":
            dice = random.Random(3)
            for _ in range(40):
                file.seek(dice.randrange(size))
                file.write(dice.randbytes(64))
        else:
            file.seek(0 if damage == "header" else size // 2)
            file.write(b"\xff" * (4096 if damage == "header" else 40_960))
    with Store.open(path) as store:
        kept = store.counts().ends
        ids = [end.id for end in store.save_all([(an_end(1000), None)])]
        assert store.get("latest") is not None
    assert ids != [1] or kept == 0
    assert len([f for f in path.parent.glob("*.corrupt-*") if f.name[-1].isdigit()]) == 1
    if damage in ("middle", "truncated"):
        assert kept >= 50
    with Store.open(path) as again:
        assert again.counts().ends == kept + 1
    assert len([f for f in path.parent.glob("*.corrupt-*") if f.name[-1].isdigit()]) == 1


def test_damage_met_while_running_costs_no_death(store: Store, path: Path) -> None:
    store.save_all([(an_end(n), a_case(n)) for n in range(1, 301)])
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with open(path, "r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    store._db.execute("PRAGMA shrink_memory")
    stored = store.save_all([(an_end(999), a_case(999))])
    assert store.has(stored[0].uuid)
    assert list(path.parent.glob("*.corrupt-*"))


def until(number: int, action: Callable[[], int]) -> list[int]:
    """Do it until it fails with this errno; what it gave."""
    given: list[int] = []
    while True:
        try:
            given.append(action())
        except OSError as problem:
            if problem.errno != number:
                raise
            return given


def test_an_end_is_stored_although_no_descriptor_is_left(store: Store) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        taken += until(errno.EMFILE, lambda: os.open("/dev/null", os.O_RDONLY))
        for number in range(1, 200):
            store.save_all([(an_end(number), a_case(number))])
        assert store.counts().ends == 199
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_locked_database_is_an_error_that_can_be_tried_again(store: Store, path: Path) -> None:
    store._db.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program holds the database"):
            store.save_all([(an_end(), None)])
    assert [end.id for end in store.save_all([(an_end(), None)])] == [1]


class small_disk:
    """A tmpfs of a few MiB."""

    def __init__(self, at: Path, size: str) -> None:
        self._at, self._size = at, size

    def __enter__(self) -> Path:
        self._at.mkdir(mode=0o700)
        options = f"size={self._size},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self._at], check=True)
        return self._at

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self._at], check=True)


def fill_with_deaths(store: Store) -> None:
    for number in range(2, 2000):
        assert store.save_all([(an_end(number), a_case(number, samples=300))])[0].id == number


@pytest.mark.needs_root
def test_a_full_disk_loses_nothing_and_is_survived(tmp_path: Path) -> None:
    """The reserve takes the first deaths; then saving fails, and works again once there is room."""
    with small_disk(tmp_path / "disk", "4m") as disk, Store.open(disk / "kerneld" / "k.db") as store:
        store.save_all([(an_end(1), a_case(1))])
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            until(errno.ENOSPC, lambda: file.write(b"x" * 4096))
        with pytest.raises(StoreError, match="the disk is full"):
            fill_with_deaths(store)
        saved = store.counts().ends
        assert saved > 5, "the reserve was of use"
        filler.unlink()
        store.save_all([(an_end(saved + 1), a_case(saved + 1))])
        assert store.counts().ends == saved + 1
        assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.prune(Retention(), NOW)
        assert (disk / "kerneld" / "k.db.reserve").stat().st_size == 1 << 20


def test_the_hot_path_is_cheap(store: Store) -> None:
    """A save without evidence takes 0.2 ms besides the disk's own work; 25 times that is a fault."""
    store._db.execute("PRAGMA synchronous = OFF")
    store.save_all([(an_end(1), None)])
    took = []
    for number in range(2, 60):
        began = time.perf_counter()
        store.save_all([(an_end(number), None)])
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 4] < 0.005
