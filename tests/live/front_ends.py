"""Front ends that end their kernels in their own ways: a real `jupyter console`, and two stand-ins."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from jupyters import KernelClient
from rig import PLAIN, SCRIPTS, Witness, wait_for
from stage import Life, Stage

# A script's name tells what it is. VS Code writes the file itself, names it as one word of the command
# line, ends the kernel by SIGTERM and removes the file; Spyder has a KernelManager kill it at once.
CODE_SERVER = """
import json, os, subprocess, sys
from jupyter_client.connect import write_connection_file
file, _ = write_connection_file(f"{os.environ['HOME']}/kernel-v2-{os.getpid()}x.json", key=b"k" * 32)
command = [sys.executable, "-m", "ipykernel_launcher", f"--f={file}"]
kernel = subprocess.Popen(command, start_new_session=True)
print(json.dumps([kernel.pid, file]), flush=True)
sys.stdin.readline()
kernel.terminate()
kernel.wait()
os.unlink(file)
sys.stdin.readline()
"""
SPYDER = """
import json, sys
from jupyter_client.manager import KernelManager
manager = KernelManager()
manager.start_kernel()
print(json.dumps([manager.provisioner.pid, manager.connection_file]), flush=True)
sys.stdin.readline()
manager.shutdown_kernel(now=True)
sys.stdin.readline()
"""


def code_ends_it(stage: Stage) -> list[Life]:
    return _stand_in(stage, "code-server", CODE_SERVER)


def spyder_ends_it(stage: Stage) -> list[Life]:
    return _stand_in(stage, "spyder", SPYDER)


def _stand_in(stage: Stage, name: str, script: str) -> list[Life]:
    """It lives on for a while: an end of the front end's own explains its kernel's otherwise."""
    file = stage.world.plain.home / f"{name}.py"
    file.write_text(script)
    pipe = subprocess.PIPE
    front_end = stage.world.plain.popen([sys.executable, str(file)], stdin=pipe, stdout=pipe)
    assert front_end.stdout is not None
    assert front_end.stdin is not None
    pid, connection_file = json.loads(front_end.stdout.readline())
    witness = Witness(pid)
    _await_an_answer(stage, Path(connection_file))
    print(file=front_end.stdin, flush=True)
    witness.wait_dead()
    life = Life(pid, PLAIN, died_at=datetime.now(UTC))
    stage.extra.setdefault("front-ends", []).append(front_end)  # type: ignore[attr-defined]
    return [life]


def _await_an_answer(stage: Stage, connection_file: Path) -> None:
    client = KernelClient(connection_file, listeners=stage.listeners - 1)
    client.run("1 + 1")
    client.close()


def console_ends_it(stage: Stage) -> list[Life]:
    """`exit` on a terminal."""
    told = stage.world.plain.home / "console.pid"
    command = [str(SCRIPTS / "jupyter-console"), "--simple-prompt"]
    console = stage.world.plain.popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert console.stdin is not None
    print(
        f"import os; open({str(told)!r}, 'w').write(str(os.getpid()))", file=console.stdin, flush=True
    )
    wait_for(lambda: told.exists() and bool(told.read_text()), 60, "a console's kernel")
    witness = Witness(int(told.read_text()))
    print("exit", file=console.stdin, flush=True)
    console.communicate(timeout=30)
    witness.wait_dead()
    os.unlink(told)
    return [Life(witness.pid, PLAIN, died_at=datetime.now(UTC))]
