"""The deaths, and the ends that look like them, which the live tests do not play."""

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cells import GROW_SLOWLY, SENT
from deaths import CGROUP_LIMIT, MIB
from jupyters import BareKernel, KernelClient, NotebookSession, add_kernelspec, serving
from limits import CPU_LIMIT, FORBID_MKDIR, GROW_A_FILE, LIMIT_CELLS
from memcg import MemoryCgroup
from rig import PLAIN, Witness, wait_for
from stage import Life, Stage, ended

WRITE_TO_A_READ_ONLY_FILE = (
    SENT
    + """
import ctypes, tempfile
file = tempfile.TemporaryFile()
file.truncate(4096)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
ctypes.memset(libc.mmap(None, 4096, 1, 1, file.fileno(), 0), 0, 1)
"""
)
RUN_DATA = (
    SENT
    + """
import ctypes
data = ctypes.create_string_buffer(bytes.fromhex("c3"))
ctypes.CFUNCTYPE(None)(ctypes.addressof(data))()
"""
)
HOLD_MOST_OF_THE_LIMIT = f"""
import time
held = b"x" * {CGROUP_LIMIT - 20 * MIB}
print("held", flush=True)
time.sleep(600)
"""
HOLD_NOTHING = "import time\nprint('held', flush=True)\ntime.sleep(600)"
TAKE_A_GIGABYTE_AT_ONCE = SENT + "held = b'x' * (1 << 30)"
EXIT_IN_BACKGROUND = "import os, threading\nthreading.Timer(2, os._exit, [0]).start()"
SIGNAL_THAT_IS_HANDLED = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: None)
os.kill(os.getpid(), signal.SIGUSR1)
"""
LOOKED_S = 3
"""the daemons look at a cgroup's usage once a second"""
SETTLED_S = 8
"""the daemons wait 5 s for all that may come late"""
SLOW_START = "import time; time.sleep(600)"


def ends(name: str, code: str, *before: str) -> Callable[[Stage], list[Life]]:
    """The last cell of a notebook ends its kernel."""

    def play(stage: Stage) -> list[Life]:
        session, client = stage.open(name)
        witness = Witness(client.pid())
        for cell in before:
            client.run(cell)
        client.begin(code)
        witness.wait_dead(60)
        client.close()
        return [ended(session, witness.pid)]

    return play


def outlives(name: str, *cells: str) -> Callable[[Stage], list[Life]]:
    """The kernel lives through the cells and is shut down."""

    def play(stage: Stage) -> list[Life]:
        session, client = stage.open(name)
        witness = Witness(client.pid())
        for cell in cells:
            client.run(cell)
        client.close()
        return [_shut_down(session, witness)]

    return play


def _shut_down(session: NotebookSession, witness: Witness) -> Life:
    session.shut_down()
    witness.wait_dead()
    return ended(session, witness.pid)


def shot(name: str, number: int, *cells: str) -> Callable[[Stage], list[Life]]:
    """Somebody sends an idle kernel a signal."""

    def play(stage: Stage) -> list[Life]:
        session, client = stage.open(name)
        witness = Witness(client.pid())
        for cell in cells:
            client.run(cell)
        time.sleep(1)  # a reply comes before the word `idle` does
        os.kill(witness.pid, number)
        witness.wait_dead()
        client.close()
        return [ended(session, witness.pid)]

    return play


def out_of_memory(name: str, code: str) -> Callable[[Stage], list[Life]]:
    """In a cgroup that outlives its kernel, as that of a user's whole session does."""

    def play(stage: Stage) -> list[Life]:
        session, client = stage.open(name)
        witness = Witness(client.pid())
        with MemoryCgroup(name, CGROUP_LIMIT) as group:
            group.take(witness.pid)
            client.run("1 + 1")
            time.sleep(SETTLED_S)  # the daemons look once a second where a kernel lives
            client.begin(code)
            witness.wait_dead(60)
            client.close()
            life = ended(session, witness.pid)
            time.sleep(SETTLED_S)
        return [life]

    return play


def _usage_bytes(group: MemoryCgroup) -> int:
    name = "memory.current" if group.is_v2 else "memory.usage_in_bytes"
    return int((group.folder / name).read_text())


def killed_near_the_limit(stage: Stage) -> list[Life]:
    """SIGKILL by hand while the cgroup's limit is all but used up."""
    return _killed_in_a_cgroup(stage, "killed-near", HOLD_MOST_OF_THE_LIMIT, _await_nearly_full)


def killed_beside_another_oom(stage: Stage) -> list[Life]:
    """SIGKILL by hand just after Linux killed another process of the same cgroup for memory."""
    return _killed_in_a_cgroup(stage, "killed-beside", HOLD_NOTHING, MemoryCgroup.provoke_kill)


