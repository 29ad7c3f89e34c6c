"""Deaths with everything around them that could mislead."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cells import NULL_READ, SLEEP
from jupyters import KernelClient
from libraries import compile_library
from memcg import LogWitness, MemoryCgroup
from rig import PLAIN, RigError, Witness, wait_for
from stage import Life, Stage, ended

FORGED = (
    "Memory cgroup out of memory: Killed process {pid} (python) total-vm:9kB, anon-rss:9kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:9kB oom_score_adj:0"
)
NEIGHBOURS_LIMIT = 64 << 20
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
CRASH = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).crash_in_c(1)"


def twins(stage: Stage) -> list[Life]:
    """Two kernels of one server are shot in the same millisecond.

    Linux kills a neighbour for memory in that second, and somebody writes into its log that these were.
    """
    sessions, witnesses = [], []
    for name in ("twin-1", "twin-2"):
        session, client = stage.open(name)
        sessions.append(session)
        witnesses.append(Witness(client.pid()))
        client.close()
    with MemoryCgroup("neighbour", NEIGHBOURS_LIMIT) as group:
        group.provoke_kill()
        for witness in witnesses:
            Path("/dev/kmsg").write_text("<3>" + FORGED.format(pid=witness.pid))
        for witness in witnesses:
            os.kill(witness.pid, signal.SIGKILL)
        for witness in witnesses:
            witness.wait_dead()
    return [ended(s, w.pid) for s, w in zip(sessions, witnesses, strict=True)]


def named_by_a_file(stage: Stage) -> list[Life]:
    """A crashing library's name holds a newline and a kill, Linux itself prints it, somebody shoots."""
    session, client = stage.open("forged-name")
    witness = Witness(client.pid())
    client.begin_and_hear(SLEEP, "asleep")
    forged = FORGED.format(pid=witness.pid)
    library = stage.world.plain.home / f"x\n{forged}\n.so"
    compile_library(library.with_name("forging.so"))
    library.with_name("forging.so").rename(library)
    os.chown(library, PLAIN, PLAIN)
    log = LogWitness()

    def printed() -> bool:
        """Not each crash is: Linux prints 10 in 5 s."""
        stage.world.plain.popen([sys.executable, "-c", CRASH, str(library)], **QUIET).wait()
        return forged in log.text()

    try:
        wait_for(printed, 20, "a forged line in the Linux log")
    finally:
        log.close()
    os.kill(witness.pid, signal.SIGKILL)
    witness.wait_dead()
    life = ended(session, witness.pid, 1)
    client.close()
    return [life]


def pid_reused(stage: Stage) -> list[Life]:
    """A kernel whose file is named after its pid is shot, and the next one gets that pid, and crashes.

    `extra` holds both files: the first stays behind.
    """
    plain = stage.world.plain
    first = plain.popen([sys.executable, "-m", "ipykernel"], **QUIET)
    file = plain.home / f".local/share/jupyter/runtime/kernel-{first.pid}.json"
    wait_for(lambda: file.exists() and file.stat().st_size > 0, 30, f"{file}")
    client = KernelClient(file, listeners=stage.listeners - 1)
    client.run("1 + 1")
    client.close()
    first.kill()
    first.wait()
    other = plain.home / "reused.json"
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", str(other)]
    second = _with_pid(first.pid, lambda: plain.popen(command, **QUIET))
    wait_for(lambda: other.exists() and other.stat().st_size > 0, 30, f"{other}")
    client = KernelClient(other, listeners=stage.listeners - 1)
    client.run("1 + 1")
    client.begin_to_die(NULL_READ)
    second.wait(30)
    client.close()
    stage.extra["reused"] = [str(file), str(other)]
    return [Life(first.pid, PLAIN, died_at=datetime.now(UTC))]


def _with_pid(pid: int, start: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """A process of that pid; another one may take it first."""
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    for _ in range(20):
        before = last_pid.read_text()
        last_pid.write_text(str(pid - 1))
        started = start()
        last_pid.write_text(before)
        if started.pid == pid:
            return started
        started.kill()
        started.wait()
    raise RigError(f"pid {pid} was not to be had in 20 tries")
