"""Death to stored first verdict, over real kernels: `python tests/bench/bench_latency.py --deaths 200`.

A death's time is Linux's own: the exit event of the proc connector (CLOCK_MONOTONIC), which this
process listens to by itself; without CAP_NET_ADMIN, the moment before the signal was sent. The
verdict's time is `recorded_at`. The figure to reach: 50% 5 ms, 99% 20 ms. Once among idle kernels,
once while 20 others stream output, or with --pages while so many pages of `kerneld web` listen. Beside
it: Jupyter's own poll, and the time to the settled verdict.
"""

import argparse
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

from bench_web import opened, served
from fakes import end_well
from jupyter_client.connect import write_connection_file
from jupyter_client.restarter import KernelRestarter
from jupyters import KernelClient, connections_to
from rig import Daemon, Person, Witness, wait_for

from kerneld.model.base import to_us
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import State

BATCH = 20
STREAMING = 20
STREAM = "import time\nwhile True:\n    print('x' * 200, flush=True)\n    time.sleep(0.01)"
NETLINK_CONNECTOR, CN_IDX_PROC, LISTEN = 11, 1, 1
NLMSG_HEADER, CN_HEADER, EVENT_HEADER = 16, 20, 16
PROC_EVENT_EXIT = 0x80000000
PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
# below those that Linux gives out: of 100 random free ones two are the same each fifth time
FREE_PORTS = (10_000 + number % 20_000 for number in count(os.getpid() * 7))


class ExitWitness:
    """Exit times by the proc connector, in CLOCK_MONOTONIC ns; a process's last thread counts."""

    def __init__(self) -> None:
        self.exits_ns: dict[int, int] = {}
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((0, CN_IDX_PROC))
        body = struct.pack("=IIIIHHI", CN_IDX_PROC, 1, 0, 0, 4, 0, LISTEN)
        self._socket.send(struct.pack("=IHHII", NLMSG_HEADER + len(body), 3, 0, 0, os.getpid()) + body)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                message = self._socket.recv(8192)
            except OSError:
                return
            event = message[NLMSG_HEADER + CN_HEADER :]
            what, _, at_ns = struct.unpack_from("=IIQ", event)
            if what == PROC_EVENT_EXIT:
                _, tgid = struct.unpack_from("=II", event, EVENT_HEADER)
                self.exits_ns[tgid] = max(at_ns, self.exits_ns.get(tgid, 0))


def witness_or_none() -> ExitWitness | None:
    try:
        return ExitWitness()
    except OSError as error:
        print(f"no proc connector ({error}): from the signal's sending, which is earlier")
        return None


@dataclass(frozen=True, slots=True)
class Sent:
    """When a SIGKILL was sent; offset_ns: the wall clock's lead then, which steps in between."""

    wall_ns: int
    offset_ns: int


def clock_offset_ns() -> int:
    """What to add to CLOCK_MONOTONIC for the wall clock; the tightest of 9 readings."""
    readings = []
    for _ in range(9):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


class BenchKernel:
    """A real ipykernel, this process's own child."""

    def __init__(self, folder: Path, number: int) -> None:
        name = str(folder / f"kernel-{os.getpid()}-{number}.json")
        ports = dict(zip(PORTS, (next(FREE_PORTS) for _ in PORTS), strict=True))
        key = secrets.token_hex(16).encode()
        self.file, self.info = write_connection_file(name, key=key, **ports)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", self.file]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            argv, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )

    def await_heard(self) -> None:
        """The daemon's reader has joined its iopub: it is watched in every respect."""
        wait_for(lambda: connections_to(int(self.info["iopub_port"])) >= 1, 60, self.file)

    def kill(self) -> Sent:
        witness = Witness(self.process.pid)
        sent = Sent(time.time_ns(), clock_offset_ns())
        os.kill(self.process.pid, signal.SIGKILL)
        witness.wait_dead()
        self.end()
        return sent

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        Path(self.file).unlink(missing_ok=True)


@contextmanager
def started(folder: Path, numbers: range) -> Iterator[list[BenchKernel]]:
    with ExitStack() as ending:
        kernels = []
        for number in numbers:
            kernels.append(BenchKernel(folder, number))
            ending.callback(kernels[-1].end)
        for kernel in kernels:
            kernel.await_heard()
        yield kernels


