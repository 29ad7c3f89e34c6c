"""Kernels are found whatever their command line says, and look-alikes are not taken for kernels."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyters import BareKernel, KernelClient
from rig import Daemon, World, is_running, wait_for

from kerneld.live import read_living
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Category, State

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(120)]

NAMELESS = """
import os
from ipykernel.kernelapp import launch_new_instance
launch_new_instance(["-f", os.environ["KERNEL_FILE"]])
"""
FORKS = """
import multiprocessing, os, time
context = multiprocessing.get_context({method!r})
workers = [context.Process(target=time.sleep, args=(600,)) for _ in range(3)]
for worker in workers:
    worker.start()
print("forked", [worker.pid for worker in workers], flush=True)
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def daemons(world: World) -> Iterator[dict[str, Daemon]]:
    made = {
        role: Daemon(person, settings="[daemon]\nsettle_s = 1.0\n")
        for role, person in (("root", world.root), ("plain", world.plain))
    }
    try:
        for daemon in made.values():
            daemon.start()
        yield made
    finally:
        for daemon in made.values():
            daemon.stop()


def watched(daemon: Daemon) -> list[int]:
    """The pids of the kernels that have been seen listening."""
    states = read_living(daemon.db.with_name(f"{daemon.db.name}.live")).states
    return [state.key.pid for state in states if state.state != "starting"]


def settled_ends(daemon: Daemon, *pids: int) -> list[Incident]:
    return [e for e in daemon.ends() if e.process.pid in pids and e.state is State.SETTLED]


@pytest.mark.parametrize("role", ["root", "plain"])
def test_a_bare_ipykernel_is_found_by_the_file_that_has_its_pid(
    world: World, daemons: dict[str, Daemon], role: str
) -> None:
    kernel = world.plain.popen([sys.executable, "-m", "ipykernel"])
    try:
        wait_for(lambda: kernel.pid in watched(daemons[role]), 30, "the kernel is watched")
    finally:
        kernel.kill()
        kernel.wait()
    wait_for(lambda: bool(settled_ends(daemons[role], kernel.pid)), 20, "its end is settled")
    (end,) = settled_ends(daemons[role], kernel.pid)
    assert (end.category, end.user.uid) == (Category.KILLED, world.plain.uid)
    assert ((end.kernel and end.kernel.connection_file) or "").endswith(f"/kernel-{kernel.pid}.json")


def test_a_kernel_that_no_command_line_names_is_found_by_its_file_and_ports(
    world: World, daemons: dict[str, Daemon]
) -> None:
    runtime = world.plain.home / ".local/share/jupyter/runtime"
    wait_for(runtime.exists, 20, "the bare kernel's folder")
    environ = {**world.plain.environ(), "KERNEL_FILE": str(runtime / "kernel-nameless.json")}
    kernel = world.plain.popen([sys.executable, "-c", NAMELESS], env=environ)
    try:
        wait_for(lambda: kernel.pid in watched(daemons["plain"]), 40, "the kernel is watched")
    finally:
        kernel.kill()
        kernel.wait()


@pytest.mark.parametrize(("method", "reaped"), [("fork", False), ("fork", True), ("forkserver", False)])
def test_workers_that_outlive_their_kernel_are_no_kernels(
    world: World, daemons: dict[str, Daemon], method: str, *, reaped: bool
) -> None:
    """Not while it lives, not after it (gone or a zombie), and not for a daemon that never knew it."""
    kernel, neighbour = BareKernel(world.plain), BareKernel(world.plain)
    workers: list[int] = []
    try:
        wait_for(lambda: kernel.pid in watched(daemons["root"]), 30, "the kernel is watched")
        client = KernelClient(Path(kernel.connection_file))
        client.begin_and_hear(FORKS.format(method=method), "forked")
        client.close()
        workers = descendants(kernel.pid)
        assert len(workers) >= 3
        kernel.kill()
        if reaped:
            kernel.reap()
        for daemon in daemons.values():
            wait_for(lambda d=daemon: bool(settled_ends(d, kernel.pid)), 30, "settled")  # type: ignore[misc]
        assert all(is_running(worker) for worker in workers), "they were to outlive it"
        late = Daemon(world.root, f"late-{method}-{reaped}")
        late.start()
        wait_for(lambda: neighbour.pid in watched(late), 30, "the late daemon has looked at all")
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, workers)), 10, "the workers are gone")
        late.stop()
        for daemon in (late, *daemons.values()):
            assert [e.process.pid for e in daemon.ends() if e.process.pid in workers] == []
    finally:
        for worker in workers:
            if is_running(worker):
                os.kill(worker, signal.SIGKILL)
        kernel.close()
        neighbour.close()


def test_programs_that_name_a_kernels_file_are_no_kernels(
    world: World, daemons: dict[str, Daemon]
) -> None:
    """Beside the kernel and alone; the kernel's own story goes on meanwhile."""
    kernel = BareKernel(world.plain)
    data = world.plain.home / "data.json"
    data.write_text("{}")
    try:
        client = KernelClient(Path(kernel.connection_file))
        client.run("1 + 1")
        wait_for(lambda: kernel.pid in watched(daemons["plain"]), 30, "the kernel is watched")
        client.begin_and_hear("import time\nprint('asleep', flush=True)\ntime.sleep(600)", "asleep")
        tails = [world.plain.popen(["tail", "-f", str(f)]) for f in (kernel.connection_file, data)]
        time.sleep(1.5)  # a daemon without the proc connector looks once a second
        for tail in tails:
            tail.kill()
            tail.wait()
        client.close()
        kernel.kill()
        for daemon in daemons.values():
            wait_for(lambda d=daemon: bool(settled_ends(d, kernel.pid)), 30, "settled")  # type: ignore[misc]
    finally:
        kernel.close()
    for daemon in daemons.values():
        assert settled_ends(daemon, *(tail.pid for tail in tails)) == []
        (end,) = settled_ends(daemon, kernel.pid)
        assert end.kernel is not None
        assert (end.kernel.restarts, end.cell and end.cell.execution_count) == (0, 2)


def test_a_kernel_that_root_started_for_a_user_is_that_users(
    world: World, daemons: dict[str, Daemon]
) -> None:
    """A shell of root's, setpriv, and only then the kernel: as sudo, runuser and containers do it."""
    file = world.plain.home / "kernel-for-a-user.json"
    python = f"{sys.executable} -m ipykernel_launcher -f {file}"
    drop = f"setpriv --reuid={world.plain.uid} --regid={world.plain.uid} --clear-groups"
    shell = world.root.popen(["sh", "-c", f"{drop} {python}; exit $?"], env=world.plain.environ())
    try:
        wait_for(lambda: bool(descendants(shell.pid)), 10, "the shell's child")
        (pid,) = descendants(shell.pid)
        for daemon in daemons.values():
            wait_for(lambda d=daemon: pid in watched(d), 30, "the kernel is watched")  # type: ignore[misc]
        os.kill(pid, signal.SIGSEGV)
        for daemon in daemons.values():
            wait_for(lambda d=daemon: bool(settled_ends(d, pid)), 30, "settled")  # type: ignore[misc]
    finally:
        shell.kill()
        shell.wait()
    for daemon in daemons.values():
        (end,) = settled_ends(daemon, pid)
        assert (end.exit.signal, end.user.uid) == (11, world.plain.uid)
        assert settled_ends(daemon, shell.pid) == []


def descendants(pid: int) -> list[int]:
    """A process's children, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found
