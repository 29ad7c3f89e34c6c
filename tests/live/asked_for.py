"""What was asked for, or survived: none of it may become an incident."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from cells import HOLD_THE_GIL, MEMORY_ERROR, POOL, SLEEP
from jupyters import (
    JupyterServer,
    KernelClient,
    NotebookSession,
    pid_told_by,
    run_headless,
    write_notebook,
)
from rig import PLAIN, RigError, Witness, wait_for
from stage import Life, Stage, ended

from kerneld.parse.procfs import parse_stat


def server_stopped(stage: Stage) -> list[Life]:
    """First the server, then its two kernels, an idle and a busy one."""
    server = JupyterServer(stage.world.plain, "stopped-server")
    server.await_ready()
    sessions = [server.open_notebook(f"stopped-{name}.ipynb") for name in ("idle", "busy")]
    clients = [session.connect(stage.listeners) for session in sessions]
    pids = [client.pid() for client in clients]
    clients[1].begin_and_hear(SLEEP, "asleep")
    for client in clients:
        client.close()
    server.terminate()
    stopped = [ended(session, pid) for session, pid in zip(sessions, pids, strict=True)]
    return [Life(server.pid, died_at=datetime.now(UTC)), *stopped]


def culled_and_interrupted(stage: Stage) -> list[Life]:
    """A kernel idle for too long, then its server by Ctrl-C, twice, with another one that is busy."""
    ours, terminal = os.openpty()
    # in a crowd a kernel starts for more than 2 s, and is idle meanwhile
    culls = [f"--MappingKernelManager.cull_{key}" for key in ("idle_timeout=5", "interval=1")]
    server = JupyterServer(stage.world.plain, "culling-server", *culls, stdin=terminal)
    try:
        return _culled_and_interrupted(stage, server)
    finally:
        server.kill()
        os.close(ours)
        os.close(terminal)


def _culled_and_interrupted(stage: Stage, server: JupyterServer) -> list[Life]:
    server.await_ready()
    session = server.open_notebook("culled.ipynb")
    client = session.connect(stage.listeners)
    witness = Witness(client.pid())
    client.close()
    witness.wait_dead()
    first = ended(session, witness.pid)
    session = server.open_notebook("interrupted.ipynb")
    client = session.connect(stage.listeners)
    pid = client.pid()
    client.begin_and_hear(SLEEP, "asleep")
    client.close()
    server.interrupt_twice()
    return [first, Life(server.pid, died_at=datetime.now(UTC)), ended(session, pid)]


def shut_down(stage: Stage) -> list[Life]:
    session, client = stage.open("shutdown")
    witness = Witness(client.pid())
    client.run("1 + 1")
    client.close()
    session.shut_down()
    witness.wait_dead()
    return [ended(session, witness.pid)]


def shut_down_stuck(stage: Stage) -> list[Life]:
    """A cell in C that holds the GIL: the kernel hears no request, and its server kills it."""
    session, client = stage.open("shutdown-stuck")
    witness = Witness(client.pid())
    _hold_the_gil(client, witness.pid)
    client.close()
    session.shut_down()
    witness.wait_dead()
    return [ended(session, witness.pid)]


def restarted_stuck(stage: Stage) -> list[Life]:
    session, client = stage.open("restart-stuck")
    pid = client.pid()
    _hold_the_gil(client, pid)
    return _restart(session, client, pid)


def _hold_the_gil(client: KernelClient, pid: int) -> None:
    client.begin_and_hear(HOLD_THE_GIL, "held")
    used_s = _cpu_seconds(pid)
    wait_for(lambda: _cpu_seconds(pid) > used_s + 0.3, 30, "the cell is in C")


def _cpu_seconds(pid: int) -> float:
    stat = parse_stat(Path(f"/proc/{pid}/stat").read_bytes())
    return stat.cpu_ticks / os.sysconf("SC_CLK_TCK") if stat else 0.0


def restarted_idle(stage: Stage) -> list[Life]:
    session, client = stage.open("restart-idle")
    return _restart(session, client, client.pid())


def restarted_busy(stage: Stage) -> list[Life]:
    session, client = stage.open("restart-busy")
    pid = client.pid()
    client.begin_and_hear(SLEEP, "asleep")
    return _restart(session, client, pid)


def _restart(session: NotebookSession, client: KernelClient, pid: int) -> list[Life]:
    """The old life, then the new one, which is shut down."""
    client.close()
    session.restart()
    first = ended(session, pid)
    again = session.connect()
    second = Witness(again.pid())
    again.close()
    session.shut_down()
    second.wait_dead()
    return [first, ended(session, second.pid)]


def survives(stage: Stage) -> list[Life]:
    """Interrupt, sys.exit(1), a MemoryError, sixteen workers' ends: it lives, and is shut down."""
    session, client = stage.open("survivor")
    witness = Witness(client.pid())
    asked = client.begin_and_hear(SLEEP, "asleep")
    session.interrupt()
    client.reply_to(asked)
    said = [client.run(code).get("ename") for code in ("import sys; sys.exit(1)", POOL, MEMORY_ERROR)]
    if said != ["SystemExit", None, "MemoryError"]:
        raise RigError(f"the survivor's cells ended with {said}")
    client.close()
    session.shut_down()
    witness.wait_dead()
    return [ended(session, witness.pid)]


def clean_starts_and_stops(stage: Stage) -> list[Life]:
    lives = []
    for number in range(stage.rounds):
        session = stage.server.open_notebook(f"clean-{number}.ipynb")
        client = session.connect()
        witness = Witness(client.pid())
        client.close()
        session.shut_down()
        witness.wait_dead()
        lives.append(ended(session, witness.pid))
    return lives


def finished_by_nbclient(stage: Stage) -> list[Life]:
    return _finished(stage, "nbclient")


def failed_in_nbclient(stage: Stage) -> list[Life]:
    return _failed(stage, "nbclient")


def failed_in_papermill(stage: Stage) -> list[Life]:
    return _failed(stage, "papermill")


def _failed(stage: Stage, tool: str) -> list[Life]:
    """A cell raises: the tool gives up, shuts its kernel down, and leaves with status 1."""
    notebook = write_notebook(stage.world.plain, f"failed-{tool}", ["1 / 0", "2 + 2"])
    runner = run_headless(stage.world.plain, notebook, tool)
    if runner.wait(90) != 1:
        raise RigError(f"{tool} ended with {runner.returncode} although a cell raised")
    return [Life(pid_told_by(notebook), PLAIN, None, str(notebook), None, datetime.now(UTC))]


def finished_by_papermill(stage: Stage) -> list[Life]:
    return _finished(stage, "papermill")


def _finished(stage: Stage, tool: str) -> list[Life]:
    notebook = write_notebook(stage.world.plain, f"finished-{tool}", ["1 + 1"])
    runner: subprocess.Popen[str] = run_headless(stage.world.plain, notebook, tool)
    if runner.wait(90):
        raise RigError(f"{tool} ended with {runner.returncode}")
    return [Life(pid_told_by(notebook), PLAIN, None, str(notebook), None, datetime.now(UTC))]
