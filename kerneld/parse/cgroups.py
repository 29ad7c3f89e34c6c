"""Bytes of cgroup files and mount tables to locations, limits, counters, units and containers."""

import re
from dataclasses import dataclass

from kerneld.model.process import CgroupLocation
from kerneld.parse.mounts import Mount
from kerneld.parse.procfs import text_of

UNLIMITED_BYTES = 1 << 62
"""v1 prints LONG_MAX rounded down to a page for "no limit": 9223372036854771712, or …705…, by page"""


@dataclass(frozen=True, slots=True)
class Membership:
    """/proc/PID/cgroup. memory: where the memory controller is. systemd: systemd's own path."""

    memory: CgroupLocation | None
    systemd: str | None


def parse_membership(data: bytes) -> Membership:
    """v1 `4:memory:/p`, v2 `0::/p`; hybrid has both, and the memory controller is then in v1.

    A path may hold `:`; it never holds a newline, Linux refuses such names.
    """
    memory: str | None = None
    systemd: str | None = None
    unified: str | None = None
    for line in data.split(b"\n"):
        hierarchy, controllers, path = [*line.split(b":", 2), b"", b""][:3]
        if not path.startswith(b"/"):
            continue
        if hierarchy == b"0" and not controllers:
            unified = text_of(path)
        elif b"memory" in controllers.split(b","):
            memory = text_of(path)
        elif controllers == b"name=systemd":
            systemd = text_of(path)
    if memory is not None:
        return Membership(CgroupLocation(version=1, path=memory), systemd or unified)
    location = None if unified is None else CgroupLocation(version=2, path=unified)
    return Membership(location, unified)


def unit_of(path: str | None) -> str | None:
    """The innermost systemd unit of a cgroup path: a service, else a scope, never a slice.

    `user@1000.service/app.slice/app-x.service` is app-x.service. https://systemd.io/CGROUP_DELEGATION
    """
    for part in reversed((path or "").split("/")):
        if re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,250}\.(service|scope)", part):
            return part.removeprefix("_")
    return None


@dataclass(frozen=True, slots=True)
class Container:
    """how: docker, containerd, crio, podman, kubepods or lxc: the pattern that matched."""

    id: str
    how: str


_CONTAINERS = (
    ("docker", re.compile(r"/docker(?:-|/)([0-9a-f]{64})(?:\.scope)?(?:/|$)")),
    ("containerd", re.compile(r"cri-containerd[-:]([0-9a-f]{64})(?:\.scope)?(?:/|$)")),
    ("crio", re.compile(r"/crio-([0-9a-f]{64})(?:\.scope)?(?:/|$)")),
    ("podman", re.compile(r"/libpod-(?:payload-)?([0-9a-f]{64})(?:\.scope)?(?:/|$)")),
    ("kubepods", re.compile(r"kubepods.*/([0-9a-f]{64})(?:/|$)")),
    ("containerd", re.compile(r"^/(?:default|k8s\.io|moby)/([0-9a-f]{64})(?:/|$)")),
    ("lxc", re.compile(r"/lxc(?:\.payload)?[./]([A-Za-z0-9_.-]{1,64})(?:/|$)")),
)


def container_of(path: str | None) -> Container | None:
    """The container that a cgroup path names, the innermost where they nest."""
    found: tuple[int, Container] | None = None
    for how, pattern in _CONTAINERS:
        for match in pattern.finditer(path or ""):
            if found is None or match.start(1) > found[0]:
                found = (match.start(1), Container(match[1], how))
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class OomCounters:
    """Counters of one cgroup; None: this Linux does not print it (v1 has no oom, oom_group_kill)."""

    oom: int | None = None
    oom_kill: int | None = None
    oom_group_kill: int | None = None


def parse_memory_events(data: bytes) -> OomCounters:
    """v2 memory.events and memory.events.local."""
    numbers = _flat_keyed(data)
    return OomCounters(
        oom=numbers.get(b"oom"),
        oom_kill=numbers.get(b"oom_kill"),
        oom_group_kill=numbers.get(b"oom_group_kill"),
    )


def parse_oom_control(data: bytes) -> OomCounters:
    """v1 memory.oom_control: its oom_kill (Linux 4.13) is the victim's cgroup's own."""
    return OomCounters(oom_kill=_flat_keyed(data).get(b"oom_kill"))


def _flat_keyed(data: bytes) -> dict[bytes, int]:
    rows = (line.split() for line in data.split(b"\n"))
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def parse_cgroup_bytes(data: bytes) -> int | None:
    """One number of bytes (usage, peak, limit); None for `max` and v1's own "no limit"."""
    value = data.strip()
    if not value.isdigit() or int(value) >= UNLIMITED_BYTES:
        return None
    return int(value)


def memory_mounts(mounts: tuple[Mount, ...]) -> dict[int, Mount]:
    """Where cgroup v1's memory controller and cgroup v2 are mounted, by version; the first of each."""
    found: dict[int, Mount] = {}
    for mount in mounts:
        if mount.fs_type == "cgroup2":
            found.setdefault(2, mount)
        elif mount.fs_type == "cgroup" and "memory" in mount.super_options:
            found.setdefault(1, mount)
    return found
