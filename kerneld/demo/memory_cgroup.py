"""A memory limit that a kernel can die of without the machine noticing: a cgroup of its own.

Root makes one; a user asks the own systemd for a scope. Nothing is believed: the limit is read back
from the kernel's own cgroup before the kernel is told to fill its memory.
"""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.errors import SourceUnavailable
from kerneld.model.process import Process
from kerneld.model.vocabulary import LimitKind
from kerneld.proc.cgroup import CgroupDir, CgroupWatch, cgroup_dirs
from kerneld.proc.machine import available_bytes, has_swap
from kerneld.proc.process import boot_id, read_process

LIMIT_BYTES = 300 << 20
ROOM_BYTES = LIMIT_BYTES + (200 << 20)
"""free memory that must be there beside the limit, so that nobody else is squeezed"""
_SYSTEMD_RUN_S = 5.0
_REMOVAL_S = 5.0
_SCOPE = (
    "systemd-run", "--user", "--scope", "--quiet", "--collect",
    "-p", f"MemoryMax={LIMIT_BYTES}", "-p", "MemorySwapMax=0", "--",
)  # fmt: skip
_SWAP_LIMIT = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}


@dataclass(frozen=True, slots=True)
class Fence:
    """How a kernel gets its limit: a command before its own, or a cgroup that it is moved into."""

    prefix: Sequence[str] = ()
    cgroup: CgroupDir | None = None

    def take(self, pid: int) -> None:
        """Move a process in, with what it will hold from now on."""
        if self.cgroup is not None:
            _write(f"{self.cgroup.directory}/cgroup.procs", str(pid))


@contextmanager
def fence() -> Iterator[Fence]:
    """A limit to put a kernel under; removed at the end, with whatever still lives in it.

    Raises SourceUnavailable with the reason where neither way is open.
    """
    own = _process(os.getpid())
    if own is None or own.cgroup is None:
        raise SourceUnavailable("Linux counts no memory by cgroup here")
    dirs = cgroup_dirs(own.cgroup)
    _check_room(dirs)
    if os.geteuid() != 0:
        _check_scopes()
        yield Fence(prefix=_SCOPE)
        return
    with _own_cgroup(dirs) as cgroup:
        yield Fence(cgroup=cgroup)


def unfenced(pid: int) -> str:
    """Why a process may not be told to fill its memory; "" when its limit is really in force."""
    process = _process(pid)
    limits = process.limits if process else ()
    if process is None or process.cgroup is None or not limits:
        return "its memory limit is not in force"
    tightest = limits[0]
    if tightest.kind is not LimitKind.CGROUP or tightest.limit_bytes > LIMIT_BYTES:
        return "its memory limit is not in force"
    dirs = cgroup_dirs(process.cgroup)
    owner = next((one for one in dirs if one.path == tightest.path), None)
    if owner is None or (has_swap() and not _swap_is_barred(owner)):
        return "its memory limit would spare it by swapping"
    return ""


def _check_room(dirs: Sequence[CgroupDir]) -> None:
    """The machine, and every cgroup that this process is in, must have room for the whole limit."""
    watch = CgroupWatch(tuple(dirs))
    readings = watch.read(datetime.now(UTC))
    watch.close()
    rooms = [
        reading.limit_bytes - reading.usage_bytes
        for reading in readings
        if reading.limit_bytes is not None and reading.usage_bytes is not None
    ]
    if min([available_bytes(), *rooms]) < ROOM_BYTES:
        raise SourceUnavailable(f"less than {ROOM_BYTES >> 20} MiB of memory are free")


# ---------------------------------------------------------------- a user: a scope of systemd


def _check_scopes() -> None:
    """Whether the user's own systemd grants a limited scope, by asking for one that does nothing."""
    if shutil.which("systemd-run") is None:
        raise SourceUnavailable("there is no systemd-run, and only root makes a cgroup without it")
    try:
        done = subprocess.run(
            [*_SCOPE, "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SYSTEMD_RUN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise SourceUnavailable("systemd-run --user does not answer") from None
    if done.returncode != 0:
        raise SourceUnavailable(
            "`systemd-run --user` does not work here, and only root can make a cgroup without it"
        )


# ---------------------------------------------------------------- root: a cgroup


@contextmanager
def _own_cgroup(dirs: Sequence[CgroupDir]) -> Iterator[CgroupDir]:
    """A cgroup below the root of the hierarchy, where no limit of a neighbour binds it too."""
    root = dirs[-1] if dirs else None
    if root is None:
        raise SourceUnavailable("the memory cgroups are not mounted here")
    if root.version == 2 and "memory" not in _read(f"{root.directory}/cgroup.subtree_control").split():
        raise SourceUnavailable("the memory controller is not on for cgroups below the root")
    name = f"kerneld-demo-{os.getpid()}"
    path = f"{root.path.rstrip('/')}/{name}"
    cgroup = CgroupDir(root.version, path, f"{root.directory}/{name}")
    try:
        os.mkdir(cgroup.directory)
    except OSError as problem:
        raise SourceUnavailable(f"no cgroup can be made here ({problem.strerror})") from None
    try:
        _limit(cgroup)
        yield cgroup
    finally:
        _remove(cgroup)


def _limit(cgroup: CgroupDir) -> None:
    limit = "memory.max" if cgroup.version == 2 else "memory.limit_in_bytes"
    swap = "0" if cgroup.version == 2 else str(LIMIT_BYTES)
    try:
        _write(f"{cgroup.directory}/{limit}", str(LIMIT_BYTES))
        if os.path.exists(f"{cgroup.directory}/{_SWAP_LIMIT[cgroup.version]}"):
            _write(f"{cgroup.directory}/{_SWAP_LIMIT[cgroup.version]}", swap)
    except OSError as problem:
        raise SourceUnavailable(f"no memory limit can be set here ({problem.strerror})") from None


def _remove(cgroup: CgroupDir) -> None:
    """Linux takes a moment to let go of the last process of a cgroup."""
    until = time.monotonic() + _REMOVAL_S
    while True:
        for pid in _read(f"{cgroup.directory}/cgroup.procs").split():
            _end(int(pid))
        try:
            os.rmdir(cgroup.directory)
        except OSError as problem:
            if problem.errno != errno.EBUSY or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(0.02)


def _end(pid: int) -> None:
    """Whoever is in that cgroup is the demo's kernel, or was started by it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# ---------------------------------------------------------------- what Linux says


def _process(pid: int) -> Process | None:
    return read_process(pid, boot_id=boot_id(), pidfd_inode=None)


def _swap_is_barred(owner: CgroupDir) -> bool:
    """v1 limits memory and swap together, v2 swap alone."""
    text = _read(f"{owner.directory}/{_SWAP_LIMIT[owner.version]}").strip()
    most = LIMIT_BYTES if owner.version == 1 else 0
    return text.isdigit() and int(text) <= most


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
