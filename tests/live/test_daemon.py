"""The daemon itself: killed at any moment, started again, started twice, stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyters import BareKernel
from rig import PLAIN, Daemon, Restricted, RigError, World, children, is_running, wait_for

from kerneld.model.vocabulary import Category, State
from kerneld.store import Store

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(240)]
MOMENTS = 6
"""kills of the daemon, each around a kernel's death"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    try:
        with Restricted():
            yield made
    finally:
        made.remove()


@pytest.fixture
def daemon(world: World, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    made = Daemon(world.plain, request.node.name[:40].replace("[", "-").replace("]", ""))
    try:
        yield made
    finally:
        if made.process and made.process.poll() is None:
            made.kill()


@pytest.fixture
def kernels(world: World) -> Iterator[list[BareKernel]]:
    """Kernels whose manager reaps nothing unless it is asked to."""
    made: list[BareKernel] = []
    try:
        made += [BareKernel(world.plain) for _ in range(3)]
        for kernel in made:
            wait_for(lambda kernel=kernel: _listens(kernel.pid), 30, f"kernel {kernel.pid} listens")  # type: ignore[misc]
        yield made
    finally:
        for kernel in made:
            kernel.close()


def _listens(pid: int) -> bool:
    """Holds 5 sockets or more: its ports are open."""
    names = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(name.startswith("socket:") for name in names) >= 5


def _watched(daemon: Daemon, pids: set[int]) -> None:
    """Until the database says that each is tracked: what is not in it yet is lost with the daemon."""

    def tracked() -> set[int]:
        with Store.read(daemon.db) as store:
            return {life.process.pid for life in store.tracked()}

    wait_for(lambda: pids <= tracked(), 20, f"{pids} are tracked by daemon {daemon.pid}")


def _ends_of(daemon: Daemon, pid: int) -> list[str]:
    return [end.uuid for end in daemon.ends() if end.process.pid == pid]


def test_deaths_in_its_absence_are_found(daemon: Daemon, kernels: list[BareKernel]) -> None:
    """A zombie that nobody reaped tells its status; of a reaped one only the absence is known.

    It hears kernels, and later runs on a database of before: what it has loaded then, it has every day.
    """
    zombie, reaped, alive = kernels
    daemon.start()
    _watched(daemon, {kernel.pid for kernel in kernels})
    _is_lean(daemon)
    daemon.kill()
    zombie.kill(signal.SIGSEGV)
    reaped.kill(signal.SIGKILL)
    reaped.reap()
    daemon.flags = ["-X", "importtime"]
    daemon.start()
    both = {zombie.pid, reaped.pid}
    wait_for(lambda: both <= {end.process.pid for end in daemon.ends()}, 20, "ends of both deaths")
    for end in daemon.ends():
        assert end.died_at_uncertainty_s > 0
        assert end.user.uid == PLAIN
        assert end.category is not Category.REQUESTED, "nobody asked for these"
    told = {end.process.pid: end.exit.signal for end in daemon.ends()}
    assert told[zombie.pid] in (signal.SIGSEGV, None)
    assert told[reaped.pid] is None
    assert alive.pid not in told
    _is_lean(daemon)
    assert {"sqlite3", "sqlite_utils"} & _imported(daemon) == {"sqlite3"}
    _names_its_threads(daemon)


def _imported(daemon: Daemon) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in daemon.lines if "import time:" in line}


def _is_lean(daemon: Daemon) -> None:
    (reader,) = children(daemon.pid)
    wait_for(lambda: len(os.listdir(f"/proc/{reader}/task")) > 1, 10, "the reader's ears")
    for pid in (daemon.pid, reader):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "python" in maps
        assert [name for name in ("libcrypto", "numpy", "pandas", "zmq") if name in maps] == []


def _names_its_threads(daemon: Daemon) -> None:
    """`top -H` tells which source works."""
    threads = Path(f"/proc/{daemon.pid}/task").iterdir()
    names = {(thread / "comm").read_text().strip() for thread in threads}
    assert {"exits", "memory", "discovery", "iopub", "signals"} <= names


def test_a_kill_at_any_moment_loses_no_acknowledged_incident(world: World, daemon: Daemon) -> None:
    chance = random.Random(20417)
    acknowledged: set[str] = set()
    died: list[int] = []
    for _ in range(MOMENTS):
        daemon.start()
        kernel = BareKernel(world.plain)
        wait_for(lambda pid=kernel.pid: _listens(pid), 30, "a kernel listens")  # type: ignore[misc]
        _watched(daemon, {kernel.pid})
        os.kill(kernel.pid, signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.02))  # the death, its verdict and its commit, cut anywhere
        daemon.kill()
        died.append(kernel.pid)
        acknowledged |= {end.uuid for end in daemon.ends()}
        kernel.close()
    daemon.start()
    wait_for(lambda: set(died) <= _settled(daemon), 30, f"ends of {died}, settled")
    uuids = [end.uuid for end in daemon.ends()]
    assert acknowledged <= set(uuids)
    assert len(uuids) == len(set(uuids))
    assert [len(_ends_of(daemon, pid)) for pid in died] == [1] * MOMENTS


def _settled(daemon: Daemon) -> set[int]:
    return {end.process.pid for end in daemon.ends() if end.state is State.SETTLED}


def test_a_second_daemon_leaves_with_75(daemon: Daemon) -> None:
    daemon.start()
    second = daemon.launch()
    _, said = second.communicate(timeout=20)
    assert second.returncode == 75, said
    assert str(daemon.db) in said
    assert daemon.process is not None
    assert daemon.process.poll() is None, "the first goes on"


def test_sigterm_ends_it_within_two_seconds_and_leaves_nothing(daemon: Daemon) -> None:
    daemon.start()
    wait_for(lambda: bool(children(daemon.pid)), 10, "the reader, a process of its own")
    family = children(daemon.pid)
    assert daemon.stop() <= 2
    assert daemon.process is not None
    assert daemon.process.returncode == 0
    assert not [pid for pid in family if is_running(pid)]


def test_a_killed_daemon_leaves_no_reader(daemon: Daemon) -> None:
    daemon.start()
    family = children(daemon.pid)
    daemon.kill()
    wait_for(lambda: not any(is_running(pid) for pid in family), 5, f"the reader {family} is gone")


def test_it_stops_while_it_starts(daemon: Daemon) -> None:
    """SIGTERM before it is ready is no traceback and no leftover."""
    process = daemon.launch()
    process.terminate()
    try:
        _, said = process.communicate(timeout=10)
    except TimeoutError as late:
        raise RigError("a daemon that starts does not stop") from late
    assert "Traceback" not in said


@pytest.fixture
def system_live() -> Iterator[Path]:
    """The file that a system-wide daemon writes every 2 s; none may run here."""
    live = Path("/run/kerneld/live.db")
    if live.parent.exists():
        pytest.fail(f"{live.parent} exists: stop the kerneld of this machine first")
    live.parent.mkdir(mode=0o755)
    live.touch()
    yield live
    live.unlink()
    live.parent.rmdir()


def test_a_users_daemon_stays_away_beside_the_systems_unless_forced(
    world: World, system_live: Path
) -> None:
    argv = [sys.executable, "-m", "kerneld.daemon", "--db", str(world.plain.home / "own.db")]
    refused = world.plain.run(argv)
    assert refused.returncode == 75
    assert "--force" in refused.stderr
    os.utime(system_live, (1, 1))  # of a daemon that was killed long ago
    with world.plain.popen(argv, stderr=subprocess.PIPE) as daemon:
        assert daemon.stderr is not None
        assert "kerneld ready" in daemon.stderr.readline()
        daemon.terminate()