def _await_nearly_full(group: MemoryCgroup) -> None:
    wait_for(lambda: _usage_bytes(group) > 0.9 * CGROUP_LIMIT, 20, "a cgroup nearly full")
    time.sleep(LOOKED_S)


def _killed_in_a_cgroup(
    stage: Stage, name: str, code: str, first: Callable[[MemoryCgroup], None]
) -> list[Life]:
    session, client = stage.open(name)
    witness = Witness(client.pid())
    with MemoryCgroup(name, CGROUP_LIMIT) as group:
        group.take(witness.pid)
        time.sleep(SETTLED_S)
        client.begin_and_hear(code, "held")
        first(group)
        os.kill(witness.pid, signal.SIGKILL)
        witness.wait_dead()
        client.close()
        life = ended(session, witness.pid)
        time.sleep(SETTLED_S)
    return [life]


def killed_before_it_answered(stage: Stage) -> list[Life]:
    argv = [sys.executable, "-c", SLOW_START, "-f", "{connection_file}"]
    add_kernelspec(stage.world.plain, "slow", argv)
    session = stage.server.open_notebook("slow.ipynb", "slow")
    wait_for(lambda: bool(serving(session.connection_file)), 20, "a slow kernel")
    (pid,) = serving(session.connection_file)
    time.sleep(1)  # the server looks 3 s after the start, and must not restart it at once
    witness = Witness(pid)
    os.kill(pid, signal.SIGKILL)
    witness.wait_dead()
    life = ended(session, pid)
    time.sleep(4)  # a file that goes at once would look like a request
    session.shut_down()
    return [life]


def finished_unheard(stage: Stage) -> list[Life]:
    """A program ends its own kernel in good order; its sockets are files that only it may open."""
    kernel = BareKernel(stage.world.plain, "ipc")
    client = KernelClient(kernel.connection_file)
    client.run("1 + 1")
    time.sleep(3)
    client.close()
    witness = Witness(kernel.pid)
    kernel.close()
    witness.wait_dead()
    return [Life(kernel.pid, PLAIN, died_at=datetime.now(UTC))]


def manager_ended(number: int) -> Callable[[Stage], list[Life]]:
    """A program ends by a signal, and leaves its kernel behind: that notices, and goes."""

    def play(stage: Stage) -> list[Life]:
        kernel = BareKernel(stage.world.plain)
        client = KernelClient(kernel.connection_file, listeners=stage.listeners - 1)
        client.run("1 + 1")
        client.close()
        witness = Witness(kernel.pid)
        kernel.process.send_signal(number)
        kernel.process.wait()
        witness.wait_dead()
        return [Life(kernel.pid, PLAIN, died_at=datetime.now(UTC))]

    return play


PLAYS: dict[str, Callable[[Stage], list[Life]]] = {
    "oom-at-once": out_of_memory("oom-at-once", TAKE_A_GIGABYTE_AT_ONCE),
    "oom-slowly": out_of_memory("oom-slowly", GROW_SLOWLY),
    "killed-near": killed_near_the_limit,
    "killed-beside": killed_beside_another_oom,
    "killed-slow": killed_before_it_answered,
    "finished-unheard": finished_unheard,
    "cpu-limit": ends("cpu-limit", LIMIT_CELLS["cpu-limit"]),
    "cpu-limit-hard": ends("cpu-limit-hard", CPU_LIMIT.format(hard="used")),
    "file-size": ends("file-size", LIMIT_CELLS["file-size"]),
    "file-size-error": outlives("file-size-error", GROW_A_FILE.format(first="")),
    "seccomp": ends("seccomp", LIMIT_CELLS["seccomp"]),
    "seccomp-error": outlives("seccomp-error", FORBID_MKDIR.format(action="0x00050001")),
    "read-only": ends("read-only", WRITE_TO_A_READ_ONLY_FILE),
    "run-data": ends("run-data", RUN_DATA),
    "division": outlives("division", "1 // 0"),
    "hard-exit-134": ends("hard-exit-134", SENT + "import os\nos._exit(134)"),
    "hard-exit-1": ends("hard-exit-1", SENT + "import os\nos._exit(1)"),
    "exit-not-reached": ends("exit-not-reached", SENT + "import os\nos._exit(0)\nexit()"),
    "exit-in-background": ends("exit-in-background", EXIT_IN_BACKGROUND),
    "manager-terminated": manager_ended(signal.SIGTERM),
    "manager-killed": manager_ended(signal.SIGKILL),
    "exit-not-called": outlives("exit-not-called", "exit() if False else None"),
    "self-signal-then-killed": shot("self-signal-then-killed", signal.SIGKILL, SIGNAL_THAT_IS_HANDLED),
    "sigterm": shot("sigterm", signal.SIGTERM, "1 + 1"),
}
