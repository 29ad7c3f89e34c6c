"""A connection file, a kernel process on it, and signed messages to its shell: a client in small.

jupyter_client would do the same; kerneld does without it, as everywhere.
"""

import hashlib
import hmac
import json
import os
import resource
import secrets
import select
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import zmq

from kerneld.demo.kernelspec import PythonKernel
from kerneld.demo.leash import die_with_parent
from kerneld.demo.memory_cgroup import LIMIT_BYTES, Fence
from kerneld.model.base import iso

_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_DELIMITER = b"<IDS|MSG>"
_PROTOCOL = "5.3"
_NET_BYTES = LIMIT_BYTES + (1 << 30)
"""RLIMIT_DATA: were the cgroup's limit lifted in the middle, the cell gets a MemoryError here"""
_END_WITHIN_S = 5.0


class Kernel:
    """One kernel of the demo. Its zombie stands until `close`, as beside a server that polls."""

    def __init__(
        self, spec: PythonKernel, folder: Path, *, notebook: Path, fence: Fence | None
    ) -> None:
        self.id = str(uuid.uuid4())
        self.said = folder / "kernel.log"
        self._key = secrets.token_hex(16).encode()
        self.connection_file = folder / f"kernel-{self.id}.json"
        self._fields = _connection_fields(self._key, notebook)
        _write_private(self.connection_file, json.dumps(self._fields, indent=2))
        prefix = list(fence.prefix) if fence else []
        with open(self.said, "wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *spec.command(self.connection_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=_environ(os.environ, folder, notebook),
                start_new_session=True,
                preexec_fn=partial(_before_exec, fence),
            )
        self._pidfd = os.pidfd_open(self.process.pid)
        self._context = zmq.Context()
        self._shell = self._context.socket(zmq.DEALER)
        self._shell.setsockopt(zmq.LINGER, 0)
        self._shell.connect(f"tcp://127.0.0.1:{self._fields['shell_port']}")
        self._session = uuid.uuid4().hex

    def has_ended(self) -> bool:
        """Without reaping it."""
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def last_words(self) -> str:
        """The last line that it wrote to its terminal."""
        lines = self.said.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:200]

    def execute(self, code: str, *, ask: Mapping[str, str] | None = None) -> str:
        """Send a cell; its message's id. ask: only questions, as expressions, and no cell to see."""
        return self._send(
            "execute_request",
            {
                "code": code,
                "silent": ask is not None,
                "store_history": ask is None,
                "user_expressions": dict(ask or {}),
                "allow_stdin": False,
                "stop_on_error": True,
            },
        )

    def replies(self) -> dict[str, dict[str, object]]:
        """What has come meanwhile: message id to content."""
        found: dict[str, dict[str, object]] = {}
        while self._shell.poll(0):
            frames = self._shell.recv_multipart()
            at = frames.index(_DELIMITER)
            if not hmac.compare_digest(self._sign(frames[at + 2 : at + 6]), frames[at + 1]):
                continue
            parent, content = json.loads(frames[at + 3]), json.loads(frames[at + 5])
            found[parent.get("msg_id", "")] = content
        return found

    def _send(self, kind: str, content: Mapping[str, object]) -> str:
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "session": self._session,
            "username": "kerneld-demo",
            "date": iso(datetime.now(UTC)),
            "msg_type": kind,
            "version": _PROTOCOL,
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        self._shell.send_multipart([_DELIMITER, self._sign(parts), *parts])
        return number

    def _sign(self, parts: list[bytes]) -> bytes:
        return hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()

    def close(self) -> None:
        """End it, with whatever it started in its session, and reap it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(_END_WITHIN_S)
        os.close(self._pidfd)
        self._shell.close()
        self._context.term()


def _before_exec(fence: Fence | None) -> None:
    """In the child: inside its limit before it has any memory of its own."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if fence is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (_NET_BYTES, _NET_BYTES))
        fence.take(os.getpid())


def _connection_fields(key: bytes, notebook: Path) -> dict[str, object]:
    """As jupyter_server writes them."""
    ports: dict[str, object] = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    return {
        **ports,
        "ip": "127.0.0.1",
        "key": key.decode(),
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "kernel_name": "python3",
        "jupyter_session": str(notebook),
    }


def _free_ports(count: int) -> list[int]:
    """As Jupyter does it: free now, taken by the kernel a moment later."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _environ(environ: Mapping[str, str], folder: Path, notebook: Path) -> dict[str, str]:
    """No trace in the user's IPython history; one BLAS thread, since each maps 8 MiB of stack."""
    return {
        **environ,
        "JPY_PARENT_PID": str(os.getpid()),
        "JPY_SESSION_NAME": str(notebook),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
