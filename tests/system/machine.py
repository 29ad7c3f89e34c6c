"""kerneld's units into a machine that runs them: a real systemd in namespaces of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import given

import kerneld
from kerneld.model.incident import Incident
from kerneld.model.living import LivingState, SourceHealth

HERE = Path(__file__).parent
CGROUPS = Path("/sys/fs/cgroup")
V1_HIERARCHIES = ("memory", "pids", "devices", "systemd", "unified")

GONE = (FileNotFoundError, ProcessLookupError)
"""what /proc answers of a process that has ended"""
Found = TypeVar("Found")


class MachineError(Exception):
    """The machine did not do what was asked; the message holds what it said."""


def wait_for(look: Callable[[], Found], deadline_s: float, what: str) -> Found:
    """What `look` finds, as soon as that is true."""
    until = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > until:
            raise MachineError(f"{what}: not within {deadline_s:g} s")
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Manager:
    """The systemd of a machine. enter: the options by which nsenter(1) gets there."""

    namespaces: tuple[str, ...]
    enter: tuple[str, ...]
    argv: tuple[str, ...]
    scope: str
    environ: tuple[str, ...]
    files: Callable[[Path], None]


PID_1 = Manager(
    namespaces=("--mount", "--uts", "--ipc", "--cgroup", "--pid"),
    enter=("-m", "-u", "-i", "-C", "-p"),
    argv=("container=kerneld-test", "/lib/systemd/systemd", "--system", "--unit=basic.target"),
    scope="--system",
    environ=(),
    files=given.for_pid_1,
)
"""The whole service as it is installed. In its pid namespace the Linux log, the proc connector and
taskstats tell nothing: their pids are the host's."""

ROOTS_OWN = Manager(
    namespaces=("--mount", "--uts", "--ipc", "--cgroup"),
    enter=("-m", "-u", "-i", "-C"),
    argv=(
        f"XDG_RUNTIME_DIR={given.ROOTS_RUNTIME_DIR}",
        "HOME=/root",
        "/lib/systemd/systemd",
        "--user",
        "--unit=basic.target",
    ),
    scope="--user",
    environ=(f"XDG_RUNTIME_DIR={given.ROOTS_RUNTIME_DIR}",),
    files=given.for_roots_own,
)
"""A user manager that is root applies a system unit's user, capabilities, seccomp and mounts just as
PID 1 does, and needs no pid namespace: here every source of evidence speaks."""


