"""A recorder that stands still makes no kernel grow; one that comes late asks IPython's history."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from report import NEEDED
from rig import Daemon, World, children, wait_for

from kerneld.live import read_living
from kerneld.model.incident import Incident
from kerneld.track.identity import LATE

pytestmark = [*NEEDED, pytest.mark.needs_irkernel]
MOST_KIB = 5 * 1024
BRIEF_S, LONG_S = 0.8, 60.0
LONG_CELL = "import time\ntime.sleep(600)"
LOUD = """
import sys
for _ in range(20):
    sys.stdout.write("x" * 100_000)
    sys.stdout.flush()
get_ipython().history_manager.outputs.clear()  # where IPython 9 keeps what a cell prints
"y" * 100_000"""
LOUD_R = """
for (i in 1:20) { cat(strrep("x", 100000)); flush.console() }
strrep("y", 100000)"""
MAKES = {
    "ipykernel": ([sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], LOUD),
    "xeus": ([sys.executable, "-m", "xpython_launcher", "-f", "{connection_file}"], LOUD),
    "irkernel": (["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"], LOUD_R),
}


class LoudKernel:
    """A real kernel that prints and shows results as fast as it can; its client hears no iopub."""

    def __init__(self, folder: Path, make: str) -> None:
        spec = folder / "specs" / make
        spec.mkdir(parents=True)
        argv, self._loud = MAKES[make]
        (spec / "kernel.json").write_text(
            json.dumps({"argv": argv, "display_name": "", "language": ""})
        )
        specs = KernelSpecManager(kernel_dirs=[str(folder / "specs")])
        path = str(folder / f"kernel-{make}.json")
        self._manager = KernelManager(kernel_name=make, kernel_spec_manager=specs, connection_file=path)
        quiet = subprocess.DEVNULL
        env = {**os.environ, "IPYTHONDIR": str(folder)}  # no other kernel's session is in its history
        self._manager.start_kernel(stdout=quiet, stderr=quiet, env=env)
        self._client = self._manager.client()
        self._client.start_channels(iopub=False, hb=False)
        self._client.kernel_info(reply=True, timeout=60)

    @property
    def pid(self) -> int:
        return int(self._manager.provisioner.pid)

    def shout(self, for_s: float) -> int:
        """By how many KiB it grew meanwhile."""
        before_kib = rss_kib(self.pid)
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            self._client.execute(self._loud, store_history=False, reply=True, timeout=60)
        return rss_kib(self.pid) - before_kib

    def begin(self, code: str) -> None:
        self._client.execute(code)

    def end(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def rss_kib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Stand:
    """A daemon that hears one loud kernel of each make, each past what it grows by itself."""

    def __init__(self, world: World, cleanup: ExitStack) -> None:
        self.late = LoudKernel(world.root.home / "late", "ipykernel")
        cleanup.callback(self.late.end)
        self.late.begin(LONG_CELL)
        time.sleep(LATE.total_seconds())
        self.daemon = Daemon(world.root)
        self.daemon.start()
        cleanup.callback(self.daemon.stop)
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda make: LoudKernel(world.root.home / make, make), MAKES)
            self.kernels = dict(zip(MAKES, made, strict=True))
        for kernel in self.kernels.values():
            cleanup.callback(kernel.end)
        self.await_heard()
        wait_for(self.are_at_rest, 60, "each kernel is past what it grows by itself")

    def are_at_rest(self, for_s: float = 2 * BRIEF_S) -> bool:
        return max(self.shout(for_s).values()) < MOST_KIB // 5

    def await_heard(self) -> None:
        """A kernel is heard from its first message on, and after a stop anew."""
        since = datetime.now(UTC)

        def all_heard() -> bool:
            self.shout(0.001)
            living = read_living(self.daemon.db.with_name(f"{self.daemon.db.name}.live")).states
            fresh = (s for s in living if s.at > since and s.state in ("idle", "busy"))
            return {state.key.pid for state in fresh} >= {k.pid for k in self.kernels.values()}

        wait_for(all_heard, 30, "the kernels are heard")

    def shout(self, for_s: float) -> dict[str, int]:
        with ThreadPoolExecutor() as pool:
            grown = pool.map(lambda kernel: kernel.shout(for_s), self.kernels.values())
            return dict(zip(self.kernels, grown, strict=True))

    @property
    def reader_pid(self) -> int:
        pids = [p for p in children(self.daemon.pid) if b"kerneld.reader" in cmdline(p)]
        assert len(pids) == 1
        return pids[0]

    def pids(self, who: str) -> list[int]:
        """The collector first: else it would replace a reader that it sees late."""
        parts = {"collector": self.daemon.pid, "reader": self.reader_pid}
        return [pid for part, pid in parts.items() if part in who]


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with ExitStack() as cleanup:
        world = World()
        cleanup.callback(world.remove)
        yield Stand(world, cleanup)


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # a collector that works has replaced its reader


@pytest.mark.parametrize(
    "for_s", [BRIEF_S, pytest.param(LONG_S, marks=pytest.mark.long)], ids=["brief", "long"]
)
@pytest.mark.parametrize("who", ["collector", "collector and reader", "reader"])
def test_no_kernel_grows_beside_what_stands_still(stand: Stand, who: str, for_s: float) -> None:
    """The reader last: the collector ends it after 5 s, and the next one is deaf for a moment."""
    if for_s > BRIEF_S:  # R's heap grows by 9 MiB in 40 s of this, where no recorder runs
        wait_for(lambda: stand.are_at_rest(for_s / 3), 240, "they are past what grows in a minute")
    stand.await_heard()
    pids = stand.pids(who)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        grown_kib = stand.shout(for_s)
    finally:
        for pid in pids:
            send(pid, signal.SIGCONT)
    assert {make: kib for make, kib in grown_kib.items() if kib > MOST_KIB} == {}


def test_a_cell_that_ran_before_the_recorder_did_is_told_by_ipythons_history(stand: Stand) -> None:
    """The service's policy keeps no source; its digest says which cell it is."""
    pid = stand.late.pid
    os.kill(pid, signal.SIGKILL)

    def ends() -> list[Incident]:
        return [end for end in stand.daemon.ends() if end.process.pid == pid]

    wait_for(lambda: bool(ends()), 10, "its end is told")
    cell = ends()[0].cell
    assert cell is not None
    assert (cell.execution_count, cell.how, cell.started_at) == (1, "history, probable", None)
    assert cell.sha256 == hashlib.sha256(LONG_CELL.encode()).hexdigest()
