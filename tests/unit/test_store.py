"""The store gives back what was saved, and finds it through an index."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from incidents import DIED, incident
from store_rig import NOW, a_case, a_key, a_process, an_end

from kerneld.config import Retention
from kerneld.errors import (
    NothingFound,
    UsageError,
)
from kerneld.model.incident import (
    ContainerPart,
    Incident,
    KernelPart,
    NotebookPart,
    UserPart,
)
from kerneld.model.living import TrackedLife
from kerneld.model.vocabulary import Category, Cause, Scope, State
from kerneld.store import Query, Store
from kerneld.store.query import page_statement, statement
from kerneld.store.store import EVIDENCE_BYTES


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
    for sql, values in (statement(query), page_statement(query, (0, 0), 20)):
        with closing(sqlite3.connect(filled.path)) as db:
            plan = " / ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values))
        assert "INDEX" in plan
        assert "TEMP B-TREE" not in plan
        if query != Query(limit=20, all=True):
            assert "SCAN" not in plan or query.kernel == "0f3a", plan


@pytest.mark.parametrize("query", INDEXED, ids=str)
def test_a_walk_page_by_page_finds_what_a_query_finds(filled: Store, query: Query) -> None:
    whole = replace(query, limit=None)
    assert list(filled.each(whole)) == filled.find(whole)


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
    assert store.lives_of(["k0", "k1", "k9"]) == {"k0": 2, "k1": 1}
    newest = next(end for end in store.find(Query()) if end.kernel and end.kernel.id == "k0")
    assert store.lives_of(["k0"], besides=[newest.uuid]) == {"k0": 1}
    assert store.lives_of([]) == {}


def test_the_last_sign_of_life_outlives_the_daemon(path: Path) -> None:
    with Store.open(path) as store:
        assert store.heard_at() is None
        store.note_alive(NOW)
    with Store.read(path) as later:
        assert later.heard_at() == NOW


def test_on_a_network_filesystem_nothing_depends_on_shared_memory(tmp_path: Path) -> None:
    path = tmp_path / "state" / "kerneld" / "kerneld.db"
    with Store.open(path, journal="DELETE"):
        assert not path.with_name("kerneld.db-wal").exists()
    with Store.attach(path), Store.read(path):
        assert not path.with_name("kerneld.db-wal").exists()


PAGED = [
    Query(), Query(limit=3), Query(limit=0), Query(limit=99), Query(reverse=True),
    Query(reverse=True, limit=3), Query(limit=5, cause=Cause.SEGFAULT), Query(all=True, limit=7),
]  # fmt: skip


@pytest.mark.parametrize("query", PAGED, ids=str)
def test_a_page_at_a_time_the_same_is_told(
    store: Store, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many ends at one moment, too."""
    monkeypatch.setattr("kerneld.store.reading.PAGE", 2)
    causes = [Cause.SEGFAULT, Cause.OOM_CGROUP, Cause.RESTART]
    ends = [
        incident(number, cause=causes[number % 3], died_at=DIED + timedelta(seconds=number // 4))
        for number in range(1, 14)
    ]
    store.save_all([(end, None) for end in ends])
    assert list(store.each(query)) == store.find(query)


def test_a_person_is_the_account_and_in_a_container_the_hubs_name(store: Store) -> None:
    """JUPYTERHUB_USER is in a user's own hands: nobody's ranking is another's to fill."""
    users = [UserPart(uid=1, name="mallory", hub_name="ana"), UserPart(uid=2, name="ana")]
    jovyan = UserPart(uid=3, name="jovyan", hub_name="ben")
    inside = {"user": jovyan, "container": ContainerPart(id="c", how="crio")}
    for number, fields in enumerate([*({"user": user} for user in users), inside], 1):
        store.save_all([(an_end(number).model_copy(update=fields), None)])
    people = store.overview(Query(), column_us=3_600_000_000).people
    assert sorted((each.name, each.count) for each in people) == [
        ("ana", 1),
        ("ben", 1),
        ("mallory", 1),
    ]
    assert len(store.find(Query(person="ana"))) == 2
