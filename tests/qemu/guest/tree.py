"""The files of /proc and of the cgroups that kerneld reads of a kernel, copied as they are."""

import os
from pathlib import Path

KEPT = Path("/run/kept")
OF_PROCESS = (
    "cgroup", "cmdline", "environ", "limits", "net/tcp", "net/tcp6", "stat", "statm", "status",
)  # fmt: skip
OF_HOST = ("meminfo", "self/mountinfo", "stat", "sys/kernel/random/boot_id", "pressure/memory")
OF_CGROUP = (
    "memory.current", "memory.events", "memory.events.local", "memory.high", "memory.max",
    "memory.oom.group", "memory.peak", "memory.pressure", "memory.swap.current",
)  # fmt: skip


def cgroup_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")


def keep_tree(name: str, pid: int, cgroup: str = "") -> None:
    """cgroup: where the process was, if it may be gone."""
    to = KEPT / name
    path = cgroup or cgroup_of(pid)
    _copy([f"{pid}/{file}" for file in OF_PROCESS], Path("/proc"), to / "proc")
    for process in (str(pid), "self"):
        link = to / "proc" / process / "ns/net"
        try:
            target = os.readlink(f"/proc/{process}/ns/net")
        except OSError:  # a zombie is in no namespace
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    _copy(list(OF_HOST), Path("/proc"), to / "proc")
    parts = [part for part in path.split("/") if part]
    for n in range(len(parts) + 1):
        folder = "/".join(parts[:n])
        files = [os.path.join(folder, file) for file in OF_CGROUP]
        _copy(files, Path("/sys/fs/cgroup"), to / "cgroup")


def _copy(files: list[str], root: Path, to: Path) -> None:
    """A zombie has no memory, the root no limit: what is not there is left out."""
    for file in files:
        try:
            data = (root / file).read_bytes()
        except OSError:
            continue
        target = to / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
