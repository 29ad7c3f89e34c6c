"""What kerneld costs at rest: CPU and memory, `python tests/bench/bench_idle.py [PART …]`.

kernels: 10 real idle kernels, at most 0.2 % of a core. execs: 2,000 forks with an exec a second and no
kernel, at most 1 %. memory: 40 MiB + 24 KiB a kernel, and 40 MiB for the reader. lives: RSS stays flat
while kernels come and go. sqlite-utils imports numpy where it finds it, 15 MiB: `--python` names the
interpreter of an environment of kerneld's own, as it is to be installed.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench_latency import started
from fakes import BenchDaemon, FakeKernels, a_daemon, busy_s, end_well, pss_bytes, rss_bytes
from rig import children, wait_for

from kerneld.sources.ring import CAPACITY
from kerneld.store import Store

KERNELS = 10
YOUNG_S = 35.0
"""a kernel's first half minute has more looks; at rest means after it"""
WINDOWS = 12
"""others' kernels are watched too: on a machine that works the median counts, the least is quiet"""
EXECS_PER_S = 2000
SPAWNERS = 2
MEMORY_KERNELS, FIRST_KERNELS, FIRST_S = 200, 20, 10.0
"""the first have code loaded that all of them need"""
LIVES_A_ROUND = 250
RING_BYTES = CAPACITY * 8
"""of a fake kernel, which stands still, the ring holds two places"""
SPAWNER = """
import os, sys, time
program, per_s, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
began, done = time.monotonic(), 0
while (spent := time.monotonic() - began) < seconds:
    if done < spent * per_s:
        os.waitpid(os.posix_spawn(program, [program], {}), 0)
        done += 1
    else:
        time.sleep(0.001)
print(done / spent)
"""


def reader_of(daemon: BenchDaemon) -> int:
    (pid,) = [
        pid
        for pid in children(daemon.pid)
        if b"kerneld.reader" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


def told(what: str, measured: str, bar: str) -> None:
    print(f"{what:<46} {measured:>18}   bar {bar}", flush=True)


def shares_of_a_core(daemon: BenchDaemon, seconds: float) -> list[tuple[float, float]]:
    """Of the collector and of the reader, all threads, in each window, the least first."""
    pids = (daemon.pid, reader_of(daemon))
    shares = []
    for _ in range(WINDOWS):
        before, began = [busy_s(pid) for pid in pids], time.monotonic()
        time.sleep(seconds / WINDOWS)
        took = time.monotonic() - began
        ours, readers = (busy_s(pid) - was for pid, was in zip(pids, before, strict=True))
        shares.append((ours / took, readers / took))
    return sorted(shares, key=sum)


def told_shares(what: str, shares: list[tuple[float, float]], bar: str) -> None:
    both = sorted(map(sum, shares))
    told(f"CPU, {what}", f"{median(both):.3%}", bar)
    (least, reader), most = shares[0], both[-1]
    told(
        f"  windows {both[0]:.3%} to {most:.3%}, least:",
        f"{least:.3%} + {reader:.3%}",
        "reader's second",
    )


def kernels(daemon: BenchDaemon, wanted: argparse.Namespace) -> None:
    folder = daemon.person.home
    with started(folder, range(KERNELS)):
        time.sleep(YOUNG_S)
        shares = shares_of_a_core(daemon, wanted.seconds)
        told_shares(f"{KERNELS} idle kernels", shares, "0.2 %")
        told(f"RSS, {KERNELS} kernels: collector", mib(daemon.pid), "40 MiB + 24 KiB each")
        told("  reader", mib(reader_of(daemon)), "40 MiB")


def execs(daemon: BenchDaemon, wanted: argparse.Namespace) -> None:
    program = nothing(daemon.person.home)
    each = str(EXECS_PER_S / SPAWNERS)
    argv = [sys.executable, "-c", SPAWNER, program, each, str(wanted.seconds / 2 + 2)]
    spawners = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(SPAWNERS)]
    time.sleep(1)
    shares = shares_of_a_core(daemon, wanted.seconds / 2)
    reached = sum(float(spawner.communicate()[0]) for spawner in spawners)
    told_shares(f"{reached:.0f} execs a second, no kernel", shares, "1 % at 2000 a second")


def nothing(folder: Path) -> str:
    """The smallest program there is; without a compiler /bin/true, of which fewer a second fit."""
    source, program = folder / "nothing.c", folder / "nothing"
    source.write_text("int main(void) { return 0; }\n")
    try:
        subprocess.run(["cc", "-O", "-static", "-o", program, source], check=True)
    except (OSError, subprocess.CalledProcessError):
        return "/bin/true"
    return str(program)


def memory(daemon: BenchDaemon, wanted: argparse.Namespace) -> None:
    with FakeKernels() as fakes:
        daemon.await_living(fakes.start(FIRST_KERNELS))
        time.sleep(FIRST_S)
        before = rss_bytes(daemon.pid)
        more = MEMORY_KERNELS - FIRST_KERNELS
        daemon.await_living(fakes.start(more))
        time.sleep(YOUNG_S)
        grown = (rss_bytes(daemon.pid) - before) / more
        told(
            f"RSS, {MEMORY_KERNELS} kernels: collector",
            mib(daemon.pid),
            "40 MiB + 24 KiB each",
        )
        each = f"{(grown + RING_BYTES) / 1024:.1f} KiB"
        told("  each, its ring filled to the end", each, "24 KiB")
        fakes.kill()
        fakes.reap()
        await_settled(daemon)


def lives(daemon: BenchDaemon, wanted: argparse.Namespace) -> None:
    seen: list[int] = []
    with FakeKernels() as fakes:
        for _ in range(0, wanted.lives, LIVES_A_ROUND):
            daemon.await_living(fakes.start(LIVES_A_ROUND))
            fakes.kill()
            fakes.reap()
            await_settled(daemon)
            seen.append(rss_bytes(daemon.pid))
    shown = [seen[len(seen) * part // 5 - 1] for part in (1, 2, 3, 4, 5)]
    told(f"RSS over {wanted.lives} lives", " ".join(f"{size / 2**20:.1f}" for size in shown), "flat")


def await_settled(daemon: BenchDaemon) -> None:
    def settled() -> bool:
        with Store.read(daemon.db) as store:
            counts = store.counts()
        return not counts.provisional and not daemon.living()

    wait_for(settled, 120, "every end settled")


def mib(pid: int) -> str:
    """RSS, and PSS: libraries that other processes have mapped too count by their share."""
    return f"{rss_bytes(pid) / 2**20:.1f} (PSS {pss_bytes(pid) / 2**20:.1f}) MiB"


PARTS = {part.__name__: part for part in (execs, kernels, memory, lives)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all of them")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of kerneld")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--lives", type=int, default=2000)
    parser.add_argument("--long", action="store_true", help="100,000 lives")
    wanted = parser.parse_args()
    end_well()
    if wanted.long:
        wanted.lives = 100_000
    print(f"kerneld of {wanted.python}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name in wanted.parts or PARTS:
        with a_daemon(python=wanted.python) as daemon:
            PARTS[name](daemon, wanted)


if __name__ == "__main__":
    main()
