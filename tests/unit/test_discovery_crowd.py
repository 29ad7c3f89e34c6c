"""More kernels than kerneld can or will watch: what that costs, who is still watched, what is told."""

import json
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crowd import UID, Crowd, crowd
from dying import Running, running, until

from kerneld.discover.candidates import Door
from kerneld.discover.source import DiscoverySource
from kerneld.errors import StoreError
from kerneld.model.facts import Fact, ProcessSeen, SourceState
from kerneld.proc.process import boot_id
from kerneld.store import Store

LIMIT = 96
"""descriptors: 32 are open at rest, and 32 are kept"""


@pytest.fixture
def people() -> Iterator[Crowd]:
    with crowd() as made:
        yield made


@contextmanager
def discovering(people: Crowd, *, max_kernels: int) -> Iterator[Running]:
    door = Door(boot_id=boot_id(), only_uid=UID)
    folders = (str(people.runtime),)
    source = DiscoverySource(door, extra_folders=folders, max_kernels_per_user=max_kernels)
    with running(source) as it:
        yield it


def await_fact(it: Running, wanted: Callable[[Fact], bool], deadline_s: float = 40) -> Fact:
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        try:
            fact = it.next(timeout_s=0.5)
        except queue.Empty:
            continue
        if wanted(fact):
            return fact
    raise AssertionError("not told in time")


def is_seen(pid: int) -> Callable[[Fact], bool]:
    return lambda fact: isinstance(fact, ProcessSeen) and fact.process.pid == pid


def are_watched(*, all_: bool) -> Callable[[Fact], bool]:
    return lambda fact: isinstance(fact, SourceState) and fact.source == "kernels" and fact.up is all_


def test_a_crowd_of_bare_kernels_costs_little_and_hides_none(people: Crowd) -> None:
    """1,200 that slept took 62 % of a core for as long as they did."""
    pids = people.bare(600)
    with discovering(people, max_kernels=100) as it:
        assert it.thread.ident is not None
        clock = time.pthread_getcpuclockid(it.thread.ident)
        time.sleep(3)
        began_s = time.clock_gettime(clock)
        time.sleep(3)
        assert time.clock_gettime(clock) - began_s < 0.3
        for pid in (pids[0], pids[-1]):
            people.file(f"kernel-{pid}.json")
            seen = await_fact(it, is_seen(pid))
            assert isinstance(seen, ProcessSeen)
            assert seen.connection_file == str(people.runtime / f"kernel-{pid}.json")


def test_who_is_over_the_share_is_told_and_watched_when_there_is_room(
    people: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerneld.discover.scan.FULL_SCAN_S", 0.5)
    monkeypatch.setattr("kerneld.discover.admission.LASTS_S", 2.0)
    with discovering(people, max_kernels=2) as it:
        await_fact(it, are_watched(all_=True))
        first, second = people.kernel(1), people.kernel(2)
        for kernel in (first, second):
            await_fact(it, is_seen(kernel.pid))
        third = people.kernel(3)
        told = await_fact(it, are_watched(all_=False))
        assert isinstance(told, SourceState)
        assert told.reason == "a user has more than 2 kernels, and the rest of them is not watched"
        assert "max_kernels_per_user" in told.remedy
        first.kill()
        await_fact(it, is_seen(third.pid))
        await_fact(it, are_watched(all_=True))


def test_short_notebooks_one_after_the_other_are_all_watched(people: Crowd) -> None:
    """Each leaves a file's number behind for a minute."""
    with discovering(people, max_kernels=2) as it:
        for number in range(2 * 3):
            kernel = people.kernel(number)
            await_fact(it, is_seen(kernel.pid))
            kernel.kill()
            kernel.wait()


def test_few_descriptors_cost_new_kernels_never_those_that_are_watched(people: Crowd) -> None:
    """At 96 discovery failed in a loop, and no death was stored."""
    database = people.home / "state" / "k.db"
    database.parent.mkdir(mode=0o700)
    os.chown(database.parent, UID, -1)
    words = ["-m", "kerneld.daemon", "--db", str(database), "--force"]
    daemon = people.run(["prlimit", f"--nofile={LIMIT}:{LIMIT}", sys.executable, *words])
    assert daemon.stderr is not None
    assert "kerneld ready" in daemon.stderr.readline()
    kernels = [people.kernel(number) for number in range(20)]
    until(lambda: "kernels" in down(people, str(database)), deadline_s=30)
    assert not {"discovery", "iopub", "memory", "exits"} & set(down(people, str(database)))
    for kernel in kernels:
        kernel.kill()
    until(lambda: bool(dead(database)), deadline_s=20)
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) <= LIMIT - 16
    daemon.terminate()
    said = daemon.stderr.read()  # what readline() took beyond its line, communicate() would not give
    daemon.wait(20)
    assert "Traceback" not in said
    assert "may open 96 files at once" in said
    assert dead(database) <= {kernel.pid for kernel in kernels}


def down(people: Crowd, database: str) -> list[str]:
    """The sources that are down, as doctor has them from the daemon."""
    argv = [sys.executable, "-m", "kerneld", "doctor", "--json", "--db", database]
    report = json.loads(people.run(argv).communicate(timeout=30)[0])
    states = report["daemon"]["sources"] if report["daemon"] else []
    return [state["name"] for state in states if not state["up"]]


def dead(database: Path) -> set[int]:
    """Whose ends are stored."""
    try:
        with Store.read(database) as store:
            return {end.process.pid for end in store.ends()}
    except StoreError:
        return set()
