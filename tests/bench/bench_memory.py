"""CPU per process and sample of the memory source, against a bare loop of pread on kept statm fds.

Both run in this process at 1 Hz over the same 200 sleeping children, half a second apart, so each finds
the other's cold caches. `python tests/bench/bench_memory.py [processes] [seconds]`
"""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from statistics import median

from kerneld.model.effects import SampleMemory
from kerneld.model.process import ProcessKey
from kerneld.proc.process import boot_id, read_process
from kerneld.sources.memory import MemorySource
from kerneld.sources.source import Outlet

WARM_UP_S = 7.0
WINDOWS = 9


def cpu_s(thread: threading.Thread) -> float:
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


class BareLoop:
    """What no sampler can do without: the reading itself, at the same pace."""

    def __init__(self, pids: list[int]) -> None:
        self.fds = [os.open(f"/proc/{pid}/statm", os.O_RDONLY) for pid in pids]
        self.stopping = threading.Event()
        self.rounds = 0

    def run(self) -> None:
        due_s = time.monotonic()
        while not self.stopping.wait(max(0.0, due_s - time.monotonic())):
            for fd in self.fds:
                os.pread(fd, 64, 0)
            self.rounds += 1
            due_s += 1.0


def sampled(source: MemorySource, keys: list[ProcessKey]) -> int:
    """At 1 Hz a sample was taken for each second until which a process was seen."""
    return round(sum(source._tracks[key].last_s for key in keys))


def window(
    threads: list[threading.Thread], counts: Callable[[], tuple[int, int]], seconds: float
) -> tuple[float, float]:
    """µs of CPU per sample and per bare read, over some seconds in which both ran."""
    before, (samples, reads) = [cpu_s(thread) for thread in threads], counts()
    time.sleep(seconds)
    spent = [cpu_s(thread) - start for thread, start in zip(threads, before, strict=True)]
    samples_now, reads_now = counts()
    return spent[0] / (samples_now - samples) * 1e6, spent[1] / (reads_now - reads) * 1e6


def main(count: int, seconds: float) -> None:
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(count)]
    try:
        boot = boot_id()
        found = [read_process(child.pid, boot_id=boot, pidfd_inode=None) for child in children]
        processes = [process for process in found if process is not None]
        source, bare = MemorySource(), BareLoop([process.pid for process in processes])
        outlet = Outlet(queue.Queue(100), source.name)
        threads = [
            threading.Thread(target=source.run, args=(outlet,)),
            threading.Thread(target=bare.run),
        ]
        for process in processes:
            source.control(SampleMemory(process))
        keys = [process.key for process in processes]
        threads[0].start()
        time.sleep(0.5)
        threads[1].start()
        time.sleep(WARM_UP_S)

        def counts() -> tuple[int, int]:
            return sampled(source, keys), bare.rounds * len(processes)

        pairs = [window(threads, counts, seconds / WINDOWS) for _ in range(WINDOWS)]
        outlet.stopping.set()
        bare.stopping.set()
        source.wake()
        for thread in threads:
            thread.join()
    finally:
        for child in children:
            child.kill()
            child.wait()
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    print(f"{count} processes at 1 Hz, {WINDOWS} windows of {seconds / WINDOWS:.0f} s, medians:")
    print(f"memory source {ours:.2f} µs a sample, bare pread {theirs:.2f} µs")
    print(f"{median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}); the bound is 2")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]) if arguments else 200, float(arguments[1]) if arguments[1:] else 45.0)
