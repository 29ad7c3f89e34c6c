"""A ReaderSource under its supervisor, and real kernels for it to hear."""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from kerneld.model.effects import Listen, ReadConnection
from kerneld.model.facts import ConnectionRead, Fact, SourceState
from kerneld.model.said import CellStarted, KernelStatus, ListenState
from kerneld.sources.reader import ReaderSource
from kerneld.sources.reader_child import Child
from kerneld.sources.source import Outlet, supervise

BOOT_ID = "5d0ad42e-6d0f-4f8d-8c55-6f9a3f3a1c4e"
DEADLINE_S = 20.0
HANDLE = 3


class Rig:
    """A ReaderSource under its supervisor, and everything that it told."""

    def __init__(self) -> None:
        self.source = ReaderSource(boot_id=BOOT_ID)
        self.queue: queue.Queue[Fact] = queue.Queue(1000)
        self.outlet = Outlet(self.queue, self.source.name)
        self.told: list[Fact] = []
        self._thread = threading.Thread(target=supervise, args=(self.source, self.outlet))
        self._thread.start()
        self.wait_for(lambda f: isinstance(f, SourceState) and f.up)

    @property
    def pid(self) -> int:
        pid = self.source.reader_pid
        assert pid is not None
        return pid

    def wait_for(self, wanted: Callable[[Fact], bool], *, since: int = 0) -> Fact:
        """The first fact of that kind, told or to come."""
        for fact in self.told[since:]:
            if wanted(fact):
                return fact
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                fact = self.queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not told within {DEADLINE_S} s: {self.told[-5:]}") from None
            self.told.append(fact)
            if wanted(fact):
                return fact

    def read(self, path: str, handle: int = HANDLE) -> ConnectionRead:
        count = len(self.told)
        self.source.control(ReadConnection(handle, os.open(path, os.O_RDONLY), os.geteuid()))
        read = self.wait_for(
            lambda f: isinstance(f, ConnectionRead) and f.handle == handle, since=count
        )
        assert isinstance(read, ConnectionRead)
        return read

    def listen(self, path: str, implementation: str, handle: int = HANDLE) -> ListenState:
        assert self.read(path, handle).problem == ""
        count = len(self.told)
        self.source.control(Listen(handle, implementation))
        heard = self.wait_for(lambda f: isinstance(f, ListenState) and f.handle == handle, since=count)
        assert isinstance(heard, ListenState)
        return heard

    def follow(self, book: "Notebook", implementation: str) -> None:
        """Listen to a real kernel until the first message proves that the subscription arrived."""
        assert self.listen(book.path, implementation).listening
        self.hear_anything(book)

    def hear_anything(self, book: "Notebook") -> None:
        count = len(self.told)
        for _ in range(40):
            book.await_answer()
            try:
                self.told.append(self.queue.get(timeout=0.25))
            except queue.Empty:
                continue
            if any(isinstance(fact, KernelStatus) for fact in self.told[count:]):
                return
        raise AssertionError("the kernel was not heard")

    def stop(self) -> None:
        self.outlet.stopping.set()
        self.source.wake()
        self._thread.join(5)
        assert not self._thread.is_alive()


class Notebook:
    """A real kernel and a client, as a notebook has them."""

    def __init__(self, folder: Path, spec: str, **settings: str) -> None:
        self.path = str(folder / "kernel-test.json")
        specs = KernelSpecManager(kernel_dirs=[str(folder / "specs")], ensure_native_kernel=True)
        self.manager = KernelManager(
            kernel_name=spec,
            kernel_spec_manager=specs,
            connection_file=self.path,
            **settings,
        )
        self.manager.start_kernel(cwd=str(folder), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.client: BlockingKernelClient = self.manager.client()
        # without iopub: jupyter_client fails on xeus' null parent, and a slow reader costs memory
        self.client.start_channels(iopub=False, hb=False)
        self.await_answer()

    @property
    def pid(self) -> int:
        pid: int = self.manager.provisioner.pid
        return pid

    def await_answer(self) -> None:
        self.client.kernel_info(reply=True, timeout=DEADLINE_S)

    def run(self, code: str) -> None:
        self.client.execute(code, reply=True, timeout=DEADLINE_S)

    def run_unkept(self, code: str) -> None:
        """The kernel itself keeps neither the code nor its result."""
        self.client.execute(code, store_history=False, reply=True, timeout=DEADLINE_S)

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextmanager
def notebook(folder: Path, spec: str = "python3", **settings: str) -> Iterator[Notebook]:
    made = Notebook(folder, spec, **settings)
    try:
        yield made
    finally:
        made.end()


def add_spec(folder: Path, name: str, module: str, *, encryption: str | None = None) -> None:
    spec = folder / "specs" / name
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", module, "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps(
            {
                "argv": argv,
                "display_name": name,
                "language": "",
                "metadata": {"supported_encryption": encryption} if encryption else {},
            }
        )
    )


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def rss_kib(pid: int) -> int:
    return int(status_of(pid)["VmRSS"].split()[0])


def is_cell(source: str) -> Callable[[Fact], bool]:
    return lambda fact: isinstance(fact, CellStarted) and fact.source == source


def is_a(kind: type) -> Callable[[Fact], bool]:
    return lambda fact: isinstance(fact, kind)


def fake_file(folder: Path, **changes: object) -> str:
    """Generated: a file for a fake publisher that no Jupyter would write."""
    ports = dict.fromkeys(("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"), 9)
    fields = {**ports, "ip": "127.0.0.1", "key": "the key", "transport": "tcp", **changes}
    path = folder / f"kernel-fake-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(fields))
    return str(path)


@contextmanager
def intercepted() -> Iterator[tuple[Child, Callable[[], bytes]]]:
    """A child whose socket ends here: what comes of an order's descriptor, read to its end."""
    child = Child(BOOT_ID)
    child.socket.close()
    child.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def received() -> bytes:
        _, fds, _, _ = socket.recv_fds(theirs, 4096, 1)
        with open(fds[0], "rb") as file:
            return file.read()

    try:
        yield child, received
    finally:
        child.end(1.0)
        theirs.close()
