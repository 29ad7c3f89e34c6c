"""Real processes that end in every way, and a source running in a thread of its own."""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kerneld.model.effects import WatchExit
from kerneld.model.facts import ExitLearned, Fact, ProcessEnded, SourceState, ThreadCrashed
from kerneld.model.process import ProcessKey
from kerneld.parse.procfs import parse_stat
from kerneld.proc.pidfd import open_pidfd, pidfd_inode
from kerneld.sources.source import Outlet, Source

DEADLINE_S = 30.0

# how a process ends: shell code, run after a line on stdin, and the wait status without the core bit
ENDS = {
    "exit-0": ("exit 0", 0),
    "exit-3": ("exit 3", 3 << 8),
    "sigkill": ("kill -KILL $$", signal.SIGKILL),
    "sigsegv": ("kill -SEGV $$", signal.SIGSEGV),
    "sigabrt": ("kill -ABRT $$", signal.SIGABRT),
    "sigterm": ("kill -TERM $$", signal.SIGTERM),
}


def waiting(code: str, cwd: Path | None = None) -> "subprocess.Popen[bytes]":
    """A process that does this once `let_go` is called."""
    return subprocess.Popen(["sh", "-c", f"read line; {code}"], stdin=subprocess.PIPE, cwd=cwd)


def let_go(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()


def key_of(pid: int, pidfd: int | None = None) -> ProcessKey:
    stat = parse_stat(Path(f"/proc/{pid}/stat").read_bytes())
    assert stat is not None
    inode = None if pidfd is None else pidfd_inode(pidfd)
    return ProcessKey(boot_id="boot", pid=pid, start_ticks=stat.start_ticks, pidfd_inode=inode)


def watch(pid: int) -> WatchExit:
    pidfd = open_pidfd(pid)
    return WatchExit(key_of(pid, pidfd), pidfd)


def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "deadline"
        time.sleep(0.002)


def is_zombie(pid: int) -> bool:
    stat = parse_stat(Path(f"/proc/{pid}/stat").read_bytes())
    return stat is not None and stat.state == "Z"


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


class Running:
    """A source in a thread, and what it told."""

    def __init__(self, source: Source, size: int = 10_000) -> None:
        self.source = source
        self.queue: queue.Queue[Fact] = queue.Queue(size)
        self.outlet = Outlet(self.queue, source.name)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.source.run(self.outlet)
        except BaseException as error:
            self.error = error

    def next(self, timeout_s: float = DEADLINE_S) -> Fact:
        return self.queue.get(timeout=timeout_s)

    def ended(self, timeout_s: float = DEADLINE_S) -> ProcessEnded:
        fact = self.next(timeout_s)
        assert isinstance(fact, ProcessEnded), fact
        return fact

    def learned(self, timeout_s: float = DEADLINE_S) -> ExitLearned:
        """The next account of an exit; that a thread crashed is told before it."""
        fact = self.next(timeout_s)
        while isinstance(fact, ThreadCrashed):
            fact = self.next(timeout_s)
        assert isinstance(fact, ExitLearned), fact
        return fact

    def silent(self, seconds: float) -> bool:
        try:
            self.queue.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


@contextmanager
def running(source: Source) -> Iterator[Running]:
    """Start it, wait until it says that it is up, stop it."""
    it = Running(source)
    it.thread.start()
    up = it.next()
    assert isinstance(up, SourceState)
    assert up.up
    try:
        yield it
    finally:
        it.outlet.stopping.set()
        source.wake()
        it.thread.join(DEADLINE_S)
        assert not it.thread.is_alive()
    assert it.error is None
