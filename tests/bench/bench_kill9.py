"""kill -9 of the daemon at random moments while kernels die: `python tests/bench/bench_kill9.py`.

Each end that was ever read from the database is there in the end, once, and every death is told: by the
daemon that saw it, or by the next one, which finds it among those that were tracked. `--kills 1000` for
a long run. Says what did not hold; exits with 1 then.
"""

import argparse
import random
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing

from fakes import BenchDaemon, FakeKernels, a_daemon, end_well
from rig import RigError, wait_for

BATCH = 20
LATEST_KILL_S = 0.25
RESTART_BAR_S = 2.0


def stored(daemon: BenchDaemon) -> dict[str, str]:
    """The ends that are in the database now: uuid to kernel id."""
    with closing(sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True, timeout=10)) as db:
        return dict(db.execute("SELECT uuid, kernel_id FROM ends"))


def one_kill(daemon: BenchDaemon, kernels: FakeKernels) -> tuple[set[str], dict[str, str]]:
    """Deaths, a kill -9 among them, what was acknowledged before it, and a restart."""
    daemon.await_living(kernels.start(BATCH))
    dead = set(kernels.kernel_ids)
    kernels.kill()
    time.sleep(random.uniform(0, LATEST_KILL_S))
    acknowledged = stored(daemon)
    daemon.kill()
    kernels.reap()
    return dead, acknowledged


def run(daemon: BenchDaemon, kernels: FakeKernels, kills: int) -> list[str]:
    dead: set[str] = set()
    acknowledged: dict[str, str] = {}
    restarts_s = []
    for _ in range(kills):
        died, seen = one_kill(daemon, kernels)
        dead |= died
        acknowledged |= seen
        began = time.monotonic()
        daemon.start()
        restarts_s.append(time.monotonic() - began)
    told: dict[str, str] = {}

    def all_told() -> bool:
        told.update(stored(daemon))
        return dead <= set(told.values())

    try:
        wait_for(all_told, 30, "every death told")
    except RigError as late:
        print(late)
    lost = acknowledged.keys() - told.keys()
    times = Counter(kernel_id for kernel_id in told.values() if kernel_id in dead)
    untold, twice = dead - times.keys(), [one for one, number in times.items() if number > 1]
    print(f"{kills} kills, {len(dead)} deaths, {len(acknowledged)} ends acknowledged before a kill")
    print(f"lost {len(lost)}, untold {len(untold)}, told twice {len(twice)}; each has to be 0")
    print(f"restart to ready: most {max(restarts_s):.2f} s; the bar is {RESTART_BAR_S:g} s")
    with closing(sqlite3.connect(daemon.db)) as db:
        print(f"integrity: {db.execute('PRAGMA integrity_check').fetchone()[0]}")
    return [*lost, *untold, *twice]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    end_well()
    random.seed(wanted.seed)
    with a_daemon() as daemon, FakeKernels() as kernels:
        failed = run(daemon, kernels, wanted.kills)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
