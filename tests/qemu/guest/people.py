"""A user of the machine, and what runs as her in systemd units: the system's, or her own manager's."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyters import JupyterServer
from rig import SCRIPTS, Person

ANA = 1000
HOME = Path("/home/ana")
RUNTIME_DIR = Path(f"/run/user/{ANA}")


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def as_ana(*argv: str) -> tuple[str, ...]:
    who = (f"--reuid={ANA}", f"--regid={ANA}", "--clear-groups")
    return ("setpriv", *who, "--", "env", f"HOME={HOME}", f"XDG_RUNTIME_DIR={RUNTIME_DIR}", *argv)


@dataclass(frozen=True)
class InUnit(Person):
    """Ana, each of whose commands is a transient service, as JupyterHub's SystemdSpawner starts one."""

    unit: str = ""
    properties: tuple[str, ...] = ()
    is_own: bool = False

    def command(self, argv: Sequence[str]) -> list[str]:
        told = [f"--setenv={name}={value}" for name, value in self.environ().items()]
        told += [f"--property={one}" for one in self.properties]
        # else it is the command: what has newlines makes systemd lose the fields of its log
        told += [f"--description={self.unit}"]
        told += [f"--unit={self.unit}", "--quiet", "--pipe", "--wait", f"--working-directory={HOME}"]
        if self.is_own:
            return [*as_ana("systemd-run", "--user", *told, "--", *argv)]
        return ["systemd-run", f"--uid={ANA}", f"--gid={ANA}", *told, "--", *argv]

    def environ(self) -> dict[str, str]:
        paths = {
            "HOME": str(HOME),
            "XDG_RUNTIME_DIR": str(RUNTIME_DIR),
            "PATH": f"{SCRIPTS}:/usr/bin:/bin",
        }
        return paths | {"LANG": "C.UTF-8", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def in_unit(name: str, *properties: str, is_own: bool = False) -> InUnit:
    return InUnit(ANA, HOME, capable=True, unit=f"{name}.service", properties=properties, is_own=is_own)


class UnitServer(JupyterServer):
    """A jupyter_server that is its unit's main process."""

    def __init__(self, person: InUnit) -> None:
        super().__init__(person, person.unit.removesuffix(".service"))
        self._unit = person.unit

    @property
    def pid(self) -> int:
        return int(run("systemctl", "show", self._unit, "--property=MainPID", "--value"))

    def stop(self) -> None:
        run("systemctl", "stop", self._unit)
