"""What four makes of kernels say on iopub into tests/captured/iopub: `python tests/capture/iopub.py`.

With R, r-cran-irkernel and the extra `test`. Each kernel runs a cell that is right and one that fails,
and is asked to end. A file has a header (the machine, the versions, the command, the date), the key,
and every message as it came, frame by frame: text, where a byte that is no UTF-8 is a lone surrogate.
"""

import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

FOLDER = Path(__file__).parent.parent / "captured" / "iopub"
VENV = str(Path(sys.prefix).resolve())
QUIET_S = 1.0
# make: how it is started, and its cells
MAKES: dict[str, tuple[list[str], tuple[str, str]]] = {
    "ipykernel": ([sys.executable, "-m", "ipykernel_launcher", "-f"], ("x = 1 + 1\nx", "1 / 0")),
    "xeus": ([sys.executable, "-m", "xpython_launcher", "-f"], ("x = 1 + 1\nx", "1 / 0")),
    "bash": ([sys.executable, "-m", "bash_kernel", "-f"], ("x=2\necho $x", "false")),
    "irkernel": (["R", "--slave", "-e", "IRkernel::main()", "--args"], ("x <- 1 + 1\nx", "stop('no')")),
}


def heard(ear: zmq.Socket[bytes], began_s: float) -> list[dict[str, object]]:
    """What came since, until it is quiet."""
    messages = []
    while ear.poll(QUIET_S * 1000):
        frames = [frame.decode(errors="surrogateescape") for frame in ear.recv_multipart()]
        messages.append({"after_s": round(time.monotonic() - began_s, 3), "frames": frames})
    return messages


def capture(argv: list[str], cells: tuple[str, ...], folder: str) -> dict[str, object]:
    manager = KernelManager(connection_file=f"{folder}/kernel.json")
    manager._kernel_spec = KernelSpec(argv=[*argv, "{connection_file}"])
    at, began_s = datetime.now(UTC), time.monotonic()
    manager.start_kernel()
    ear = zmq.Context.instance().socket(zmq.SUB)
    ear.subscribe(b"")
    ear.connect(f"tcp://127.0.0.1:{manager.iopub_port}")
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    info: dict[str, Any] = client.kernel_info(reply=True, timeout=30)["content"]
    messages = heard(ear, began_s)
    for cell in cells:
        client.execute(cell, reply=True, timeout=30)
        messages += heard(ear, began_s)
    client.shutdown()  # without the SIGINT that a manager sends first, at which xeus leaves wordless
    messages += heard(ear, began_s)
    manager.shutdown_kernel(now=True)
    client.stop_channels()
    ear.close()
    return {
        "kernel": f"{info['implementation']} {info['implementation_version']}",
        "argv": [word.replace(VENV, "/venv") for word in argv],
        "began_at": at.isoformat(),
        "key": manager.session.key.decode(),
        "scheme": manager.session.signature_scheme,
        "cells": cells,
        "messages": messages,
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    origin = {
        "command": "python tests/capture/iopub.py",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "versions": f"Python {platform.python_version()}, jupyter_client {version('jupyter_client')}",
    }
    for make, (argv, cells) in MAKES.items():
        with tempfile.TemporaryDirectory() as folder:
            told = origin | {"make": make} | capture(argv, cells, folder)
        (FOLDER / f"{make}.json").write_text(json.dumps(told, indent=1) + "\n")
        print(make, told["kernel"], len(told["messages"]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
