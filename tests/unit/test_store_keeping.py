"""What is kept how long: by age, fairly among users, in its room; and gone when it is gone."""

import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from store_rig import MARKER, NOW, a_case, an_end

from kerneld.config import Retention
from kerneld.model.vocabulary import Cause, State
from kerneld.store import Store
from kerneld.store.prune import fair_level


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kerneld" / "kerneld.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


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
