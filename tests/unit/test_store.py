"""The store keeps what it acknowledged, keeps it private, finds it fast, and never fills the disk."""

import errno
import os
import random
import resource
import select
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from sqlite_utils import Database

from kerneld.config import Retention
from kerneld.errors import (
    AlreadyRunning,
    ConfigError,
    KerneldError,
    NothingFound,
    StoreError,
    UsageError,
)
from kerneld.model.case import Case, Host
from kerneld.model.facts import CellStarted, KernelStatus, MemoryAccount
from kerneld.model.incident import (
    CellPart,
    ExitPart,
    Incident,
    KernelPart,
    NotebookPart,
    ProcessPart,
    UserPart,
)
from kerneld.model.living import TrackedLife
from kerneld.model.process import Process, ProcessKey
from kerneld.model.vocabulary import Category, Cause, Confidence, ExitHow, Scope, State
from kerneld.store import Query, Store
from kerneld.store.prune import fair_level
from kerneld.store.query import statement
from kerneld.store.rows import EVIDENCE_BYTES
from kerneld.store.schema import MIGRATIONS, migrate

NOW = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
HOST = Host(name="h", boot_id="b", linux_release="6.1")
MARKER = "a-line-that-nobody-else-may-ever-read"


def an_end(
    number: int = 1,
    *,
    uid: int = 1000,
    cause: Cause = Cause.OOM_HOST,
    days_ago: float = 0.0,
    state: State = State.SETTLED,
    source: str | None = None,
    **more: object,
) -> Incident:
    died_at = NOW - timedelta(days=days_ago)
    return Incident(
        uuid=f"{number:08x}-0000-4000-8000-000000000000",
        category=cause.category,
        cause=cause,
        confidence=Confidence.CERTAIN,
        state=state,
        died_at=died_at,
        detected_at=died_at,
        recorded_at=died_at,
        settled_at=died_at if state is State.SETTLED else None,
        host=HOST,
        kernel=KernelPart(id=f"k{number % 7}", pid=number, start_ticks=number, started_at=died_at),
        process=ProcessPart(pid=number, comm="python", start_ticks=number, ppid=1),
        user=UserPart(uid=uid, name=f"user{uid}"),
        notebook=NotebookPart(path=f"/home/u/nb{number}.ipynb", how="environ"),
        exit=ExitPart(how=ExitHow.PIDFD, signal=9),
        cell=CellPart(source=source) if source else None,
        summary="It died.",
        **more,  # type: ignore[arg-type]
    )


def a_key(pid: int, inode: int | None = 7) -> ProcessKey:
    return ProcessKey(boot_id="b", pid=pid, start_ticks=pid, pidfd_inode=inode)


def a_process(pid: int) -> Process:
    return Process(key=a_key(pid), comm="python", ppid=1, pgid=1, sid=1, uid=1000, started_at=NOW)


