"""300 kernels with cells running: CPU and memory, `python tests/bench/bench_busy.py [--kernels N]`.

Each is a process of its own with a connection file, five sockets and a signed iopub, which runs cells
of 10 s: it says so, prints a line a second, and takes and gives back a MiB. To kerneld it is an
ipykernel; 300 real ones would need 15 GiB. Beside the collector a bare loop reads their statm ten times
a second, as often as the sampler looks at a busy kernel: the sampler, with all that it reads, keeps and
tells, may take twice its CPU. What cells, libraries and the database take comes on top, and is told.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from bench_idle import mib, reader_of, told
from bench_latency import FREE_PORTS
from fakes import BenchDaemon, a_daemon, busy_s, end_well, rss_bytes, thread_of, thread_s
from jupyter_client.connect import write_connection_file
from rig import wait_for

from kerneld.live import read_living
from kerneld.sources.memory import MemorySource

YOUNG_S = 130.0
"""for two minutes after the last new kernel all are looked at more often"""
WINDOWS = 6
BUSY_HZ = 10.0
FIXED_BYTES, RING_BYTES, MORE_BYTES = 40 << 20, 24 << 10, 16 << 20
KERNEL = """
import hashlib, hmac, json, random, sys, time
import zmq
told = json.load(open(sys.argv[sys.argv.index("-f") + 1]))
context = zmq.Context()
sockets = []
for name in ("shell", "control", "stdin", "hb"):
    sockets.append(context.socket(zmq.ROUTER))
    sockets[-1].bind(f"tcp://127.0.0.1:{told[name + '_port']}")
iopub = context.socket(zmq.PUB)
iopub.bind(f"tcp://127.0.0.1:{told['iopub_port']}")
number = 0
def say(kind, parent, topic=None, **content):
    global number
    number += 1
    parts = [json.dumps(part).encode() for part in (
        {"msg_id": f"m{number}", "msg_type": kind, "username": "u", "session": "s", "version": "5.3",
         "date": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())},
        {"msg_id": parent, "msg_type": "execute_request"}, {}, content,
    )]
    seal = hmac.new(told["key"].encode(), digestmod=hashlib.sha256)
    for part in parts:
        seal.update(part)
    topic = topic or f"kernel.0.{kind}".encode()
    iopub.send_multipart([topic, b"<IDS|MSG>", seal.hexdigest().encode(), *parts])
time.sleep(random.random() * 10)
for cell in range(1, 1000000):
    parent = f"p{cell}"
    say("status", parent, execution_state="busy")
    say("execute_input", parent, code=f"step({cell})\\n" * 20, execution_count=cell)
    for second in range(10):
        say("stream", parent, topic=b"stream.stdout", name="stdout", text="line\\n")
        held = b"x" * (1 << 20) if second % 2 else b""
        time.sleep(1)
    say("status", parent, execution_state="idle")
"""


def busy(daemon: BenchDaemon) -> set[int]:
    """The pids of the kernels that it heard begin a cell."""
    states = read_living(daemon.db.with_name(f"{daemon.db.name}.live")).states
    return {state.key.pid for state in states if state.state == "busy"}


class BusyKernels:
    """They live until this process ends them."""

    def __init__(self, folder: Path, count: int) -> None:
        (folder / "ipykernel_launcher.py").write_text(KERNEL)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f"]
        environ = {**os.environ, "PYTHONPATH": str(folder)}
        quiet = subprocess.DEVNULL
        self._processes = []
        for number in range(count):
            ports = {
                f"{name}_port": next(FREE_PORTS)
                for name in ("shell", "iopub", "stdin", "hb", "control")
            }
            file, _ = write_connection_file(
                str(folder / f"kernel-busy-{number}.json"), key=os.urandom(16).hex().encode(), **ports
            )
            self._processes.append(
                subprocess.Popen([*argv, file], env=environ, cwd=folder, stdin=quiet, stdout=quiet)
            )

    @property
    def pids(self) -> set[int]:
        return {process.pid for process in self._processes}

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


class BareLoop(threading.Thread):
    """What no sampler can do without: the reading itself, at the sampler's pace."""

    def __init__(self, pids: set[int]) -> None:
        super().__init__(daemon=True)
        self._fds = [os.open(f"/proc/{pid}/statm", os.O_RDONLY) for pid in pids]

    def run(self) -> None:
        due_s = time.monotonic()
        while True:
            try:
                for fd in self._fds:
                    os.pread(fd, 64, 0)
            except ProcessLookupError:
                return
            due_s += 1 / BUSY_HZ
            time.sleep(max(0.0, due_s - time.monotonic()))

    def cpu_s(self) -> float:
        assert self.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self.ident))


def measure(daemon: BenchDaemon, count: int, seconds: float) -> None:
    before = rss_bytes(daemon.pid)
    with tempfile.TemporaryDirectory(prefix="kerneld-bench-", dir="/var/tmp") as name:
        kernels = BusyKernels(Path(name), count)
        try:
            daemon.await_living(kernels.pids, 180)
            wait_for(lambda: len(busy(daemon)) > 0.8 * count, 120, "most of them heard busy")
            time.sleep(YOUNG_S)
            rounds(daemon, kernels.pids, seconds)
            grown = rss_bytes(daemon.pid) - before
            bar = FIXED_BYTES + RING_BYTES * count + MORE_BYTES
            told("RSS: collector", mib(daemon.pid), f"{bar / 2**20:.0f} MiB")
            told(
                "  of it a kernel",
                f"{grown / count / 1024:.1f} KiB",
                "24 KiB, and 54 for cells and stacks",
            )
            told("RSS: reader", mib(reader_of(daemon)), "40 MiB")
        finally:
            kernels.end()


def rounds(daemon: BenchDaemon, pids: set[int], seconds: float) -> None:
    bare = BareLoop(pids)
    bare.start()
    reader, sampler = reader_of(daemon), thread_of(daemon.pid, MemorySource.name)

    def spent() -> tuple[float, ...]:
        return busy_s(daemon.pid), thread_s(sampler), busy_s(reader), bare.cpu_s()

    shares: list[tuple[float, ...]] = []
    for _ in range(WINDOWS):
        began, was = time.monotonic(), spent()
        time.sleep(seconds / WINDOWS)
        took, now = time.monotonic() - began, spent()
        shares.append(tuple((late - early) / took for late, early in zip(now, was, strict=True)))
    ours, samplers, readers, bares = (median(column) for column in zip(*shares, strict=True))
    told("busy as heard", f"{len(busy(daemon))} of {len(pids)}", "about 10 of 11")
    told("CPU: a bare loop of pread", f"{bares:.2%}", "")
    told("CPU: the collector's sampler", f"{samplers:.2%}", "")
    told("  times the bare loop", times(samplers / bares for _, samplers, _, bares in shares), "2")
    told("CPU: collector", f"{ours:.2%}", "told beside it")
    told("  times the bare loop", times(ours / bares for ours, *_, bares in shares), "told beside it")
    told("CPU: reader", f"{readers:.2%}", "told beside it")


def times(ratios: Iterable[float]) -> str:
    least, *_, most = ordered = sorted(ratios)
    return f"{median(ordered):.2f} ({least:.2f} to {most:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kernels", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of kerneld")
    wanted = parser.parse_args()
    end_well()
    print(f"kerneld of {wanted.python}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with a_daemon(python=wanted.python) as daemon:
        measure(daemon, wanted.kernels, wanted.seconds)


if __name__ == "__main__":
    main()
