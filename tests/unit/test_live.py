"""The living are told every two seconds, to those who may know, and a missing daemon is no error."""

import os
import signal
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kerneld.errors import StoreError
from kerneld.live import LiveWriter, Living, LivingRow, read_living, row_of
from kerneld.model.living import DaemonState, LivingState, SourceHealth
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Mode

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def a_state(pid: int, uid: int = 1000) -> LivingState:
    return LivingState(
        key=ProcessKey(boot_id="b", pid=pid, start_ticks=pid),
        at=NOW,
        kernel_id=f"k{pid}",
        state="busy",
        uid=uid,
        started_at=NOW,
        rss_bytes=5,
        samples=((1.0, 5), (0.0, 6)),
    )


def a_daemon(lost: int = 0) -> DaemonState:
    return DaemonState(
        pid=os.getpid(),
        started_at=NOW,
        version="0.1",
        mode=Mode.USER,
        database="/x",
        sources=(SourceHealth(name="kmsg", up=False, reason="denied", remedy="do this"),),
        lost=lost,
    )


def a_row(pid: int, uid: int = 1000) -> LivingRow:
    return row_of(a_state(pid, uid))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "live.db"


def test_each_write_replaces_the_one_before(path: Path) -> None:
    with LiveWriter(path) as live:
        live.write([a_row(1), a_row(2)], a_daemon(), at=NOW)
        live.write([a_row(3), a_row(2)], a_daemon(lost=4), at=NOW + timedelta(seconds=2))
        found = read_living(path)
    assert found.states == (a_state(2), a_state(3))
    assert found.daemon == a_daemon(lost=4)
    assert found.at == NOW + timedelta(seconds=2)


def test_nobody_running_is_an_empty_answer(path: Path) -> None:
    found = read_living(path)
    assert found == Living()
    assert not found.is_running(NOW)


def test_a_daemon_that_stopped_leaves_its_last_look_but_does_not_run(path: Path) -> None:
    with LiveWriter(path) as live:
        live.write([a_row(1)], a_daemon(), at=NOW)
        assert read_living(path).is_running(NOW)
    assert not path.exists(), "the file says that a daemon runs"
    found = read_living(path)
    assert (found.states, found.at, found.daemon) == ((a_state(1),), NOW, None)
    assert sorted(f.name for f in path.parent.iterdir()) == ["live.db.last"]


def test_a_killed_daemons_last_look_is_read_and_its_silence_noticed(path: Path) -> None:
    child = os.fork()
    if child == 0:
        LiveWriter(path).write([a_row(1)], a_daemon(), at=NOW)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    found = read_living(path)
    assert found.states == (a_state(1),)
    assert found.is_running(NOW + timedelta(seconds=4))
    assert not found.is_running(NOW + timedelta(seconds=40))


def test_the_next_daemon_begins_afresh(path: Path) -> None:
    with LiveWriter(path) as live:
        live.write([a_row(1)], a_daemon(), at=NOW)
    with LiveWriter(path) as live:
        assert read_living(path).states == ()
        live.write([], a_daemon(), at=NOW)
        assert read_living(path).is_running(NOW)


def test_an_asker_gets_the_own_kernels_only(path: Path) -> None:
    with LiveWriter(path) as live:
        live.write([a_row(1, uid=1000), a_row(2, uid=1001)], a_daemon(), at=NOW)
        assert [state.uid for state in read_living(path, uid=1001).states] == [1001]


def test_files_are_private_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        with LiveWriter(path) as live:
            live.write([a_row(1)], a_daemon(), at=NOW)
            modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"live.db": 0o600, "live.db-wal": 0o600, "live.db-shm": 0o600}


def test_a_damaged_file_reads_as_nobody_running(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(8192))
    assert read_living(path) == Living()
    with LiveWriter(path) as live:
        live.write([], a_daemon(), at=NOW)
        assert read_living(path).is_running(NOW)


def test_a_link_in_its_place_is_replaced_not_followed(path: Path) -> None:
    path.parent.mkdir()
    victim = path.parent / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    with LiveWriter(path) as live:
        live.write([], a_daemon(), at=NOW)
    assert victim.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StoreError, match="run"):
        LiveWriter(tmp_path / "run" / "live.db")


def test_readers_never_see_half_a_write(path: Path) -> None:
    """A reader that began before a write sees the one before, whole."""
    with LiveWriter(path) as live:
        for round_ in range(50):
            live.write([a_row(n) for n in range(1, 2 + round_ % 5)], a_daemon(lost=round_), at=NOW)
            found = read_living(path)
            assert found.daemon is not None
            assert len(found.states) == 1 + found.daemon.lost % 5


def test_two_rows_of_one_pid_are_one_and_stay_it(path: Path) -> None:
    """The end of the one was not seen yet: each write took the other for new, and told the older."""
    old, new = a_row(1), row_of(a_state(1).model_copy(update={"kernel_id": "new"}))
    with LiveWriter(path) as live:
        for _ in range(2):
            live.write([old, new], a_daemon(), at=NOW)
            assert [state.kernel_id for state in read_living(path).states] == ["new"]