def a_case(number: int = 1, *, samples: int = 10, source: str | None = None, words: int = 3) -> Case:
    return Case(
        uuid=an_end(number).uuid,
        host=HOST,
        process=a_process(number),
        died_at=NOW,
        detected_at=NOW,
        watched_since=NOW,
        boot_id_now="b",
        memory=MemoryAccount(
            samples=tuple((float(samples - i), hash((i, i)) & 0xFFFFFFFFF) for i in range(samples))
        ),
        session=tuple(KernelStatus(at=NOW, handle=1, state=f"s{i}") for i in range(words)),
        last_cell=CellStarted(at=NOW, handle=1, source=source) if source else None,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kerneld" / "kerneld.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


# ------------------------------------------------------------- saving


def test_a_saved_end_comes_back_as_it_was_with_its_id(store: Store) -> None:
    end = an_end()
    (stored,) = store.save_all([(end, a_case())])
    assert stored == end.model_copy(update={"id": 1})
    assert (
        store.get("1") == store.get("latest") == store.get(end.uuid) == store.get("00000001") == stored
    )
    assert store.case(end.uuid) == a_case()


def test_a_later_verdict_replaces_the_first_under_the_same_id(store: Store) -> None:
    store.save_all([(an_end(1, state=State.PROVISIONAL), a_case()), (an_end(2), None)])
    assert [(end.id, case) for end, case in store.provisional()] == [(1, a_case())]
    revised = an_end(1, cause=Cause.SEGFAULT, revision=2)
    store.save_all([(revised, None)])
    assert store.get("1").cause is Cause.SEGFAULT
    assert store.case(revised.uuid) == a_case(), "no new case: the old evidence stays"
    assert store.provisional() == []
    assert store.counts().ends == 2


def test_one_end_twice_in_a_batch_is_one_row(store: Store) -> None:
    first, second = store.save_all([(an_end(1, state=State.PROVISIONAL), None), (an_end(1), None)])
    assert first.id == second.id == 1
    assert store.get("1").state is State.SETTLED


def test_an_id_is_never_given_twice(store: Store) -> None:
    store.save_all([(an_end(n, days_ago=400), None) for n in (1, 2)])
    store.prune(Retention(), NOW, confirmed=True)
    assert store.save_all([(an_end(3), None)])[0].id == 3


def test_a_requested_end_keeps_evidence_only_until_it_is_settled(store: Store) -> None:
    asked = an_end(1, cause=Cause.SHUTDOWN, state=State.PROVISIONAL)
    store.save_all([(asked, a_case())])
    assert store.case(asked.uuid) is not None
    store.save_all([(an_end(1, cause=Cause.SHUTDOWN), a_case())])
    assert store.case(asked.uuid) is None


def test_evidence_too_large_loses_old_samples_first_and_says_so(path: Path) -> None:
    with Store.open(path, evidence_bytes=20_000) as store:
        (stored,) = store.save_all([(an_end(), a_case(samples=20_000, words=30))])
        kept = store.case(stored.uuid)
    assert kept is not None
    assert 0 < len(kept.memory.samples) < 20_000
    assert kept.memory.samples[-1] == a_case(samples=20_000).memory.samples[-1], "the newest stays"
    assert len(kept.session) == 30
    assert stored.evidence_dropped == "larger than 20000 bytes: older memory samples left out"


def test_evidence_that_cannot_be_trimmed_enough_loses_its_source_then_all(path: Path) -> None:
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60_000))
    with Store.open(path, evidence_bytes=5_000) as store:
        (stored,) = store.save_all([(an_end(), a_case(source=noise))])
        kept = store.case(stored.uuid)
        assert kept is not None
        assert kept.last_cell is not None
        assert kept.last_cell.source is None
        assert "the source of cells" in (stored.evidence_dropped or "")
    with Store.open(path, evidence_bytes=50) as store:
        (stored,) = store.save_all([(an_end(2), a_case(2))])
        assert store.case(stored.uuid) is None
        assert stored.evidence_dropped is not None
        assert store.get(stored.uuid).evidence_dropped == stored.evidence_dropped


def test_the_default_size_of_evidence_is_the_configurations(store: Store) -> None:
    assert Retention().evidence_bytes == EVIDENCE_BYTES


def test_a_path_that_is_no_utf8_cannot_keep_a_death_from_being_stored(store: Store) -> None:
    """A user may name a folder so; the bytes come as lone surrogates."""
    odd = an_end().model_copy(
        update={"notebook": NotebookPart(path="/home/u/\udcff/nb.ipynb", how="environ")}
    )
    case = a_case().model_copy(update={"notes": ("\udcfe",)})
    store.save_all([(odd, case)])
    found = store.get("latest").notebook
    assert found is not None
    assert found.path == "/home/u/\\udcff/nb.ipynb"
    process = a_process(5).model_copy(update={"environ": {"A": "\udcff"}})
    store.track([TrackedLife(scope=Scope.KERNEL, process=process, watched_since=NOW)])
    assert len(store.tracked()) == 1


# ------------------------------------------------------------- finding


