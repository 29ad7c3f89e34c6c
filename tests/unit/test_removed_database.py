"""The database removed or replaced under a running daemon: no death goes into a file that is gone."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from crowd import UID, crowd
from dying import until
from owner_rig import Healthy, desk, ended, kernel_seen
from store_rig import an_end

from kerneld.config import Retention
from kerneld.daemon.housekeeping import Housekeeping
from kerneld.errors import AlreadyRunning, StoreError
from kerneld.live import LiveWriter, read_living
from kerneld.model.living import DaemonState
from kerneld.model.vocabulary import Mode, State
from kerneld.sources.memory import MemorySource
from kerneld.store import Store

ALIVE, DEAD = 4_194_305, 4_194_306


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kerneld" / "k.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        opened.save_all([(an_end(1), None)])
        yield opened


def uuids(path: Path) -> list[str]:
    with Store.read(path) as store:
        return [end.uuid for end in store.ends()]


def is_stored(path: Path) -> bool:
    """Whether there is any end; the database may be in the making."""
    try:
        return bool(uuids(path))
    except StoreError:
        return False


def remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


SHUT = """
import os, sys
from pathlib import Path
from datetime import UTC, datetime
from store_rig import an_end
from kerneld.live import LiveWriter
from kerneld.model.living import DaemonState
from kerneld.model.vocabulary import Mode
from kerneld.store import Store
now = datetime.now(UTC)
daemon = DaemonState(pid=1, started_at=now, version="0", mode=Mode.USER, database="d", sources=())
path = Path(sys.argv[1]) / "kerneld" / "k.db"
with Store.open(path) as store, LiveWriter(path.with_name("live.db")) as live:
    os.chmod(path.parent, 0)
    store.stay_in_place()
    store.save_all([(an_end(1), None)])
    live.write([], daemon, at=now)
    os.chmod(path.parent, 0o700)
    live.write([], daemon, at=now)
with Store.read(path) as store:
    print(len(list(store.ends())))
"""
"""what happens to a database whose folder is shut, as a user who has no way around that"""


def test_a_folder_that_is_shut_takes_ends_all_the_same() -> None:
    with tempfile.TemporaryDirectory() as folder:
        as_plain = []
        if os.geteuid() == 0:
            os.chown(folder, UID, UID)
            as_plain = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        done = subprocess.run(
            [*as_plain, sys.executable, "-c", SHUT, folder],
            env={"PYTHONPATH": os.path.dirname(__file__), "HOME": folder, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "1\n", done.stderr


def test_the_living_are_written_again_once_their_place_can_be_made(tmp_path: Path) -> None:
    folder, now = tmp_path / "run", datetime.now(UTC)
    daemon = DaemonState(pid=1, started_at=now, version="0", mode=Mode.USER, database="d", sources=())
    with LiveWriter(folder / "live.db") as live:
        shutil.rmtree(folder)
        folder.touch()
        for _ in range(2):
            with pytest.raises(StoreError):
                live.write([], daemon, at=now)
        folder.unlink()
        live.write([], daemon, at=now)
        assert read_living(folder / "live.db").daemon == daemon


def test_an_end_after_the_removal_is_there_to_be_read(store: Store, path: Path) -> None:
    """Even where nothing else noticed before."""
    remove(path)
    (stored,) = store.save_all([(an_end(2), None)])
    assert (stored.id, uuids(path)) == (1, [an_end(2).uuid])
    assert store.opened == 2
    store.stay_in_place()
    assert store.opened == 2


def test_the_whole_folder_may_go(store: Store, path: Path) -> None:
    shutil.rmtree(path.parent)
    store.save_all([(an_end(2), None)])
    assert uuids(path) == [an_end(2).uuid]
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_another_valid_database_is_gone_on_with(store: Store, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "kerneld" / "k.db"
    with Store.open(other) as made:
        made.save_all([(an_end(7), None)])
    os.replace(other, path)
    store.stay_in_place()
    store.save_all([(an_end(2), None)])
    assert uuids(path) == [an_end(7).uuid, an_end(2).uuid]


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_removed_log_or_index_costs_nothing_that_was_stored(
    store: Store, path: Path, suffix: str
) -> None:
    Path(f"{path}{suffix}").unlink()
    store.save_all([(an_end(2), None)])
    assert uuids(path) == [an_end(1).uuid, an_end(2).uuid]


def test_what_is_no_database_is_an_error_until_it_is_taken_away(store: Store, path: Path) -> None:
    remove(path)
    path.mkdir()
    for _ in range(2):
        with pytest.raises(StoreError):
            store.save_all([(an_end(2), None)])
        with pytest.raises(StoreError, match="folder"):
            store.stay_in_place()
    path.rmdir()
    store.stay_in_place()
    store.save_all([(an_end(2), None)])
    assert uuids(path) == [an_end(2).uuid]


def test_a_second_daemon_is_still_refused(store: Store, path: Path) -> None:
    remove(path)
    store.stay_in_place()
    with pytest.raises(AlreadyRunning):
        Store.open(path)


def test_open_cases_and_who_is_watched_go_into_the_new_one(path: Path) -> None:
    live_path = path.with_name("k.db.live")
    with desk(path) as at, LiveWriter(live_path) as live:
        memory = MemorySource(busy_hz=1)
        keeping = Housekeeping(at.store, memory, Retention(), live=live, mode=Mode.USER)
        at.owner.feed([kernel_seen(ALIVE), kernel_seen(DEAD), ended(DEAD)])
        remove(path)
        keeping.do(at.owner, Healthy())
        with Store.read(path) as reader:
            assert [(e.process.pid, e.state) for e in reader.ends()] == [(DEAD, State.PROVISIONAL)]
            assert [life.process.pid for life in reader.tracked()] == [ALIVE]
            assert reader.heard_at() is not None
        assert [state.key.pid for state in read_living(live_path).states] == [ALIVE]


def test_a_running_daemon_says_so_once_and_loses_no_death() -> None:
    with crowd() as people:
        database = people.home / "state" / "k.db"
        database.parent.mkdir(mode=0o700)
        os.chown(database.parent, UID, -1)
        words = ["-m", "kerneld.daemon", "--db", str(database), "--force"]
        daemon = people.run([sys.executable, *words])
        assert daemon.stderr is not None
        assert "kerneld ready" in daemon.stderr.readline()
        kernel = people.kernel(1)
        live = database.with_name("k.db.live")
        until(lambda: kernel.pid in {s.key.pid for s in read_living(live).states}, deadline_s=20)
        remove(database)
        os.kill(kernel.pid, signal.SIGKILL)
        until(lambda: is_stored(database), deadline_s=10)
        until(live.exists, deadline_s=10)
        daemon.terminate()
        _, said = daemon.communicate(timeout=20)
    assert said.count("was removed or replaced while kerneld ran") == 1