@contextmanager
def streaming(folder: Path, number: int) -> Iterator[None]:
    numbers = range(1_000_000, 1_000_000 + number)
    with started(folder, numbers) as kernels, ExitStack() as closing:
        for kernel in kernels:
            client = KernelClient(Path(kernel.file))
            closing.callback(client.close)
            client.begin(STREAM)
        yield


def deaths(folder: Path, number: int, gap_s: float) -> dict[int, Sent]:
    """Kill so many kernels one by one, by pid."""
    sent: dict[int, Sent] = {}
    for first in range(0, number, BATCH):
        with started(folder, range(first, min(first + BATCH, number))) as kernels:
            for kernel in kernels:
                sent[kernel.process.pid] = kernel.kill()
                threading.Event().wait(gap_s)
    return sent


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(
    label: str, sent: dict[int, Sent], ends: list[Incident], witness: ExitWitness | None
) -> None:
    mine = [end for end in ends if end.process.pid in sent]
    stages: dict[str, list[float]] = {"noticed": [], "stored": [], "settled": []}
    for end in mine:
        pid = end.process.pid
        died_ns = witness.exits_ns[pid] + sent[pid].offset_ns if witness else sent[pid].wall_ns
        for stage, at in zip(stages, (end.detected_at, end.recorded_at, end.settled_at), strict=True):
            if at is not None:
                stages[stage].append(to_us(at) / 1e3 - died_ns / 1e6)
    for stage, after_ms in stages.items():
        shown = [f"{share:>4.0%} {percentile(after_ms, share):8.2f}" for share in (0.5, 0.9, 0.99, 1)]
        print(f"{label:<10} {len(mine):4} of {len(sent)} {stage:<8} ms {'  '.join(shown)}", flush=True)


@contextmanager
def listening(daemon: Daemon, pages: int) -> Iterator[None]:
    if not pages:
        yield
        return
    with served(daemon.db) as (port, _), opened(port, pages):
        yield


def measure(daemon: Daemon, folder: Path, wanted: argparse.Namespace) -> None:
    witness = witness_or_none()
    poll_s = KernelRestarter().time_to_dead
    print(f"jupyter    looks every {poll_s:g} s: 50% {poll_s * 500:.0f} ms, 99% {poll_s * 990:.0f} ms")
    conditions = [("idle", 0, 0), ("streaming", STREAMING, 0)]
    if wanted.pages:
        conditions = [("idle", 0, 0), ("pages", 0, wanted.pages)]
    for label, streams, pages in conditions:
        began = datetime.now(UTC)
        with streaming(folder, streams), listening(daemon, pages):
            sent = deaths(folder, wanted.deaths, wanted.gap)

        def all_settled(sent: dict[int, Sent] = sent) -> bool:
            settled = {end.process.pid for end in daemon.ends() if end.state is State.SETTLED}
            return sent.keys() <= settled

        wait_for(all_settled, 60, "every end settled")
        report(label, sent, [end for end in daemon.ends() if end.died_at > began], witness)


@contextmanager
def scheduling_of_the_unit() -> Iterator[None]:
    """What is started meanwhile has it, with all its threads and its reader."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--deaths", type=int, default=200, help="for each of the two conditions")
    parser.add_argument("--pages", type=int, default=0, help="open pages, in place of streaming")
    parser.add_argument("--gap", type=float, default=0.05, help="seconds between two deaths")
    parser.add_argument(
        "--rr", action="store_true", help="the daemon at SCHED_RR 10, as its unit has it"
    )
    wanted = parser.parse_args()
    end_well()
    with tempfile.TemporaryDirectory(prefix="kerneld-bench-") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        (folder / "tmp").mkdir()
        daemon = Daemon(Person(os.getuid(), folder))
        with scheduling_of_the_unit() if wanted.rr else nullcontext():
            daemon.start()
        print(f"scheduling {'SCHED_RR 10, as in the unit' if wanted.rr else 'default'}")
        try:
            measure(daemon, folder, wanted)
        finally:
            daemon.stop()


if __name__ == "__main__":
    main()
