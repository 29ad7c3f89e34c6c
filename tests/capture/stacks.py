"""Real stacks into tests/captured/pyspy: `python tests/capture/stacks.py` as root.

Each file has a header (Linux, Python, py-spy, the date and the command), the source of the cells that
ran, and what py-spy wrote about that kernel, where this environment's own path is /venv.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from jupyter_client.manager import KernelManager

FOLDER = Path(__file__).parent.parent / "captured" / "pyspy"
NAMES = str(Path(sys.prefix).resolve())
MODULE = """
import numpy as np

def load(n):
    kept = []
    for i in range(n):
        kept.append(np.ones(100_000))
        if len(kept) > 500:
            kept.clear()
"""
# name: cells; the last one is still at work when its stack is read
CELLS: dict[str, list[str]] = {
    "idle": ["1 + 1"],
    "loop": [
        "import numpy as np",
        "kept = []\nwhile True:\n    kept = [np.random.rand(1000) for i in range(1000)]",
    ],
    "library": ["import numpy as np", "while True:\n    total = np.full(5_000_000, 2.0)"],
    "comprehension": [
        "import os",
        "while True:\n    x = [\n        os.urandom(20_000)\n        for i in range(1000)\n    ]",
    ],
    "earlier-cell": [
        "import os\ndef fill(n):\n    kept = []\n"
        "    for i in range(n):\n        kept.append(os.urandom(20_000))",
        "while True:\n    fill(1000)",
    ],
    "module": ["import loading", "loading.load(10**9)"],
    "timed": ["%%time\nimport os\nwhile True:\n    x = [os.urandom(20_000) for i in range(100)]"],
    "threads": [
        "import threading, numpy as np\n"
        "def grow_a():\n    while True:\n        a = np.random.rand(3_000_000)\n"
        "def grow_b():\n    while True:\n        b = np.random.rand(3_000_000)\n",
        "threads = [threading.Thread(target=f) for f in (grow_a, grow_b)]\n"
        "for t in threads:\n    t.start()\nfor t in threads:\n    t.join()",
    ],
    "asleep": ["import time\ntime.sleep(600)"],
}


def header(command: list[str]) -> dict[str, str]:
    version = subprocess.run([py_spy(), "--version"], capture_output=True, text=True, check=True)
    return {
        "linux": platform.release(),
        "python": platform.python_version(),
        "py_spy": version.stdout.strip(),
        "captured": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["py-spy", *command[1:-1], "PID"]),
    }


def py_spy() -> str:
    return str(Path(sys.executable).parent / "py-spy")


def dump(pid: int, *prefix: str) -> tuple[list[str], str]:
    command = [py_spy(), "dump", "--nonblocking", "--json", "--pid", str(pid)]
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    return command, (done.stdout + done.stderr).replace(NAMES, "/venv")


def write(name: str, cells: list[str], told: tuple[list[str], str]) -> None:
    command, text = told
    document = {"header": header(command), "cells": cells, "text": text}
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(name, len(text))


def of_kernel(name: str, cells: list[str], folder: str) -> None:
    manager = KernelManager()
    manager.start_kernel(cwd=folder, env=os.environ | {"TMPDIR": "/tmp"})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        for cell in cells[:-1]:
            client.execute_interactive(cell, timeout=60)
        client.execute(cells[-1])
        time.sleep(1.0)
        write(name, cells, dump(manager.provisioner.process.pid))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def refusals() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        write("no-python", [], dump(sleeper.pid))
        sleeper.kill()
    write("gone", [], dump(sleeper.pid))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as python:
        time.sleep(0.5)
        write(
            "refused",
            [],
            dump(python.pid, "setpriv", "--reuid=20417", "--regid=20417", "--clear-groups"),
        )
        python.kill()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="project-") as folder:
        Path(folder, "loading.py").write_text(MODULE)
        for name, cells in CELLS.items():
            of_kernel(name, cells, folder)
    refusals()
