"""A kernel of another user in a machine: started there by a bare manager, talked to from outside."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Self

from given import ANA, HOME
from jupyter_client.blocking.client import BlockingKernelClient
from machine import Machine, wait_for

MANAGER = (Path(__file__).parent.parent / "live/bare_manager.py").read_text()

# `systemd-run --pipe` needs a message bus, which a machine has not
IN_A_UNIT = """
mkfifo -m 666 "$0.in" "$0.out"
systemd-run --quiet --no-block -p StandardInput=file:"$0.in" -p StandardOutput=file:"$0.out" "$@"
cat "$0.out" &
exec cat >"$0.in"
"""
IN_A_JOB = """
mkfifo "$0.in" "$0.out"
printf '#!/bin/sh\nexec "$@" <%s.in >%s.out' "$0" "$0" >"$0.sh"
sbatch --quiet "$@" >&2
cat "$0.out" &
exec cat >"$0.in"
"""


class Notebook:
    """pid: as the machine numbers it. Its manager reaps nothing unless it is asked to."""

    def __init__(
        self, machine: Machine, unit: tuple[str, ...] = (), *, job: tuple[str, ...] = ()
    ) -> None:
        """unit, job: settings of a transient unit or a Slurm job to start it in (without dashes)."""
        environ = (f"HOME={HOME}", f"XDG_RUNTIME_DIR=/run/user/{ANA}")
        program = (sys.executable, "-c", MANAGER, "tcp")
        command = machine.command(*program, uid=ANA, environ=environ)
        if unit:
            settings = (f"uid={ANA}", *(f"setenv={each}" for each in environ), *unit)
            in_unit = (f"--{setting}" for setting in settings)
            pipe = f"/run/notebook-{uuid.uuid4().hex}"
            command = machine.command("sh", "-c", IN_A_UNIT, pipe, *in_unit, "--", *program)
        if job:
            in_job = (f"--{setting}" for setting in ("output=/dev/null", *job))
            pipe = f"/tmp/notebook-{uuid.uuid4().hex}"
            words = ("sh", "-c", IN_A_JOB, pipe, *in_job, f"{pipe}.sh", *program)
            command = machine.command(*words, uid=ANA, environ=environ)
        self._manager = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        told = self._answer()
        self.pid = int(told["pid"])  # type: ignore[call-overload]
        self.file = str(told["connection_file"])
        # its ports are on the loopback that both machines share
        self._client = BlockingKernelClient(connection_file=str(machine.path(self.file)))
        self._client.load_connection_file()
        self._client.start_channels()
        wait_for(self._answers, 60, f"kernel {self.pid} answers")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.communicate(timeout=20)

    def _answers(self) -> bool:
        """The client gives a kernel up when one heartbeat is late, as under load it may be."""
        try:
            self._client.wait_for_ready(timeout=10)
        except RuntimeError:
            return False
        return True

    def begin(self, code: str) -> None:
        """Send a cell and return at once."""
        self._client.execute(code)

    def stir(self) -> None:
        """Have it say on iopub how it is; a kernel at rest says nothing."""
        self._client.kernel_info()

    def reap(self) -> None:
        wait_for(lambda: not self._poll(), 10, f"kernel {self.pid} is dead")

    def _poll(self) -> bool:
        assert self._manager.stdin is not None
        self._manager.stdin.write("poll\n")
        self._manager.stdin.flush()
        return bool(self._answer()["alive"])

    def _answer(self) -> dict[str, object]:
        assert self._manager.stdout is not None
        return dict(json.loads(self._manager.stdout.readline()))
