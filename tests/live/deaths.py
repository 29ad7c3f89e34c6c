"""The deaths that nobody asked for, on real kernels: each function ends some and says which."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from cells import (
    FATAL_CELLS,
    FILL_SHM,
    GROW_SLOWLY,
    HOLD_A_GIGABYTE,
    HOLD_UNTIL_SEEN,
    NULL_READ,
    R_GROWS,
    SHM_BYTES,
    SLEEP,
)
from jupyters import (
    BareKernel,
    JupyterServer,
    KernelClient,
    add_kernelspec,
    pid_told_by,
    run_headless,
    serving,
    write_notebook,
)
from memcg import MemoryCgroup
from rig import OTHER, PLAIN, RigError, Witness
from stage import Life, Stage, ended

MIB = 1 << 20
CGROUP_LIMIT = 300 * MIB
NEARLY_ALL_BYTES = CGROUP_LIMIT - 20 * MIB


def fatal(name: str, code: str) -> Callable[[Stage], list[Life]]:
    """The second cell of a notebook ends its kernel."""

    def play(stage: Stage) -> list[Life]:
        session, client = stage.open(name)
        witness = Witness(client.pid())
        client.run("1 + 1")
        client.begin_to_die(code)
        witness.wait_dead()
        life = ended(session, witness.pid, 2)
        client.close()
        return [life]

    return play


def _killed_busy(
    stage: Stage, name: str, code: str, word: str, group: MemoryCgroup | None
) -> list[Life]:
    session, client = stage.open(name)
    witness = Witness(client.pid())
    if group is not None:
        group.take(witness.pid)
    client.begin_and_hear(code, word)
    os.kill(witness.pid, signal.SIGKILL)
    witness.wait_dead()
    life = ended(session, witness.pid, 1)
    client.close()
    return [life]


def killed_with_a_gigabyte(stage: Stage) -> list[Life]:
    return _killed_busy(stage, "killed-gigabyte", HOLD_A_GIGABYTE, "held", None)


def killed_in_a_cgroup_with_a_past(stage: Stage) -> list[Life]:
    with MemoryCgroup("past", CGROUP_LIMIT) as group:
        group.provoke_kill()
        return _killed_busy(stage, "killed-past", SLEEP, "asleep", group)


def killed_near_its_limit(stage: Stage) -> list[Life]:
    with MemoryCgroup("near", CGROUP_LIMIT) as group:
        hold = HOLD_UNTIL_SEEN.format(held_bytes=NEARLY_ALL_BYTES)
        return _killed_busy(stage, "killed-near", hold, "held", group)


def killed_beside_another(stage: Stage) -> list[Life]:
    """Just after Linux killed another process of the same cgroup for memory."""
    session, client = stage.open("killed-beside")
    witness = Witness(client.pid())
    with MemoryCgroup("beside", CGROUP_LIMIT) as group:
        group.take(witness.pid)
        client.begin_and_hear(HOLD_UNTIL_SEEN.format(held_bytes=0), "held")
        group.provoke_kill()
        os.kill(witness.pid, signal.SIGKILL)
        witness.wait_dead()
        life = ended(session, witness.pid, 1)
        client.close()
    return [life]


def killed_idle(stage: Stage) -> list[Life]:
    session, client = stage.open("killed-idle")
    witness = Witness(client.pid())
    client.run("1 + 1")
    os.kill(witness.pid, signal.SIGKILL)
    witness.wait_dead()
    life = ended(session, witness.pid)
    client.close()
    return [life]


def killed_for_its_cgroup(stage: Stage) -> list[Life]:
    session, client = stage.open("oom-cgroup")
    witness = Witness(client.pid())
    with MemoryCgroup("oom", CGROUP_LIMIT) as group:
        group.take(witness.pid)
        # the daemons look once a second whether a kernel was moved to another cgroup
        client.run("import time; time.sleep(2.5)")
        client.begin(GROW_SLOWLY)
        witness.wait_dead(60)
        life = ended(session, witness.pid, 2)
        client.close()
    return [life]


def wrapped_in_a_shell(stage: Stage) -> list[Life]:
    """`sh -c "(python … -f FILE; …); …"`: the shells live as long as the kernel and name its file."""
    inner = f"('{sys.executable}' -m ipykernel_launcher -f '{{connection_file}}'; exit $?); exit $?"
    add_kernelspec(stage.world.plain, "wrapped", ["sh", "-c", inner])
    session, client = stage.open("wrapped", "wrapped")
    pid = client.pid()
    stage.extra["shells"] = [other for other in serving(session.connection_file) if other != pid]
    witness = Witness(pid)
    client.run("1 + 1")
    client.begin_to_die(NULL_READ)
    witness.wait_dead()
    life = ended(session, pid, 2)
    client.close()
    return [life]


def xeus_segfault(stage: Stage) -> list[Life]:
    """xeus-python handles SIGSEGV itself and leaves with status 1."""
    session, client = stage.open("xeus", "xpython")
    (pid,) = serving(session.connection_file)
    witness = Witness(pid)
    client.run("1 + 1")
    client.begin_to_die(NULL_READ)
    witness.wait_dead()
    life = ended(session, pid, 2)
    client.close()
    return [life]


def r_killed(stage: Stage) -> list[Life]:
    argv = ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"]
    add_kernelspec(stage.world.plain, "irkernel", argv)
    session, client = stage.open("irkernel", "irkernel")
    (pid,) = serving(session.connection_file)
    witness = Witness(pid)
    client.run("1 + 1")
    client.begin_and_hear(R_GROWS, "held")
    os.kill(pid, signal.SIGKILL)
    witness.wait_dead()
    life = ended(session, pid, 2)
    client.close()
    return [life]


def bare_segfault(stage: Stage) -> list[Life]:
    return _bare(stage, "tcp")


def bare_ipc_segfault(stage: Stage) -> list[Life]:
    return _bare(stage, "ipc")


def shm_full(stage: Stage) -> list[Life]:
    """In a mount namespace whose /dev/shm is a small tmpfs of its own."""
    own = f"mount -t tmpfs -o size={SHM_BYTES} tmpfs /dev/shm"
    return _bare(stage, "tcp", FILL_SHM, shell=own)


def shm_has_room(stage: Stage) -> list[Life]:
    """The same SIGBUS, by a file cut short, with the small /dev/shm nearly empty."""
    own = f"mount -t tmpfs -o size={SHM_BYTES} tmpfs /dev/shm"
    return _bare(stage, "tcp", FATAL_CELLS["bus-error"], shell=own)


def _bare(stage: Stage, transport: str, code: str = NULL_READ, *, shell: str = "") -> list[Life]:
    kernel = BareKernel(stage.world.plain, transport, shell)
    client = KernelClient(kernel.connection_file, listeners=stage.listeners - 1)
    stage.secrets.append(client.key)
    witness = Witness(kernel.pid)
    client.run("1 + 1")
    client.begin_to_die(code)
    witness.wait_dead()
    life = Life(kernel.pid, PLAIN, None, None, 2, datetime.now(UTC))
    client.close()
    kernel.close()
    stage.extra.setdefault("helpers", []).append(kernel.process.pid)  # type: ignore[attr-defined]
    return [life]


def another_users_kernel(stage: Stage) -> list[Life]:
    kernel = BareKernel(stage.world.other)
    client = KernelClient(kernel.connection_file, listeners=stage.listeners - 2)
    client.run("1 + 1")
    client.close()
    kernel.kill()
    kernel.close()
    return [Life(kernel.pid, OTHER, died_at=datetime.now(UTC))]


def nbclient_cell_crashes(stage: Stage) -> list[Life]:
    """nbclient removes the connection file after a crash as after an end: that is no request."""
    notebook = write_notebook(stage.world.plain, "headless-crash", ["1 + 1", NULL_READ, "2 + 2"])
    runner = run_headless(stage.world.plain, notebook, "nbclient")
    if not runner.wait(90):
        raise RigError("nbclient ended well although its kernel crashed")
    return [Life(pid_told_by(notebook), PLAIN, None, str(notebook), None, datetime.now(UTC))]


def server_killed(stage: Stage) -> list[Life]:
    """First the server, then its two kernels, an idle and a busy one."""
    server = JupyterServer(stage.world.plain, "killed-server")
    server.await_ready()
    sessions = [server.open_notebook(f"orphan-{name}.ipynb") for name in ("idle", "busy")]
    clients = [session.connect(stage.listeners) for session in sessions]
    witnesses = [Witness(client.pid()) for client in clients]
    clients[1].begin_and_hear(SLEEP, "asleep")
    server.kill()
    lives = [Life(server.pid, died_at=datetime.now(UTC))]
    for session, client, witness in zip(sessions, clients, witnesses, strict=True):
        witness.wait_dead()
        lives.append(ended(session, witness.pid))
        client.close()
    return lives