@pytest.fixture
def filled(store: Store) -> Store:
    causes = list(Cause)
    store.save_all(
        [
            (an_end(n, uid=1000 + n % 3, cause=causes[n % len(causes)], days_ago=(200 - n) / 10), None)
            for n in range(1, 201)
        ]
    )
    return store


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(all=True),
        Query(cause=Cause.SEGFAULT),
        Query(category=Category.MEMORY),
        Query(uid=1001),
        Query(user="user1002"),
        Query(user="1002"),
        Query(pid=42),
        Query(notebook="nb1?.ipynb"),
        Query(notebook="/home/*/nb2.ipynb"),
        Query(since=NOW - timedelta(days=3)),
        Query(until=NOW - timedelta(days=3)),
        Query(uid=1000, cause=Cause.OOM_HOST, all=True),
    ],
    ids=str,
)
def test_a_query_finds_exactly_what_fits_newest_last(filled: Store, query: Query) -> None:
    def fits(end: Incident) -> bool:
        assert end.notebook is not None
        name = end.notebook.path if "/" in (query.notebook or "") else end.notebook.path.split("/")[-1]
        return (
            (query.all or end.is_incident)
            and query.cause in (None, end.cause)
            and query.category in (None, end.category)
            and query.uid in (None, end.user.uid)
            and query.user in (None, end.user.name, str(end.user.uid))
            and query.pid in (None, end.process.pid)
            and (query.notebook is None or fnmatchcase(name, query.notebook))
            and (query.since is None or end.died_at >= query.since)
            and (query.until is None or end.died_at < query.until)
        )

    expected = [end for end in filled.ends() if fits(end)]
    assert expected
    assert filled.find(query) == expected
    assert filled.find(replace(query, limit=2)) == expected[-2:]
    assert filled.find(replace(query, limit=2, reverse=True)) == expected[-2:][::-1]


def test_a_kernel_is_found_by_its_id_or_the_start_of_one(store: Store) -> None:
    whole = "0f3a0000-0000-4000-8000-0000000000ab"
    kernel = KernelPart(id=whole, pid=1, start_ticks=1, started_at=NOW)
    store.save_all([(an_end(1).model_copy(update={"kernel": kernel}), None), (an_end(2), None)])
    for asked in (whole, "0f3a"):
        assert [end.id for end in store.find(Query(kernel=asked))] == [1]
    assert store.find(Query(kernel="0f3b")) == []


INDEXED = [
    Query(limit=20),
    Query(limit=20, all=True),
    Query(limit=20, cause=Cause.SEGFAULT),
    Query(limit=20, category=Category.MEMORY),
    Query(limit=20, uid=1001),
    Query(limit=20, user="user1001"),
    Query(limit=20, user="1001", cause=Cause.SEGFAULT),
    Query(limit=20, kernel="0f3a0000-0000-4000-8000-0000000000ab"),
    Query(limit=20, kernel="0f3a"),
    Query(limit=20, pid=4),
    Query(limit=20, notebook="*.ipynb"),
    Query(limit=20, since=NOW, until=NOW),
    Query(limit=20, since=NOW, uid=1001, all=True),
]


@pytest.mark.parametrize("query", INDEXED, ids=str)
def test_every_page_comes_from_an_index_in_its_order(filled: Store, query: Query) -> None:
    """Neither a walk over the table nor a sort: the 100,000th incident costs nothing."""
    sql, values = statement(query)
    with closing(sqlite3.connect(filled.path)) as db:
        plan = " / ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values))
    assert "INDEX" in plan
    assert "TEMP B-TREE" not in plan
    if query != Query(limit=20, all=True):
        assert "SCAN" not in plan or query.kernel == "0f3a", plan


@pytest.mark.parametrize("ref", ["", "x", "zz", "9999", "0000", "latest2", "%", "*", "-1", "9" * 40])
def test_a_reference_that_names_nothing_is_said_to(filled: Store, ref: str) -> None:
    with pytest.raises((NothingFound, UsageError)):
        filled.get(ref)


def test_a_reference_that_names_several_is_refused(filled: Store) -> None:
    with pytest.raises(UsageError, match="ambiguous"):
        filled.get("0000001")


def test_others_ends_are_not_found(filled: Store) -> None:
    one = filled.find(Query(uid=1001, limit=1))[0]
    assert filled.get(one.uuid, uid=1001) == one
    with pytest.raises(NothingFound):
        filled.get(one.uuid, uid=1002)
    assert filled.get("latest", uid=1002).user.uid == 1002


def test_following_tells_each_settled_end_once_in_the_order_of_settling(store: Store) -> None:
    store.save_all([(an_end(n, state=State.PROVISIONAL), None) for n in (1, 2, 3)])
    cursor = store.cursor()
    told: list[int | None] = []
    for number in (3, 1, 2):
        store.save_all([(an_end(number), None)])
        store.save_all([(an_end(number, revision=2), None)])
        ends, cursor = store.changed_since(cursor)
        told += [end.id for end in ends]
    assert told == [3, 1, 2]
    assert store.changed_since(cursor) == ([], cursor)


