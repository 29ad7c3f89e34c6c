"""Kernels in a machine that its managers end, and ends that only look so: each played once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from given import ANA
from guards import marked, start_earlyoom, start_nohang
from machine import Machine, wait_for
from notebook import Notebook
from slurm import LOG, job_of, preempt, start_slurm
from test_service import settled_end_of, watched

from kerneld.model.incident import Incident

SETTINGS = "[daemon]\nsettle_s = 2.0\n"
BUSY = "import time\ntime.sleep(600)"


def _by_earlyoom(machine: Machine, notebook: Notebook) -> None:
    notebook.begin(BUSY)
    marked(machine, notebook.pid)
    start_earlyoom(machine)


def _by_nohang(machine: Machine, notebook: Notebook) -> None:
    marked(machine, notebook.pid)
    start_nohang(machine)


def _with_a_forged_line(machine: Machine, notebook: Notebook) -> None:
    """Its own user writes earlyoom's words under earlyoom's name into the journal."""
    words = f'sending SIGKILL to process {notebook.pid} uid {ANA} "python": badness 999, VmRSS 9 MiB'
    machine.run("setpriv", f"--reuid={ANA}", "--clear-groups", "logger", "-t", "earlyoom", words)
    machine.systemctl("stop", "nohang")
    machine.run("kill", "-KILL", str(notebook.pid))


# systemd counts from here on: its unit has come up, and the kernel is its main process
READY = """
import ctypes, os, signal, socket
signal.signal(signal.SIGTERM, signal.{on_sigterm})
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.sendto(b"READY=1\\nMAINPID=%d" % os.getpid(), os.environ["NOTIFY_SOCKET"])
ctypes.{library}(None).sleep(600)
"""
UP_BY_WORD = (
    "description=a notebook", "property=Type=notify", "property=NotifyAccess=all",
    "property=TimeoutStartSec=60",
)  # fmt: skip
UNITS: dict[str, tuple[str, ...]] = {
    "time-limit": (*UP_BY_WORD, "property=RuntimeMaxSec=1"),
    "watchdog": (*UP_BY_WORD, "property=WatchdogSec=1"),
    "stuck": ("unit=stuck", "property=TimeoutStopSec=1", *UP_BY_WORD),
}


def _comes_up(machine: Machine, notebook: Notebook) -> None:
    notebook.begin(READY.format(on_sigterm="SIG_DFL", library="CDLL"))


def _ignores_its_stop(machine: Machine, notebook: Notebook) -> None:
    """In C, with the GIL held: it does not see that its parent is gone either."""
    notebook.begin(READY.format(on_sigterm="SIG_IGN", library="PyDLL"))
    wait_for(lambda: machine.show("ActiveState", "stuck") == "active", 15, "a unit comes up")
    machine.systemctl("stop", "stuck")


JOB_MIB = 300
JOBS: dict[str, tuple[str, ...]] = {
    name: (f"job-name={name}", f"mem={JOB_MIB}M")
    for name in ("slurm-memory", "slurm-cancelled", "slurm-preempted")
} | {"slurm-time-limit": ("partition=high", "mem=100M", "time=1")}


def _outgrows_its_job(machine: Machine, notebook: Notebook) -> None:
    notebook.begin(f"held = bytearray({2 * JOB_MIB} << 20)\n{BUSY}")


def _is_cancelled(machine: Machine, notebook: Notebook) -> None:
    machine.run("scancel", job_of(machine, "slurm-cancelled"))


def _is_preempted(machine: Machine, notebook: Notebook) -> None:
    preempt(machine)


def _waits_for_its_limit(machine: Machine, notebook: Notebook) -> None:
    wait_for(partial(is_dead, machine, notebook), 120, "a job's time is up")


Play = Callable[[Machine, Notebook], None]
PLAYS: dict[str, Play] = {
    "earlyoom": _by_earlyoom,
    "nohang": _by_nohang,
    "forged-line": _with_a_forged_line,
    "time-limit": _comes_up,
    "watchdog": _comes_up,
    "stuck": _ignores_its_stop,
    "slurm-memory": _outgrows_its_job,
    "slurm-cancelled": _is_cancelled,
    "slurm-preempted": _is_preempted,
}


AT_LENGTH: dict[str, Play] = {"slurm-time-limit": _waits_for_its_limit}
"""Slurm counts a limit in minutes, and looks twice a minute"""


def play(machine: Machine, plays: dict[str, Play] = PLAYS) -> dict[str, Incident]:
    """The settled end of each. All their kernels are there from the start, and see the others die."""
    machine.path("/etc/kerneld/config.toml").write_text(SETTINGS)
    machine.start()
    start_slurm(machine, f"SlurmdLogFile={LOG}")
    with ExitStack() as at_end:
        with ThreadPoolExecutor(len(plays)) as pool:
            made = [
                pool.submit(Notebook, machine, UNITS.get(name, ()), job=JOBS.get(name, ()))
                for name in plays
            ]
        notebooks = [at_end.enter_context(each.result()) for each in made]
        wait_for(partial(journal_is_read, machine), 15, "the journal is read")
        for notebook in notebooks:
            watched(machine, notebook)
        for end, notebook in zip(plays.values(), notebooks, strict=True):
            end(machine, notebook)
            wait_for(partial(is_dead, machine, notebook), 15, f"the end of {notebook.pid}")
        ends = [settled_end_of(machine, notebook) for notebook in notebooks]
    return dict(zip(plays, ends, strict=True))


def journal_is_read(machine: Machine) -> bool:
    there = machine.path("/run/kerneld/live.db").exists()
    return there and any(source.name == "journal" and source.up for source in machine.sources())


def is_dead(machine: Machine, notebook: Notebook) -> bool:
    """A zombie, where its manager lives, which reaps nothing unasked."""
    try:
        return b") Z " in machine.path(f"/proc/{notebook.pid}/stat").read_bytes()
    except FileNotFoundError:
        return True