class Machine:
    """Boots at once, in 0.2 s; `close` ends every process in it and leaves nothing behind."""

    def __init__(self, folder: Path, manager: Manager) -> None:
        self._folder, self._manager = folder, manager
        (folder / "stage").mkdir(parents=True)
        manager.files(folder / "given")
        name = f"kerneld-test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        v2 = (CGROUPS / "cgroup.controllers").exists()
        roots = [CGROUPS] if v2 else [CGROUPS / hierarchy for hierarchy in V1_HIERARCHIES]
        self._cgroups = [root / name for root in roots]
        self._said = (folder / "boot.log").open("w+")
        unshare = ["unshare", "--fork", "--kill-child", *manager.namespaces]
        boot = ["sh", str(HERE / "boot.sh"), str(folder / "stage"), str(folder / "given")]
        boot += [*_hidden(), "--", *manager.argv]
        self._window: subprocess.Popen[str] | None = None
        self._keeper = subprocess.Popen(
            ["sh", str(HERE / "keep.sh"), *map(str, self._cgroups), "--", *unshare, *boot],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )
        try:
            self._init = wait_for(self._booted, 20, "systemd boots")
            self.run("systemd-sysusers")
            self.run("systemd-tmpfiles", "--create", "kerneld.conf", "machine.conf")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _booted(self) -> int | None:
        """The manager's pid, once it answers."""
        if self._keeper.poll() is not None:
            self._said.seek(0)
            raise MachineError(f"it does not boot: {self._said.read()}")
        # its first children make cgroups, and may be gone before they are looked at
        below = [Path(f"/proc/{pid}") for pid in children(Path(f"/proc/{self._keeper.pid}"))]
        found = [pid for process in below for pid in children(process) if _comm(pid) == "systemd"]
        if not found:
            return None
        self._init = found[0]
        state = self.ask("systemctl", self._manager.scope, "is-system-running", "--wait")
        return self._init if state.stdout.strip() in ("running", "degraded") else None

    def close(self) -> None:
        if self._window is not None:
            self._window.communicate(timeout=20)
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(20)
        self._said.close()
        shutil.rmtree(self._folder)

    # ------------------------------------------------------------------ from outside

    def path(self, inside: str) -> Path:
        """A path of the machine as this process can open it."""
        return Path(f"/proc/{self._init}/root{inside}")

    def command(self, *argv: str, uid: int = 0, environ: tuple[str, ...] = ()) -> list[str]:
        """Runs as root or a user in the machine and in its cgroups, so that `close` ends it."""
        join = 'while [ "$1" != -- ]; do mkdir -p "$1"; echo 0 >"$1/cgroup.procs"; shift; done; shift'
        tests = [str(cgroup / "tests") for cgroup in self._cgroups]
        enter = ["nsenter", "-t", str(self._init), *self._manager.enter, "-r", "-w"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *environ]
        person = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        return ["sh", "-c", f'{join}; exec "$@"', "join", *tests, "--", *enter, *clean, *person, *argv]

    def ask(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run as its root; a failure is an answer too."""
        command = self.command(*argv, environ=self._manager.environ)
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def run(self, *argv: str) -> str:
        done = self.ask(*argv)
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise MachineError(f"{' '.join(argv)}: status {done.returncode}: {said}\n{self.told()}")
        return done.stdout

    def systemctl(self, *argv: str) -> str:
        return self.run("systemctl", self._manager.scope, *argv)

    def start(self) -> None:
        """Returns when the daemon has said that it is ready."""
        self.systemctl("start", "kerneld")
        wait_for(lambda: "kerneld ready" in self.told(), 20, "the daemon is ready")

    def show(self, name: str, unit: str = "kerneld") -> str:
        return self.systemctl("show", unit, f"--property={name}", "--value").strip()

    def daemon_pid(self) -> int:
        """As the machine numbers it."""
        return int(self.show("MainPID"))

    def told(self) -> str:
        """What the daemon wrote to its standard error, and in PID 1's machine what that says of it."""
        file = self.path(given.TOLD)
        if file.exists():
            return file.read_text()
        return self.ask("journalctl", "--no-pager", "--output=cat", "--unit=kerneld").stdout

    def ends(self, database: str = "/var/lib/kerneld/kerneld.db") -> list[Incident]:
        return [Incident.model_validate(end) for end in self._look("ends", database)]

    def living(self, live: str = "/run/kerneld/live.db") -> list[LivingState]:
        return [LivingState.model_validate(state) for state in self._look("live", live)["states"]]

    def sources(self, live: str = "/run/kerneld/live.db") -> list[SourceHealth]:
        return [SourceHealth.model_validate(source) for source in self._look("live", live)["sources"]]

    def _look(self, kind: str, database: str) -> Any:
        if self._window is None:
            command = self.command(sys.executable, str(HERE / "window.py"))
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._window = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        assert self._window.stdin is not None
        assert self._window.stdout is not None
        print(json.dumps([kind, database]), file=self._window.stdin, flush=True)
        return json.loads(self._window.stdout.readline())

    def drop_in(self, *lines: str, name: str = "test") -> None:
        folder = self.path("/etc/systemd/system/kerneld.service.d")
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.conf").write_text("\n".join(["[Service]", *lines, ""]))
        self.systemctl("daemon-reload")

    def trace_nothing(self) -> None:
        """A host has one trace of signals, and tests beside this one may have it."""
        self.drop_in("ExecStartPre=", "ExecStopPost=", name="untraced")

    def signal(self, which: signal.Signals) -> None:
        self.systemctl("kill", f"--signal={which.name}", "--kill-whom=main", "kerneld")


def children(process: Path) -> list[int]:
    """Those of a folder of /proc, all its threads' included; fewer where it, or a thread, is gone."""
    found: list[int] = []
    with suppress(*GONE):
        for task in (process / "task").iterdir():
            with suppress(*GONE):
                found += map(int, (task / "children").read_text().split())
    return found


def _comm(pid: int) -> str:
    with suppress(*GONE):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _hidden() -> list[str]:
    """What the tests run from and the overlay of / does not show, or the machine's own /tmp covers."""
    needed = {sys.prefix, sys.base_prefix, str(HERE), str(Path(kerneld.__file__).parent.parent)}
    root = os.stat("/").st_dev
    return sorted(
        at for at in needed if os.stat(at).st_dev != root or at.startswith(("/tmp/", "/run/"))
    )
