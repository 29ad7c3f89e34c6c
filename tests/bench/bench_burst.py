"""1,000 tracked processes dying at once, to 1,000 right incidents: `python tests/bench/bench_burst.py`.

The figure to reach: the last is stored within 1 s + 20 times the disk's fsync, of the same run.
"""

import argparse
import time

from fakes import BenchDaemon, FakeKernels, a_daemon, cpu_s, end_well, fsync_s
from rig import wait_for

from kerneld.model.base import to_us
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause
from kerneld.store import Counts, Store

SIGKILL = 9
FIXED_S, FSYNCS = 1.0, 20


def is_right(end: Incident) -> bool:
    return end.exit.signal == SIGKILL and end.cause in (Cause.KILLED, Cause.KILLED_BY_PROCESS)


def counted(daemon: BenchDaemon) -> Counts:
    with Store.read(daemon.db) as store:
        return store.counts()


def burst(daemon: BenchDaemon, kernels: FakeKernels, number: int) -> None:
    pids = kernels.start(number)
    daemon.await_living(pids)
    daemon.await_calm(share=0.02)
    one_fsync_s = fsync_s(daemon.db.parent)
    cpu_before_s, before = cpu_s(daemon.pid), counted(daemon).ends
    first_ns = time.time_ns()
    kernels.kill()
    last_ns = time.time_ns()

    time.sleep(0.7)  # who asks all the time takes a core of two
    wait_for(lambda: counted(daemon).ends >= before + number, 60, f"{number} incidents")
    spent_s = cpu_s(daemon.pid) - cpu_before_s
    kernels.reap()
    wait_for(lambda: not counted(daemon).provisional, 60, "all settled")
    all_spent_s = cpu_s(daemon.pid) - cpu_before_s
    ends = [end for end in daemon.ends() if end.process.pid in pids]
    stored_ns = max(to_us(end.recorded_at) for end in ends) * 1000
    bar_s = FIXED_S + FSYNCS * one_fsync_s
    print(f"{len(ends)} incidents, {len({end.uuid for end in ends})} different, of {number} deaths")
    print(f"{sum(map(is_right, ends))} right; killed in {(last_ns - first_ns) / 1e6:.0f} ms")
    print(f"last stored {(stored_ns - last_ns) / 1e9:.2f} s after the last kill")
    print(f"the bar is {bar_s:.2f} s: 1 s + 20 fsyncs of {one_fsync_s * 1e3:.2f} ms")
    print(f"CPU {spent_s:.2f} s until then, {all_spent_s:.2f} s until all settled", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--deaths", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=1)
    wanted = parser.parse_args()
    end_well()
    with a_daemon() as daemon, FakeKernels() as kernels:
        for _ in range(wanted.runs):
            burst(daemon, kernels, wanted.deaths)


if __name__ == "__main__":
    main()
