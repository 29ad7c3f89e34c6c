"""A process's cgroup path to its directories, its limits and its OOM counters, by kept-open files."""

import os
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from kerneld.model.process import CgroupLocation, Limit
from kerneld.model.readings import CgroupReading
from kerneld.model.vocabulary import LimitKind
from kerneld.parse.cgroups import (
    memory_mounts,
    parse_cgroup_bytes,
    parse_memory_events,
    parse_oom_control,
)
from kerneld.parse.mounts import Mount, parse_mountinfo

CGROUP_ROOT = "/sys/fs/cgroup"

# counters, usage, limit, peak; the peak file of v2 came with Linux 5.19
_FILES = {
    1: (
        "memory.oom_control",
        "memory.usage_in_bytes",
        "memory.limit_in_bytes",
        "memory.max_usage_in_bytes",
    ),
    2: ("memory.events.local", "memory.current", "memory.max", "memory.peak"),
}
_READ_BYTES = 512

RawReading = tuple[bytes, bytes, bytes, bytes]
"""the contents of the four files of one cgroup; empty where a file is not there"""


@dataclass(frozen=True, slots=True)
class CgroupDir:
    """One cgroup: its path as /proc/PID/cgroup has it, and where its files are."""

    version: int
    path: str
    directory: str


@lru_cache(maxsize=8)
def _mounts(proc_root: str) -> dict[int, Mount]:
    try:
        with open(f"{proc_root}/self/mountinfo", "rb") as mountinfo:
            return memory_mounts(parse_mountinfo(mountinfo.read()))
    except OSError:
        return {}


def cgroup_dirs(
    location: CgroupLocation, *, proc_root: str = "/proc", cgroup_root: str = CGROUP_ROOT
) -> tuple[CgroupDir, ...]:
    """The cgroup itself, then its ancestors up to the mount's root, whether they exist or not.

    Empty for a path outside of what is mounted here (`/../x` of another cgroup namespace).
    """
    mount = _mounts(proc_root).get(location.version)
    point = cgroup_root if location.version == 2 else f"{cgroup_root}/memory"
    root = "/"
    if mount is not None:
        point = cgroup_root + mount.point.removeprefix(CGROUP_ROOT)
        root = mount.root
    parts = [part for part in location.path.split("/") if part]
    above = [part for part in root.split("/") if part]
    if ".." in parts or parts[: len(above)] != above:
        return ()
    return tuple(
        CgroupDir(
            location.version, "/" + "/".join(parts[:n]), "/".join((point, *parts[len(above) : n]))
        )
        for n in range(len(parts), len(above) - 1, -1)
    )


def cgroup_limits(dirs: tuple[CgroupDir, ...]) -> tuple[Limit, ...]:
    """The memory limits that bind a member of the first cgroup, tightest first."""
    limits = [
        Limit(kind=LimitKind.CGROUP, limit_bytes=limit, path=one.path)
        for one in binding(dirs)
        if (limit := _limit_of(one)) is not None
    ]
    return tuple(sorted(limits, key=lambda limit: limit.limit_bytes))


def binding(dirs: tuple[CgroupDir, ...]) -> tuple[CgroupDir, ...]:
    """The first cgroup and the ancestors whose limits reach down to it.

    v1 with memory.use_hierarchy 0 (before Linux 5.11, where it became 1 for good) counts alone.
    """
    return dirs[:1] + tuple(
        one
        for one in dirs[1:]
        if one.version == 2 or _read(f"{one.directory}/memory.use_hierarchy").strip() != b"0"
    )


def _limit_of(one: CgroupDir) -> int | None:
    return parse_cgroup_bytes(_read(f"{one.directory}/{_FILES[one.version][2]}"))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(_READ_BYTES) or b""
    except OSError:
        return b""


class _Files:
    """The four open files of one cgroup; -1: there is no such file, or no right to it."""

    def __init__(self, one: CgroupDir) -> None:
        self.one = one
        self.counters, self.usage, self.limit, self.peak = (
            _open(f"{one.directory}/{name}") for name in _FILES[one.version]
        )

    def close(self) -> None:
        for fd in (self.counters, self.usage, self.limit, self.peak):
            if fd >= 0:
                os.close(fd)


class CgroupWatch:
    """The OOM counters and usage of a victim's cgroup and of each ancestor that has a limit.

    The fds stay open: a cgroup removed with its last process then says ENODEV, instead of another
    one of the same name answering. One thread opens and closes; `read` is everybody's.
    """

    def __init__(self, dirs: tuple[CgroupDir, ...]) -> None:
        limited = [one for one in binding(dirs)[1:] if _limit_of(one) is not None]
        self.dirs = (*dirs[:1], *limited)
        self._files = tuple(_Files(one) for one in self.dirs)

    def read(self, now: datetime) -> tuple[CgroupReading, ...]:
        """The victim's own cgroup first. Unreadable values are None; gone (ENODEV): empty."""
        return self.parse(self.read_raw(), now)

    def read_raw(self) -> tuple[RawReading, ...]:
        """The same unparsed, for `parse`: what is sampled each second is hardly ever asked for."""
        try:
            return tuple(
                (_pread(f.counters), _pread(f.usage), _pread(f.limit), _pread(f.peak))
                for f in self._files
            )
        except OSError:
            return ()

    def parse(self, raw: tuple[RawReading, ...], at: datetime) -> tuple[CgroupReading, ...]:
        return tuple(_reading(files.one, one, at) for files, one in zip(self._files, raw, strict=False))

    def usage_bytes(self) -> tuple[int | None, ...]:
        """Usage alone, in the order of `read`: a quarter of its price."""
        try:
            return tuple(parse_cgroup_bytes(_pread(files.usage)) for files in self._files)
        except OSError:
            return ()

    def close(self) -> None:
        for files in self._files:
            files.close()


def _reading(one: CgroupDir, raw: RawReading, at: datetime) -> CgroupReading:
    parse = parse_memory_events if one.version == 2 else parse_oom_control
    counters = parse(raw[0])
    return CgroupReading(
        version=one.version,
        path=one.path,
        at=at,
        oom=counters.oom,
        oom_kill=counters.oom_kill,
        usage_bytes=parse_cgroup_bytes(raw[1]),
        limit_bytes=parse_cgroup_bytes(raw[2]),
        peak_bytes=parse_cgroup_bytes(raw[3]),
    )


def _pread(fd: int) -> bytes:
    return b"" if fd < 0 else os.pread(fd, _READ_BYTES, 0)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1
