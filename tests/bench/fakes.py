"""What several benchmarks share: a daemon with settings of its own, and kernels that cost nothing.

A fake kernel is a shell that waits on a pipe, its command line naming a connection file that is not
there: it is found, pinned and judged like any other, and 1,000 of them fit on a laptop.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

from rig import Daemon, Person, wait_for

from kerneld.live import read_living
from kerneld.store import Store

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MANY_KERNELS = "[discovery]\nmax_kernels_per_user = 20000\n"


def end_well() -> None:
    """Let SIGTERM end a benchmark as ctrl-C does: what it started goes with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class BenchDaemon(Daemon):
    """A daemon of this user, and what a benchmark waits for."""

    def living(self) -> set[int]:
        """The pids of the kernels it watches, as of its last look."""
        return {
            state.key.pid for state in read_living(self.db.with_name(f"{self.db.name}.live")).states
        }

    def await_living(self, pids: set[int], deadline_s: float = 60) -> None:
        wait_for(lambda: pids <= self.living(), deadline_s, f"{len(pids)} kernels watched")

    def await_calm(self, share: float = 0.05, deadline_s: float = 90) -> None:
        """Until it has stopped looking for the files of new kernels."""

        def calm() -> bool:
            before = cpu_s(self.pid)
            time.sleep(1)
            return cpu_s(self.pid) - before < share

        wait_for(calm, deadline_s, "a calm daemon")


@contextmanager
def a_daemon(settings: str = MANY_KERNELS, python: str = sys.executable) -> Iterator[BenchDaemon]:
    with tempfile.TemporaryDirectory(prefix="kerneld-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        (folder / "tmp").mkdir()
        daemon = BenchDaemon(Person(os.getuid(), folder), settings=settings, python=python)
        Store.open(daemon.db).close()  # as at every start but the first, which has sqlite-utils make it
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()


class FakeKernels:
    """Shells named like kernels. They live until they are killed, or this process ends."""

    def __init__(self) -> None:
        self._wait_on, self._hold = os.pipe()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.kernel_ids: set[str] = set()

    def start(self, number: int) -> set[int]:
        started = set()
        for _ in range(number):
            kernel_id = str(uuid.uuid4())
            self.kernel_ids.add(kernel_id)
            path = f"/nonexistent/kernel-{kernel_id}.json"
            # sh takes the words behind its script as they are; to kerneld it is ipykernel
            argv = ["sh", "-c", "read line", "python", "-m", "ipykernel_launcher", "-f", path]
            process = subprocess.Popen(
                argv, stdin=self._wait_on, stderr=subprocess.DEVNULL, start_new_session=True
            )
            self._running[process.pid] = process
            started.add(process.pid)
        return started

    @property
    def pids(self) -> set[int]:
        return set(self._running)

    def kill(self) -> None:
        """SIGKILL to all of them, one after another without a pause; they are not reaped yet."""
        for process in self._running.values():
            process.kill()

    def reap(self) -> None:
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self.kernel_ids.clear()

    def __enter__(self) -> "FakeKernels":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.reap()
        os.close(self._hold)
        os.close(self._wait_on)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, all its threads'."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def busy_s(pid: int) -> float:
    """CPU seconds of a process by the scheduler's own count, in ns: ticks are too coarse at rest."""
    return sum(thread_s(task) for task in Path(f"/proc/{pid}/task").iterdir())


def thread_s(task: Path) -> float:
    """The same of one thread's folder."""
    return int((task / "schedstat").read_text().split()[0]) / 1e9


def thread_of(pid: int, name: str) -> Path:
    """The folder of the one thread of that name."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    (found,) = [task for task in tasks if (task / "comm").read_text().strip() == name]
    return found


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pss_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) * 1024


def fsync_s(folder: Path, times: int = 25) -> float:
    """The median time of a page's append and fsync, on the disk of this folder."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)
