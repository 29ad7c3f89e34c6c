"""Real Jupyter as a plain user runs it: servers, bare managers, headless runs, clients of kernels."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from rig import SCRIPTS, Person, RigError, Witness, wait_for

TOKEN = "a-token-that-no-database-may-hold"
MANAGER = Path(__file__).with_name("bare_manager.py").read_text()
ESTABLISHED = "01"
AWAIT_A_LINE = "input()"


class KernelClient:
    """A client of one's own to a running kernel, by its connection file."""

    def __init__(self, connection_file: Path, *, listeners: int = 0) -> None:
        self.connection_file = connection_file
        self._client = self._connected()
        wait_for(self._answers, 60, f"a kernel answers by {connection_file}")
        self._await_listeners(listeners)

    def _connected(self) -> BlockingKernelClient:
        context = zmq.Context()
        context.setsockopt(zmq.SNDTIMEO, 5000)  # a send to nobody would wait for ever
        client = BlockingKernelClient(connection_file=str(self.connection_file), context=context)
        client.load_connection_file()
        client.start_channels()
        return client

    def _answers(self) -> bool:
        """Begin anew when a heartbeat is late, or the kernel had to start again on other ports."""
        try:
            self._client.wait_for_ready(timeout=10)
        except (RuntimeError, zmq.Again):
            self._client.stop_channels()
            self._client = self._connected()
            return False
        return True

    def _await_listeners(self, count: int) -> None:
        """Let every daemon's reader join iopub: what is said before, nobody else can hear.

        A reader that never comes costs 15 s; the verdict must then stand without it.
        """
        if count == 0 or self._client.transport != "tcp":
            return
        looks = 0

        def have_subscribed() -> bool:
            """What is connected shakes hands yet: three looks more, which a crowded machine delays."""
            nonlocal looks
            looks = looks + 1 if connections_to(self._client.iopub_port) >= count else 0
            return looks > 3

        try:
            wait_for(have_subscribed, 15, "iopub listeners")
        except RigError as late:
            print(f"{self.connection_file.name}: {late}", file=sys.stderr)

    @property
    def key(self) -> str:
        return str(json.loads(self.connection_file.read_text())["key"])

    def pid(self) -> int:
        """As the kernel itself says it, with no count of the cell and no execute_input."""
        answer = self._execute("", silent=True, user_expressions={"pid": "__import__('os').getpid()"})
        return int(answer["user_expressions"]["pid"]["data"]["text/plain"])

    def run(self, code: str, deadline_s: float = 60) -> dict[str, object]:
        """Execute a cell to its end; the content of execute_reply.

        Sent again when ipykernel aborts it, as it does for a moment after an interrupted cell.
        """
        reply = self._execute(code, deadline_s=deadline_s)
        while reply["status"] == "aborted":
            reply = self._execute(code, deadline_s=deadline_s)
        return reply

    def _execute(self, code: str, deadline_s: float = 60, **options: object) -> dict:  # type: ignore[type-arg]
        return self.reply_to(self._client.execute(code, **options), deadline_s)

    def reply_to(self, asked: str, deadline_s: float = 60) -> dict:  # type: ignore[type-arg]
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            try:
                reply = self._client.get_shell_msg(timeout=1)
            except Empty:
                continue
            if (reply["parent_header"] or {}).get("msg_id") == asked:
                return dict(reply["content"])
        raise RigError(f"no reply within {deadline_s:g} s to a request")

    def begin(self, code: str) -> None:
        """Send a cell and return at once."""
        self._client.execute(code)

    def begin_to_die(self, code: str) -> None:
        """Send a cell that waits until its begin was heard, and then ends its kernel.

        What a kernel has not sent yet dies with it: on a crowded machine that is half a second of it.
        """
        asked = self._client.execute(f"{AWAIT_A_LINE}\n{code}")
        self._hear(asked, lambda message: message["msg_type"] == "execute_input", 60)
        self._client.get_stdin_msg(timeout=60)
        self._client.input("")

    def begin_and_hear(self, code: str, word: str, deadline_s: float = 60) -> str:
        """Send a cell; its message id, when it has printed the word."""
        asked = self._client.execute(code)
        self._hear(asked, lambda message: word in str(message["content"].get("text", "")), deadline_s)
        return asked

    def _hear(self, asked: str, wanted: Callable[[dict], bool], deadline_s: float) -> None:  # type: ignore[type-arg]
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if (message["parent_header"] or {}).get("msg_id") == asked and wanted(message):
                return
        raise RigError(f"what was waited for was not heard within {deadline_s:g} s of a cell")

    def close(self) -> None:
        self._client.stop_channels()


