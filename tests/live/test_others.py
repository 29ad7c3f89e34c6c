"""The victim of another user's hog: the admin is told its name, the owner only whose it is not."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from others import HOG
from report import NEEDED, Report, each_role, story
from rig import OTHER, Person

from kerneld.model.vocabulary import Cause

pytestmark = NEEDED

KERNELD = (sys.executable, "-m", "kerneld")


@each_role
def test_the_hog_is_told_from_the_victim(report: Report, role: str) -> None:
    """By Linux's own table, or by the look that a plain user's recorder takes after the death."""
    end = report.first(role, "victim-of-a-hog")
    assert end.cause is Cause.OOM_CGROUP or (role == "plain" and end.cause is Cause.KILLED), story(end)
    roles = {one.role: one for one in end.bystanders}
    assert roles["victim"].pid == end.process.pid
    hog = roles["hog"]
    assert (hog.pid, hog.comm, hog.uid) == (report.stage.extra["hog"][0], HOG, OTHER)  # type: ignore[index]
    assert hog.rss_bytes > 2 * roles["victim"].rss_bytes


@each_role
def test_what_the_host_had_left_is_told(report: Report, role: str) -> None:
    state = report.first(role, "victim-of-a-hog").host_state
    assert state is not None
    assert None not in (state.swap_free_bytes, state.shm_free_bytes, state.disk_free_bytes)
    if Path("/proc/pressure/memory").exists():
        assert (state.psi_memory or "").startswith("some avg10=")


@pytest.fixture
def shared(report: Report) -> Iterator[tuple[Person, Path, str]]:
    """The service's incidents where their owner can read them, and which one is the victim's."""
    owner, database = report.stage.world.plain, report.daemons["root"].db
    copy = owner.home / "shared.db"
    shutil.copy(database, copy)
    copy.chmod(0o644)
    yield owner, copy, report.first("root", "victim-of-a-hog").uuid
    copy.unlink()


def test_the_admin_is_told_the_hogs_name(report: Report, shared: tuple[Person, Path, str]) -> None:
    _, database, uuid = shared
    page = report.stage.world.root.run([*KERNELD, "show", uuid, "--db", str(database)]).stdout
    assert f"{HOG} {report.stage.extra['hog'][0]}" in page  # type: ignore[index]


def test_its_owner_is_told_that_it_was_another_users(shared: tuple[Person, Path, str]) -> None:
    owner, database, uuid = shared
    for words in (["show", uuid], ["show", uuid, "--json"], ["export", uuid, "--case"]):
        done = owner.run([*KERNELD, *words, "--db", str(database)])
        assert done.returncode == 0, done.stderr
        assert HOG not in done.stdout
        assert str(OTHER) not in done.stdout
    page = owner.run([*KERNELD, "show", uuid, "--db", str(database)]).stdout
    assert "another user's process" in page
    document = json.loads(owner.run([*KERNELD, "show", uuid, "--json", "--db", str(database)]).stdout)
    (hog,) = [one for one in document["bystanders"] if one["role"] == "hog"]
    assert {name for name, value in hog.items() if value is not None} == {"rss_bytes", "role"}
