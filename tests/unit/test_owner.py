"""Deaths through the owner into a real store: each end once, in its role, under its policy."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from owner_rig import LATER, desk, ended, kernel_seen
from store_rig import NOW, a_process

from kerneld.daemon.absence import deaths_unseen
from kerneld.daemon.collector import Collector
from kerneld.daemon.loops import SUCCESSION
from kerneld.daemon.systemd import ServiceManager
from kerneld.errors import StoreError
from kerneld.model.facts import Stop
from kerneld.model.incident import Incident, LoopPart
from kerneld.model.records import ManagerAct
from kerneld.model.vocabulary import Cause, Scope
from kerneld.store import Store

SERVER, KERNEL = 4_194_305, 4_194_306
"""pids that Linux never gives"""
FILE = "/run/user/1000/jupyter/kernel-0b4e4c39-4a5e-4ac1-9e0e-0e1f4cbd1c3a.json"


def test_a_process_in_both_roles_has_an_end_in_each(tmp_path: Path) -> None:
    """A server that executes a kernel's command line stays the server of its own kernels."""
    with desk(tmp_path / "kerneld" / "k.db") as at:
        at.owner.feed([kernel_seen(KERNEL, server=SERVER), kernel_seen(SERVER)])
        tracked = {(life.process.pid, life.scope) for life in at.store.tracked()}
        assert tracked == {(KERNEL, Scope.KERNEL), (SERVER, Scope.KERNEL), (SERVER, Scope.SERVER)}
        at.owner.feed([ended(SERVER)])
        at.owner.settle(LATER)
        both = {end.scope: end.uuid for end in at.store.ends()}
    assert set(both) == {Scope.SERVER, Scope.KERNEL}


def test_a_launcher_that_becomes_a_kernel_stays_on_the_roll(tmp_path: Path) -> None:
    """`setpriv`: one process leaves its first file and is tracked by the next, as another user's."""
    theirs = a_process(KERNEL).model_copy(update={"uid": 1001})
    becomes = replace(kernel_seen(KERNEL, process=theirs), handle=1)
    with desk(tmp_path / "kerneld" / "k.db") as at:
        for facts in ([kernel_seen(KERNEL)], [becomes], [becomes]):
            at.owner.feed(facts)
        at.owner.reconsider()
        assert [life.process.uid for life in at.store.tracked()] == [1001]
        at.owner.feed([replace(becomes), ended(KERNEL)])
        at.owner.reconsider()
        assert at.store.tracked() == []


def test_an_end_has_one_uuid_whether_it_was_seen_or_found_later(tmp_path: Path) -> None:
    with desk(tmp_path / "kerneld" / "k.db") as at:
        at.owner.feed([kernel_seen(KERNEL, server=SERVER), kernel_seen(SERVER)])
        lives = at.store.tracked()
        at.owner.feed([ended(SERVER), ended(KERNEL)])
        seen = {end.uuid for end in at.store.ends()}
        cases = deaths_unseen(lives, (), host=at.owner.host, heard_at=None)
    assert {case.uuid for case in cases} == seen
    assert {case.process.key for case in cases} == {a_process(SERVER).key, a_process(KERNEL).key}


def deaths(path: Path, pids: Iterable[int], gap: timedelta, **more: int) -> list[Incident]:
    """Lives of one kernel id, a daemon each, that die one after the other and settle."""
    for turn, pid in enumerate(pids):
        at = NOW + turn * gap
        with desk(path) as daemon:
            seen = replace(kernel_seen(pid), connection_file=FILE)
            daemon.owner.feed([seen, ended(pid, at=at, **more)])
            daemon.owner.settle(LATER)
    with Store.read(path) as store:
        return list(store.ends())


def test_deaths_of_one_kernel_in_quick_succession_are_a_loop(tmp_path: Path) -> None:
    """Each life under a daemon of its own: a restart of kerneld does not end a loop."""
    pids = range(KERNEL, KERNEL + 4)
    first, *rest = deaths(tmp_path / "kerneld" / "k.db", pids, SUCCESSION)
    assert first.loop is None
    assert [end.loop for end in rest] == [LoopPart(id=first.uuid, count=n) for n in (2, 3, 4)]
    assert {end.loop_id for end in (first, *rest)} == {first.uuid}


def test_lives_that_a_full_disk_kept_back_are_numbered_and_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are stored at once: none of them stands in the database as another one's forerunner."""
    seconds = (0, 9, 18)
    with desk(tmp_path / "kerneld" / "k.db") as daemon:
        with monkeypatch.context() as full:
            full.setattr(Store, "save_all", refuse)
            for second, pid in zip(seconds, range(KERNEL, KERNEL + 3), strict=True):
                seen = replace(kernel_seen(pid), connection_file=FILE)
                daemon.owner.feed([seen, ended(pid, at=NOW + timedelta(seconds=second))])
        daemon.owner.feed(())
        daemon.owner.settle(LATER)
        ends = sorted(daemon.store.ends(), key=lambda end: end.died_at)
    assert [end.kernel.restarts for end in ends if end.kernel] == [0, 1, 2]
    assert [end.loop is None for end in ends] == [True, False, False]


def refuse(*_: object) -> None:
    raise StoreError("the disk is full")


def test_deaths_that_are_far_apart_are_no_loop(tmp_path: Path) -> None:
    apart = SUCCESSION + timedelta(seconds=1)
    ends = deaths(tmp_path / "kerneld" / "k.db", (KERNEL, KERNEL + 1), apart)
    assert [end.loop for end in ends] == [None, None]


def test_another_users_kernel_of_the_same_name_is_no_part_of_a_loop(tmp_path: Path) -> None:
    """The id is the name of a file, which anybody can give."""
    path, second = tmp_path / "kerneld" / "k.db", KERNEL + 1
    deaths(path, (KERNEL,), timedelta(0))
    stranger = a_process(second).model_copy(update={"uid": 1001})
    with desk(path) as at:
        seen = replace(kernel_seen(second, process=stranger), connection_file=FILE)
        at.owner.feed([seen, ended(second)])
        at.owner.settle(LATER)
        assert [end.loop for end in at.store.ends()] == [None, None]


def test_what_is_learned_with_the_stop_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Second looks wait for a moment without facts; behind a stop none comes."""
    kill = ManagerAct(
        at=NOW,
        manager="earlyoom",
        did="killed-for-memory",
        pid=KERNEL,
        signal=9,
        line="sending SIGKILL",
    )
    batches = iter([[kernel_seen(KERNEL), ended(KERNEL)], [kill, Stop("SIGTERM")]])
    collector = Collector([], manager=ServiceManager())
    monkeypatch.setattr(collector, "_batch", lambda _: next(batches))
    with desk(tmp_path / "kerneld" / "k.db") as at:
        collector.run(at.owner, lambda *_: None)
        [end] = at.store.ends()
    assert end.cause is Cause.OOM_DAEMON