def connections_to(port: int) -> int:
    """Established connections to a loopback port, as the listener's side has them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[3] == ESTABLISHED and row[1].endswith(f":{port:04X}"))


def serving(connection_file: Path) -> list[int]:
    """The pids whose command line names the file."""
    name = connection_file.name.encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class JupyterServer:
    """A jupyter_server on loopback, its runtime folder where jupyter puts it."""

    def __init__(
        self, person: Person, name: str, *options: str, stdin: int = subprocess.DEVNULL
    ) -> None:
        self.person = person
        self.folder = (person.home / name).resolve()
        self.folder.mkdir()
        os.chown(self.folder, person.uid, person.uid)
        self.runtime = person.home / ".local/share/jupyter/runtime"
        self._log = (self.folder / "server.log").open("w")
        os.chown(self._log.fileno(), person.uid, person.uid)
        argv = [
            sys.executable,
            "-m",
            "jupyter_server",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
        ]
        argv += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.folder}"]
        argv += ["--ServerApp.terminals_enabled=False", "--ServerApp.open_browser=False"]
        argv += options
        self.process = person.popen(argv, stdin=stdin, stdout=self._log, stderr=self._log)
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def await_ready(self, deadline_s: float = 40) -> None:
        wait_for(self._answers, deadline_s, f"jupyter_server answers (see {self._log.name})")

    def _answers(self) -> bool:
        try:
            info = json.loads((self.runtime / f"jpserver-{self.pid}.json").read_text())
            self.url = info["url"]
            self.ask("GET", "api/status")
        except (FileNotFoundError, json.JSONDecodeError, urllib.error.URLError):
            return False
        return True

    def ask(self, method: str, path: str, body: object = None) -> dict:  # type: ignore[type-arg]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"token {TOKEN}"})
        request.method = method
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return dict(json.loads(text)) if text else {}

    def open_notebook(self, path: str, kernel_name: str = "python3") -> "NotebookSession":
        kernel = {"name": kernel_name}
        body = {"path": path, "name": path, "type": "notebook", "kernel": kernel}
        made = self.ask("POST", "api/sessions", body)
        return NotebookSession(self, made["id"], made["kernel"]["id"], str(self.folder / path))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def interrupt_twice(self, deadline_s: float = 30) -> None:
        """Ctrl-C: the first asks whether that is meant, the second needs no answer."""
        self.process.send_signal(signal.SIGINT)
        wait_for(
            lambda: "] interrupted" in Path(self._log.name).read_text(),
            10,
            "a question",
        )
        self.process.send_signal(signal.SIGINT)
        self.process.wait(deadline_s)
        self._log.close()

    def terminate(self, deadline_s: float = 30) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._log.close()


class NotebookSession:
    """A notebook that is open in a server, and its kernel."""

    def __init__(self, server: JupyterServer, session_id: str, kernel_id: str, notebook: str) -> None:
        self.server = server
        self.kernel_id = kernel_id
        self.notebook = notebook
        self.connection_file = server.runtime / f"kernel-{kernel_id}.json"
        self._session_id = session_id

    def connect(self, listeners: int = 0) -> KernelClient:
        wait_for(self._has_file, 20, f"{self.connection_file}")
        return KernelClient(self.connection_file, listeners=listeners)

    def _has_file(self) -> bool:
        return self.connection_file.exists() and self.connection_file.stat().st_size > 0

    def restart(self) -> None:
        self.server.ask("POST", f"api/kernels/{self.kernel_id}/restart", {})

    def interrupt(self) -> None:
        self.server.ask("POST", f"api/kernels/{self.kernel_id}/interrupt", {})

    def shut_down(self) -> None:
        self.server.ask("DELETE", f"api/sessions/{self._session_id}")


class BareKernel:
    """A kernel of a bare KernelManager in a process of its own, which reaps nothing unasked."""

    def __init__(
        self, person: Person, transport: str = "tcp", shell: str = "", *, notebook: str = ""
    ) -> None:
        """shell: what root does in a mount namespace of its own, before it becomes the person.

        notebook: as a Jupyter server names it to the kernels that it starts.
        """
        self.person = person
        argv, ids = [sys.executable, "-c", MANAGER, transport], {}
        if shell:
            who = f"setpriv --reuid={person.uid} --regid={person.uid} --clear-groups"
            argv = ["unshare", "-m", "sh", "-c", f'{shell} && exec {who} -- "$@"', "sh", *argv]
            ids = {"user": 0, "group": 0}
        self.process = person.popen(
            argv,
            **ids,
            env=person.environ() | ({"JPY_SESSION_NAME": notebook} if notebook else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.pid: int = told["pid"]
        self.connection_file = Path(told["connection_file"])

    def reap(self) -> None:
        """Let the manager look once: the zombie goes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("poll\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def kill(self, number: int = signal.SIGKILL) -> None:
        witness = Witness(self.pid)
        os.kill(self.pid, number)
        witness.wait_dead()

    def close(self) -> None:
        """End of input: the manager shuts its kernel down, or buries it, and leaves."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def write_notebook(person: Person, name: str, cells: Sequence[str]) -> Path:
    """A notebook whose first cell writes the kernel's pid beside it (`<name>.pid`)."""
    path = person.home / f"{name}.ipynb"
    tell = f"import os\nopen({str(path.with_suffix('.pid'))!r}, 'w').write(str(os.getpid()))"
    made = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"c{number}",
            "metadata": {},
            "outputs": [],
        }
        | {"source": source}
        for number, source in enumerate([tell, *cells])
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = {"cells": made, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole))
    os.chown(path, person.uid, person.uid)
    return path


def pid_told_by(notebook: Path) -> int:
    return int(notebook.with_suffix(".pid").read_text())


def run_headless(person: Person, notebook: Path, tool: str) -> subprocess.Popen[str]:
    """`jupyter execute` (nbclient) or papermill on a notebook."""
    if tool == "papermill":
        argv = [str(SCRIPTS / "papermill"), str(notebook), f"{notebook.with_suffix('')}-out.ipynb"]
    else:
        argv = [str(SCRIPTS / "jupyter-execute"), str(notebook)]
    quiet = subprocess.DEVNULL
    return person.popen(argv, stdin=quiet, stdout=quiet, stderr=quiet)


def add_kernelspec(
    person: Person, name: str, argv: list[str], env: dict[str, str] | None = None
) -> None:
    """A kernelspec in the person's own jupyter folder."""
    folder = person.home / ".local/share/jupyter/kernels" / name
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": name, "language": "python", "env": env or {}}
    (folder / "kernel.json").write_text(json.dumps(spec))
    for made in (folder, *folder.parents):
        if made == person.home:
            break
        os.chown(made, person.uid, person.uid)
