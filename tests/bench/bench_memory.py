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

from kerneld.model.effects import SampleMemory
from kerneld.model.process import ProcessKey
from kerneld.proc.process import boot_id, read_process
from kerneld.sources.memory import MemorySource
from kerneld.sources.source import Outlet

WARM_UP_S = 7.0


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
    return sum(len(source._tracks[key].ring) for key in keys)


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
        threads[0].start()
        time.sleep(0.5)
        threads[1].start()
        time.sleep(WARM_UP_S)
        keys = [process.key for process in processes]
        before = [cpu_s(thread) for thread in threads]
        samples, rounds = sampled(source, keys), bare.rounds
        time.sleep(seconds)
        spent = [cpu_s(thread) - start for thread, start in zip(threads, before, strict=True)]
        samples, reads = sampled(source, keys) - samples, (bare.rounds - rounds) * len(processes)
        outlet.stopping.set()
        bare.stopping.set()
        source.wake()
        for thread in threads:
            thread.join()
    finally:
        for child in children:
            child.kill()
            child.wait()
    ours, theirs = spent[0] / samples * 1e6, spent[1] / reads * 1e6
    print(
        f"{count} processes, {seconds:.0f} s: memory source {ours:.2f} µs a sample ({samples} samples),"
    )
    print(f"bare pread {theirs:.2f} µs ({reads} reads): {ours / theirs:.2f} times; the bound is 2")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]) if arguments else 200, float(arguments[1]) if arguments[1:] else 30.0)
