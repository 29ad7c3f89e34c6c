"""`kerneld incidents` and the metrics' figures over 100,000 incidents.

The list is held against a program that only imports the same libraries.

The figure to reach: the whole process takes at most 1.2 times the CPU of a typer program that imports
the libraries of kerneld's commands, has as many options and prints one row. The list itself does
without sqlite-utils: beside it stands the program that does so, too. By turns, medians.
`python tests/bench/bench_list.py`
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from fakes import FakeKernels, a_daemon, end_well
from rig import wait_for

from kerneld.figures import figures_of
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import State
from kerneld.outputs.metrics import exposition
from kerneld.store import Query, Store
from kerneld.store.query import statement

AT_ONCE = 5000
FLOOR = """
import gc, logging, sqlite3, sys, tomllib
from pathlib import Path
import typer
from pydantic import BaseModel

app = typer.Typer()

@app.command()
def incidents(
    a: str | None = None, b: str | None = None, c: str | None = None, d: str | None = None,
    e: str | None = None, f: str | None = None, g: str | None = None, h: int | None = None,
    i: int | None = None, j: bool = False, k: bool = False, l: bool = False, m: bool = False,
    n: bool = False, o: bool = False, p: Path | None = None, q: Path | None = None,
) -> None:
    sys.stdout.write("1  killed\\n")

gc.freeze()
app()
"""


def a_death() -> Incident:
    """A real one, to be multiplied."""
    with a_daemon() as daemon, FakeKernels() as kernels:
        daemon.await_living(kernels.start(1))
        (pid,) = kernels.pids
        kernels.kill()
        kernels.reap()

        def settled() -> list[Incident]:
            ends = [end for end in daemon.ends() if end.process.pid == pid]
            return [end for end in ends if end.state is State.SETTLED]

        wait_for(lambda: bool(settled()), 60, "a settled end")
        return settled()[0]


def fill(path: Path, number: int) -> None:
    death = a_death()
    with Store.open(path) as store:
        for first in range(0, number, AT_ONCE):
            store.save_all(
                [
                    (
                        death.model_copy(
                            update={
                                "uuid": f"{index:08x}-0000-4000-8000-000000000000",
                                "died_at": death.died_at - timedelta(seconds=number - index),
                            }
                        ),
                        None,
                    )
                    for index in range(first, min(first + AT_ONCE, number))
                ]
            )


def cpu_s(argv: list[str]) -> float:
    """CPU of one whole process; it must end well and print something."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdout=out, env={**os.environ, "COLUMNS": "120"})
        _, status, usage = os.wait4(process.pid, 0)
        if status or not out.seek(0, os.SEEK_END):
            raise SystemExit(f"{argv} ended with status {status}")
    return usage.ru_utime + usage.ru_stime


def figures_ms(path: Path) -> float:
    """From an open database to the text, users' names included."""
    took: list[float] = []
    with Store.read(path) as store:
        for _ in range(20):
            began = time.perf_counter()
            now = datetime.now(UTC)
            exposition(figures_of(store, path.with_name("live.db"), now, names_users=True))
            took.append((time.perf_counter() - began) * 1e3)
    return max(took)


def plan(path: Path) -> list[str]:
    sql, values = statement(Query(limit=50))
    with sqlite3.connect(path) as db:
        return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--incidents", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=15)
    wanted = parser.parse_args()
    end_well()
    with tempfile.TemporaryDirectory(prefix="kerneld-bench-", dir="/var/tmp") as name:
        path = Path(name) / "kerneld.db"
        os.chmod(name, 0o700)
        fill(path, wanted.incidents)
        script = str(Path(sysconfig.get_path("scripts")) / "kerneld")
        ours = [sys.executable, script, "incidents", "--db", str(path)]
        floor = [sys.executable, "-c", f"import sqlite_utils\n{FLOOR}"]
        least = [sys.executable, "-c", FLOOR]
        rounds = [(cpu_s(ours), cpu_s(floor), cpu_s(least)) for _ in range(wanted.pairs + 2)][2:]
        print(f"{wanted.incidents} incidents, {path.stat().st_size / 2**20:.0f} MiB")
        told = [median(column) * 1e3 for column in zip(*rounds, strict=True)]
        print(
            "kerneld incidents {:.0f} ms of CPU, the floor {:.0f}, without sqlite-utils {:.0f}".format(
                *told
            )
        )
        for name, at in (("the floor; the bar is 1.2", 1), ("the one without sqlite-utils", 2)):
            ratios = sorted(one[0] / one[at] for one in rounds)
            print(f"{median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}) {name}")
        print(f"metrics {figures_ms(path):.1f} ms at the worst of 20; the bar is 50")
        print(f"plan: {'; '.join(plan(path))}")


if __name__ == "__main__":
    main()