def test_following_misses_nothing_that_settles_after_a_prune(store: Store) -> None:
    store.save_all([(an_end(1, days_ago=400), None)])
    cursor = store.cursor()
    store.prune(Retention(), NOW, confirmed=True)
    store.save_all([(an_end(2), None)])
    assert [end.id for end in store.changed_since(cursor)[0]] == [2]


def test_the_tracked_are_known_by_identity_not_by_pid(store: Store) -> None:
    lives = [
        TrackedLife(scope=Scope.KERNEL, process=a_process(4), watched_since=NOW),
        TrackedLife(
            scope=Scope.KERNEL,
            process=a_process(4).model_copy(update={"key": a_key(4, inode=None)}),
            watched_since=NOW,
        ),
    ]
    store.track(lives)
    store.track(lives)
    assert store.tracked() == lives
    store.untrack([a_key(4, inode=None)])
    assert store.tracked() == lives[:1]


def test_restarts_are_counted_over_the_lives_of_an_id(store: Store) -> None:
    store.save_all([(an_end(7), None), (an_end(14), None), (an_end(8), None)])
    assert (store.lives_of("k0"), store.lives_of("k1"), store.lives_of("k9")) == (2, 1, 0)


def test_the_last_sign_of_life_outlives_the_daemon(path: Path) -> None:
    with Store.open(path) as store:
        assert store.heard_at() is None
        store.note_alive(NOW)
    with Store.read(path) as later:
        assert later.heard_at() == NOW


# ------------------------------------------------------------- opening


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


def test_an_older_schema_is_migrated_after_a_backup(path: Path) -> None:
    with Store.open(path) as store:
        store.save_all([(an_end(), None)])
        migrate(store._db, path, (*MIGRATIONS, add_a_column))
        assert store._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    backup = path.with_name("kerneld.db.v1.bak")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with Store.read(backup) as old:
        assert old.counts().ends == 1


def test_a_migration_that_fails_leaves_the_database_as_it_was(store: Store, path: Path) -> None:
    def half(db: object) -> None:
        store._db.execute("CREATE TABLE half (x)")
        raise sqlite3.OperationalError("killed here")

    with pytest.raises(sqlite3.OperationalError):
        migrate(store._db, path, (*MIGRATIONS, half))
    assert store._db.execute("PRAGMA user_version").fetchone() == (1,)
    assert "half" not in store._db.table_names()


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


# ------------------------------------------------------------- faults


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
    """A save without its evidence takes about 0.3 ms besides the disk; ten times that is a fault."""
    store._db.execute("PRAGMA synchronous = OFF")
    store.save_all([(an_end(1), None)])
    took = []
    for number in range(2, 60):
        began = time.perf_counter()
        store.save_all([(an_end(number), None)])
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 4] < 0.005


# ------------------------------------------------------------- keeping


def fill(store: Store, counts: dict[int, int], *, days_ago: float = 1, first: int = 1) -> int:
    number = first
    items = []
    for uid, count in counts.items():
        for i in range(count):
            end = an_end(number, uid=uid, days_ago=days_ago + (count - i) / 1e4)
            items.append((end, a_case(number)))
            number += 1
    store.save_all(items)
    return number


def left(store: Store) -> dict[int, int]:
    found: dict[int, int] = {}
    for end in store.ends():
        found[end.user.uid] = found.get(end.user.uid, 0) + 1
    return found


def test_what_is_past_its_time_goes(store: Store) -> None:
    fill(store, {1000: 40})
    fill(store, {1000: 3}, days_ago=181, first=100)
    store.save_all([(an_end(200, cause=Cause.RESTART, days_ago=15), None)])
    dry = store.prune(Retention(), NOW, dry_run=True)
    assert store.counts().ends == 44
    assert store.prune(Retention(), NOW) == dry
    assert (dry.by_age, dry.refused, left(store)) == (4, None, {1000: 40})


def test_a_clock_that_jumps_deletes_nothing_until_somebody_confirms(store: Store) -> None:
    fill(store, {1000: 40})
    jumped = NOW + timedelta(days=3650)
    report = store.prune(Retention(), jumped)
    assert (report.ends, report.evidence) == (0, 0)
    assert report.refused is not None
    assert "40 of 40 ends" in report.refused
    assert "kerneld prune --yes" in report.refused
    assert store.counts().evidence == 40
    assert store.prune(Retention(), jumped, confirmed=True).by_age == 40
    assert store.counts().ends == 0


