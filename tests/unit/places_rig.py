"""A PlacesSource beside a real reader, and a real process that has a library of the test's mapped."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reader_rig import BOOT_ID, DEADLINE_S, Rig

from kerneld.model.effects import PlaceFault, SampleMemory
from kerneld.model.facts import Fact, FaultPlaced
from kerneld.model.place import FaultPlace
from kerneld.model.process import Process
from kerneld.parse.maps import executable_lines
from kerneld.proc.mount_table import own_mountinfo
from kerneld.proc.process import read_process
from kerneld.sources.places import PlacesSource
from kerneld.sources.source import Outlet, supervise

SOURCE = """
static __attribute__((noinline)) int hidden(volatile int *place) { return *place; }
int boom(volatile int *place) { return hidden(place) + 1; }
"""
LOAD = """
import ctypes, faulthandler, json, sys
for line in sys.stdin:
    path = json.loads(line)
    if path.endswith(".log"):
        faulthandler.enable(open(path, "a"))
        path = "libc.so.6"
    if not path:
        ctypes.string_at(0)
    library = ctypes.CDLL(path)
    function = getattr(library, "boom", ctypes.CDLL(None).strlen)
    print(ctypes.cast(function, ctypes.c_void_p).value, flush=True)
"""


def compile_library(path: Path) -> Path:
    subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-x", "c", "-o", path, "-"],
        input=SOURCE,
        text=True,
        check=True,
    )
    return path


class Loaded:
    """A living process that has a library mapped. address: of the last one's function."""

    def __init__(self, library: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", LOAD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.load(library)
        process = read_process(self._child.pid, boot_id=BOOT_ID, pidfd_inode=None)
        assert process is not None
        self.process: Process = process

    def load(self, library: Path) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps(str(library)), file=self._child.stdin, flush=True)
        self.address = int(self._child.stdout.readline())

    def crash(self) -> None:
        """A segfault; its line runs from the child's own program."""
        self._child.communicate('""\n')

    def fault(self, name: str | None, *, uid: int | None = None) -> PlaceFault:
        """name: None for a crash that Linux logged no line of."""
        owner = self.process.uid if uid is None else uid
        ip = f"{self.address + 4:x}" if name else None
        return PlaceFault("case", self.process.key, owner, datetime.now(UTC), ip, name)

    def address_of(self, name: str) -> int:
        """Somewhere in the code of another file that it has mapped."""
        maps = Path(f"/proc/{self._child.pid}/maps").read_bytes()
        line = next(line for line in executable_lines(maps).splitlines() if name.encode() in line)
        return int(line.partition(b"-")[0], 16) + 0x100

    def end(self) -> None:
        self._child.kill()
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.communicate()


@contextmanager
def loaded(library: Path) -> Iterator[Loaded]:
    made = Loaded(library)
    try:
        yield made
    finally:
        made.end()


class Places:
    """The source under its supervisor."""

    def __init__(self, rig: Rig) -> None:
        self.source = PlacesSource(ask=rig.source.control, mapped_pages=lambda _: None)
        rig.source.on_library = self.source.parsed
        self._kept_bytes = 0
        self._facts: queue.Queue[Fact] = queue.Queue(1000)
        self.outlet = Outlet(self._facts, self.source.name)
        self._thread = threading.Thread(target=supervise, args=(self.source, self.outlet))
        self._thread.start()

    def see(self, at: Loaded) -> None:
        """Until its maps were read."""
        self.source.control(SampleMemory(at.process))
        self.wait_for_look()

    def wait_for_look(self) -> None:
        """Until other maps are kept than were."""
        before, until = self._kept_bytes, time.monotonic() + DEADLINE_S
        while self.source.kept_bytes == before and time.monotonic() < until:
            time.sleep(0.005)
        self._kept_bytes = self.source.kept_bytes
        assert self._kept_bytes != before

    def place(self, fault: PlaceFault) -> FaultPlace:
        self.source.control(fault)
        while True:
            fact = self._facts.get(timeout=DEADLINE_S)
            if isinstance(fact, FaultPlaced):
                assert fact.uuid == fault.uuid
                return fact.place

    def stop(self) -> None:
        self.outlet.stopping.set()
        self.source.wake()
        self._thread.join(5)
        assert not self._thread.is_alive()


def write_wheel(site: Path, *, lists: str, name: str = "foo", version: str = "1.2") -> Path:
    """An installed wheel's papers; its RECORD lists this path."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(f"{lists},sha256=x,1\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return info


def descriptors() -> int:
    """Of files and folders; threads that other tests left may open and close sockets meanwhile."""
    own_mountinfo()  # it stays open
    held = map(_target, os.listdir("/proc/self/fd"))
    return sum(target.startswith("/") for target in held)


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""
