"""The deaths that are played in the machine: each ends real kernels and says which."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from cells import FATAL_CELLS, GROW_SLOWLY, SLEEP
from jupyters import BareKernel, KernelClient, NotebookSession, serving
from people import UnitServer, as_ana, in_unit, run
from rig import Witness
from tree import cgroup_of, keep_tree

LIMIT = ("MemoryMax=300M", "MemorySwapMax=0")
LISTENERS = 3
"""on a kernel's iopub: the client here, and each of two daemons' readers; a server is one more"""


@dataclass(frozen=True)
class Life:
    name: str
    pid: int
    cgroup: str


class Stage:
    """Keeps who is to die, by name; the witness of each tells when it has."""

    def __init__(self) -> None:
        self.lives: list[Life] = []

    def add(self, name: str, pid: int) -> Witness:
        self.lives.append(Life(name, pid, cgroup_of(pid)))
        return Witness(pid)

    def server(self, name: str, *properties: str) -> UnitServer:
        server = UnitServer(in_unit(name, *properties))
        server.await_ready()
        return server

    def kernel(self, server: UnitServer, name: str) -> tuple[NotebookSession, KernelClient, Witness]:
        session = server.open_notebook(f"{name}.ipynb")
        client = session.connect(LISTENERS + 1)
        return session, client, self.add(name, client.pid())


def _end(client: KernelClient, witness: Witness, code: str) -> None:
    client.run("1 + 1")
    client.begin(code)
    witness.wait_dead()
    client.close()


def on_one_server(stage: Stage) -> None:
    """The limit is an ancestor's, the slice's; what the OOM killer left of the unit, systemd stops."""
    run("systemctl", "set-property", "--runtime", "team.slice", "MemoryMax=480M", "MemorySwapMax=0")
    server = stage.server("jupyter-team", "Slice=team.slice")
    stage.add("server", server.pid)
    unit = cgroup_of(server.pid)
    crashed, client, witness = stage.kernel(server, "segfault")
    keep_tree("idle", witness.pid)
    _end(client, witness, FATAL_CELLS["segfault"])
    keep_tree("zombie", witness.pid, cgroup=unit)
    session, client, witness = stage.kernel(server, "shutdown")
    session.shut_down()
    witness.wait_dead()
    client.close()
    _, client, witness = stage.kernel(server, "killed")
    client.begin_and_hear(SLEEP, "asleep")
    os.kill(witness.pid, signal.SIGKILL)
    witness.wait_dead()
    client.close()
    _, client, witness = stage.kernel(server, "oom-ancestor")
    keep_tree("before-oom", witness.pid)
    (restarted,) = serving(crashed.connection_file)
    stage.add("restarted", restarted)
    _end(client, witness, GROW_SLOWLY)
    keep_tree("after-oom", witness.pid, cgroup=unit)


def _bare(stage: Stage, name: str, *properties: str, is_own: bool = False) -> None:
    kernel = BareKernel(in_unit(name, *properties, is_own=is_own))
    witness = stage.add(name, kernel.pid)
    client = KernelClient(kernel.connection_file, listeners=LISTENERS)
    _end(client, witness, GROW_SLOWLY)
    kernel.close()


def oom_own(stage: Stage) -> None:
    """In a unit of her own manager, whose cgroup has the limit."""
    _bare(stage, "oom-own", *LIMIT, "OOMPolicy=continue", is_own=True)


def oom_group(stage: Stage) -> None:
    """OOMPolicy=kill is memory.oom.group: Linux kills all of the unit at once, the server too."""
    server = stage.server("oom-group", *LIMIT, "OOMPolicy=kill")
    stage.add("oom-group-server", server.pid)
    _, client, witness = stage.kernel(server, "oom-group")
    _end(client, witness, GROW_SLOWLY)


def _stopped(stage: Stage, name: str, systemctl: tuple[str, ...], *, is_own: bool) -> None:
    """An operator's stop of the unit that it is in."""
    kernel = BareKernel(in_unit(name, *LIMIT, is_own=is_own))
    witness = stage.add(name, kernel.pid)
    client = KernelClient(kernel.connection_file, listeners=LISTENERS)
    client.run("1 + 1")
    client.close()
    run(*systemctl, "stop", f"{name}.service")
    witness.wait_dead()
    kernel.close()


def stopped(stage: Stage) -> None:
    _stopped(stage, "stopped", ("systemctl",), is_own=False)


def stopped_own(stage: Stage) -> None:
    """By her own manager, which PID 1's journal does not tell of."""
    _stopped(stage, "stopped-own", as_ana("systemctl", "--user"), is_own=True)


def oomd(stage: Stage) -> None:
    """Memory above MemoryHigh is reclaimed at once: the pressure for which systemd-oomd kills."""
    pressure = ("ManagedOOMMemoryPressure=kill", "ManagedOOMMemoryPressureLimit=5%")
    run("systemctl", "set-property", "--runtime", "pressed.slice", *pressure)
    run("systemctl", "start", "systemd-oomd")
    _bare(stage, "oomd", "Slice=pressed.slice", "MemoryHigh=150M", "MemoryMax=600M")


PLAYS: dict[str, Callable[[Stage], None]] = {
    "server": on_one_server,
    "oom-group": oom_group,
    "oom-own": oom_own,
    "oomd": oomd,
    "stopped": stopped,
    "stopped-own": stopped_own,
}