def test_exactly_a_tenth_may_go(store: Store) -> None:
    fill(store, {1000: 36})
    fill(store, {1000: 4}, days_ago=200, first=100)
    assert store.prune(Retention(), NOW).by_age == 4


def test_a_clock_that_jumps_past_the_evidences_time_only_keeps_it_too(store: Store) -> None:
    fill(store, {1000: 40})
    assert store.prune(Retention(), NOW + timedelta(days=60)).evidence == 0
    assert store.counts().evidence == 40


def test_evidence_goes_before_its_incident(store: Store) -> None:
    fill(store, {1000: 5}, days_ago=31)
    fill(store, {1000: 5}, first=100)
    assert store.prune(Retention(), NOW).evidence == 5
    assert (store.counts().ends, store.counts().evidence) == (10, 5)


def test_the_user_with_most_goes_first(store: Store) -> None:
    """One who floods the store can't push out another's single crash."""
    fill(store, {1000: 150, 1001: 30, 1002: 1})
    report = store.prune(Retention(max_incidents=100), NOW)
    assert report.by_count == 81
    assert left(store) == {1000: 69, 1001: 30, 1002: 1}
    newest = max(store.ends(), key=lambda end: (end.user.uid == 1000, end.died_at))
    assert newest.died_at > NOW - timedelta(days=1, seconds=9), "the oldest went"


def test_a_user_keeps_the_newest_and_incidents_before_requested_ends(store: Store) -> None:
    fill(store, {1000: 12, 1001: 3})
    store.save_all([(an_end(500 + n, cause=Cause.RESTART), None) for n in range(5)])
    report = store.prune(Retention(max_per_user=10), NOW)
    assert report.by_user == 7
    assert left(store) == {1000: 10, 1001: 3}
    assert store.counts().incidents == 13


def test_the_file_stays_within_its_size(store: Store, path: Path) -> None:
    noise = random.Random(5)
    items = [
        (an_end(n, uid=1001 if n == 1 else 1000), a_case(n, source=noise.randbytes(30_000).hex()))
        for n in range(1, 200)
    ]
    store.save_all(items)
    report = store.prune(Retention(max_bytes=4_194_304), NOW)
    assert report.evidence > 0
    assert store.counts().bytes <= 4_194_304
    assert path.stat().st_size <= 4_194_304 * 1.1, "pages were given back"
    assert store.case(an_end(1).uuid) is not None, "a small user's evidence stays"
    assert store.counts().ends == 199, "evidence was enough"


def test_what_is_still_being_judged_is_never_pruned(store: Store) -> None:
    store.save_all([(an_end(n, state=State.PROVISIONAL, days_ago=400), a_case(n)) for n in range(30)])
    store.prune(Retention(max_per_user=10), NOW, confirmed=True)
    assert (store.counts().ends, store.counts().evidence) == (30, 30)


def test_what_was_deleted_is_in_no_file_any_more(store: Store, path: Path) -> None:
    """Neither in free pages nor in the log: users ask for their code to be gone."""
    fill(store, {1000: 30})
    store.save_all([(an_end(100 + n, days_ago=400, source=MARKER * 200), None) for n in range(3)])
    store.save_all([(an_end(300, source=MARKER, days_ago=1), None)])
    assert MARKER.encode() in b"".join(f.read_bytes() for f in path.parent.iterdir())
    store.save_all([(an_end(300, days_ago=1), None)])
    assert store.prune(Retention(), NOW).by_age == 3
    for file in path.parent.iterdir():
        assert MARKER.encode() not in file.read_bytes(), file.name


def test_set_aside_databases_and_backups_go_with_the_evidence(store: Store, path: Path) -> None:
    fill(store, {1000: 3})
    old, new = path.with_name("kerneld.db.corrupt-1"), path.with_name("kerneld.db.v1.bak")
    for file in (old, new):
        file.write_text(MARKER)
    os.utime(old, (NOW.timestamp() - 31 * 86_400,) * 2)
    assert store.prune(Retention(), NOW).files == 1
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(
    ("sizes", "budget", "level"),
    [([], 5, 0), ([3], 5, 3), ([9, 1], 6, 5), ([4, 4, 4], 6, 2), ([5, 5], 10, 5), ([7], -1, 0)],
)
def test_the_fair_level_fits_the_budget(sizes: list[int], budget: int, level: int) -> None:
    assert fair_level(sizes, budget) == level
    assert sum(min(size, level) for size in sizes) <= max(0, budget)
