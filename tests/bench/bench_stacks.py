"""What stacks cost the kernel they are taken of: `python tests/bench/bench_stacks.py`.

A cell that grows as fast as it can, CPU time of the kernel's own program with kerneld at work and with
kerneld stopped (SIGSTOP), in pairs of the same kernel, the order alternating; at most 2 %. As root: the
kernels grow in memory cgroups of their own.
"""

import argparse
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fakes import BenchDaemon, a_daemon, busy_s, end_well
from growing import settled
from jupyters import BareKernel, KernelClient
from memcg import MemoryCgroup
from rig import children

from kerneld.store import Store

LIMIT_BYTES = 800 << 20
SETUP = """
import numpy as np, time
def lap():
    began = time.process_time()
    held = []
    for i in range(16):  # of 40 MB each: malloc gives them back, so that each lap grows anew
        held.append(np.random.rand(5_000_000))
    open({path!r}, "w").write(str(time.process_time() - began))
"""


def slowdown(wanted: argparse.Namespace) -> None:
    ratios: list[float] = []
    for number in range(wanted.kernels):
        with a_daemon("[daemon]\nsettle_s = 0.5\n") as daemon:
            told, dumps, cost = pairs_of_a_kernel(daemon, wanted.pairs)
        ratios += told
        shown = " ".join(f"{100 * (ratio - 1):+.1f}" for ratio in told)
        print(f"  kernel {number + 1}: {shown} %, {dumps} stacks, {cost:.2f} s of kerneld", flush=True)
    middle = 100 * (statistics.median(ratios) - 1)
    low, _, high = (100 * (ratio - 1) for ratio in statistics.quantiles(ratios, n=4))
    print(f"kernel's CPU time with stacks: median {middle:+.1f} %, middle half "
          f"{low:+.1f} to {high:+.1f} %, {len(ratios)} pairs   bar 2 %")  # fmt: skip


def pairs_of_a_kernel(daemon: BenchDaemon, pairs: int) -> tuple[list[float], int, float]:
    """(CPU time with / without of each pair, running stacks taken, CPU seconds of kerneld in all)."""
    kernel = BareKernel(daemon.person)
    with MemoryCgroup("stacks", LIMIT_BYTES) as group:
        group.take(kernel.pid)
        client = KernelClient(kernel.connection_file, listeners=2)
        daemon.await_living({kernel.pid})
        time.sleep(2)  # it follows a new kernel's cgroup by the second
        path = daemon.person.home / "lap"
        client.run(SETUP.format(path=str(path)))

        def lap() -> float:
            client.run("lap()")
            return float(path.read_text())

        lap()
        ratios, before_s = [], cost_s(daemon)
        for pair in range(pairs):
            order = (lap, partial(stopped, daemon, lap))
            one, other = (each() for each in (order if pair % 2 else order[::-1]))
            ratios.append(one / other if pair % 2 else other / one)
        cost = cost_s(daemon) - before_s
        kernel.kill()
        client.close()
        kernel.close()
    end = settled(daemon, kernel.pid)
    with Store.read(daemon.db) as store:
        case = store.case(end.uuid)
    growth = case.memory.growth if case else None
    return ratios, growth.dumps if growth else 0, cost


def cost_s(daemon: BenchDaemon) -> float:
    """Its own, its reader's, and that of the stacks it has reaped."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    reaped_s = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return busy_s(daemon.pid) + reaped_s + sum(busy_s(pid) for pid in children(daemon.pid))


def stopped(daemon: BenchDaemon, lap: Callable[[], float]) -> float:
    """Shorter than the reader waits before it lets go of the kernels."""
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        return lap()
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kernels", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=8, help="of each kernel")
    wanted = parser.parse_args()
    end_well()
    print(f"{sys.executable}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    slowdown(wanted)


if __name__ == "__main__":
    main()
