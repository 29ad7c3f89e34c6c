"""Processes that look like kernels to kerneld, by the dozen, of a user whom nobody else here is."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UID = 54_000 + os.getpid() % 10_000 if os.getuid() == 0 else os.getuid()
"""another one in each process: tests that run beside each other share nothing"""
_CONNECTION = {
    **dict.fromkeys(("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"), 1),
    "ip": "127.0.0.1",
    "transport": "tcp",
    "key": "k",
    "signature_scheme": "hmac-sha256",
}
_SLEEPS = "import signal; signal.pause()"
_FORKS = """
import os, sys
ours, theirs = os.pipe()
for _ in range(int(os.environ["CROWD"])):
    if os.fork() == 0:
        os.close(theirs)
        os.read(ours, 1)  # until the parent's end
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


class Crowd:
    """A home that its user may read, whoever runs the tests; what was started is ended with it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runtime = home / "runtime"
        self.runtime.mkdir(mode=0o700)
        modules = home / "modules"
        (modules / "ipykernel").mkdir(parents=True)
        (modules / "ipykernel_launcher.py").write_text(_SLEEPS)
        (modules / "ipykernel" / "__init__.py").touch()
        (modules / "ipykernel" / "__main__.py").write_text(_FORKS)
        for path in (home, self.runtime):
            os.chown(path, UID, -1)
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "LANG": "C.UTF-8",
        }
        self.started: list[subprocess.Popen[str]] = []

    def run(self, argv: list[str], **environ: str) -> "subprocess.Popen[str]":
        as_user = {"user": UID, "group": UID, "extra_groups": []} if os.getuid() == 0 else {}
        child: subprocess.Popen[str] = subprocess.Popen(
            argv,
            env={**self.environ, **environ},
            cwd="/",
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **as_user,  # type: ignore[call-overload]
        )
        self.started.append(child)
        return child

    def kernel(self, number: int) -> "subprocess.Popen[str]":
        """One with a connection file of its own, on whose ports it never listens."""
        path = self.file(f"kernel-{number}.json")
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", str(path)]
        return self.run(argv, PYTHONPATH=str(self.home / "modules"))

    def bare(self, count: int) -> list[int]:
        """The pids of so many that name no file."""
        words = {"PYTHONPATH": str(self.home / "modules"), "CROWD": str(count)}
        parent = self.run([sys.executable, "-m", "ipykernel"], **words)
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        return [
            int(pid)
            for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        ]

    def file(self, name: str) -> Path:
        path = self.runtime / name
        path.write_text(json.dumps(_CONNECTION))
        os.chown(path, UID, -1)
        return path

    def end(self) -> None:
        for child in self.started:
            child.kill()
            child.communicate()


@contextmanager
def crowd() -> Iterator[Crowd]:
    home = Path(tempfile.mkdtemp(prefix="kerneld-crowd-"))
    home.chmod(0o755)
    made = Crowd(home)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(home, ignore_errors=True)
