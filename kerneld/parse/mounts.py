"""mountinfo into mounts, and which of them a path is on."""

import re
from dataclasses import dataclass
from functools import lru_cache

from kerneld.parse.procfs import text_of


def mount_at(mountinfo: bytes, path: str, *, kind: str) -> tuple[int, int] | None:
    """The device (major, minor) of what is mounted there last; None unless it is of this kind.

    `36 35 0:23 / /dev/shm rw,nosuid shared:5 - tmpfs tmpfs rw`: the kind stands behind the dash.
    """
    found = None
    for line in mountinfo.splitlines():
        before, _, behind = line.partition(b" - ")
        fields, kinds = before.split(), behind.split()
        if len(fields) > 4 and fields[4] == path.encode() and kinds:
            major, _, minor = fields[2].partition(b":")
            numbers = major.isdigit() and minor.isdigit() and kinds[0] == kind.encode()
            found = (int(major), int(minor)) if numbers else None
    return found


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. device: `major:minor`; root: the part of it that is mounted there."""

    id: int
    root: str
    point: str
    fs_type: str
    super_options: tuple[str, ...]
    device: str


@lru_cache(maxsize=4)
def parse_mountinfo(data: bytes) -> tuple[Mount, ...]:
    """Mounts in the order they were made; optional fields end at a lone `-`.

    Remembered, for every path that is opened asks anew: 20 mounts take 0.2 ms to parse.
    """
    mounts: list[Mount] = []
    for line in data.split(b"\n"):
        fields = line.split(b" ")
        if b"-" not in fields[6:]:
            continue
        rest = fields[fields.index(b"-", 6) + 1 :]
        if len(rest) < 3:
            continue
        options = tuple(text_of(rest[2]).split(","))
        root, point = _unescape(fields[3]), _unescape(fields[4])
        number = int(fields[0]) if fields[0].isdigit() else 0
        mounts.append(Mount(number, root, point, text_of(rest[0]), options, text_of(fields[2])))
    return tuple(mounts)


def _unescape(field: bytes) -> str:
    """Linux prints blank, tab, newline and backslash as \\040, \\011, \\012 and \\134."""
    if b"\\" not in field:
        return text_of(field)
    plain = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8) & 0xFF]), field)
    return text_of(plain)


def mount_of(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """The mount that an absolute path lies on: the longest point, of equal ones the last made."""
    best: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def filesystem_type(mountinfo: bytes, path: str) -> str:
    """The type of the filesystem that an absolute path lies on, "" where it can't be told."""
    mount = mount_of(parse_mountinfo(mountinfo), path)
    return mount.fs_type if mount else ""


def place_of(mountinfo: bytes, path: str) -> tuple[str, str] | None:
    """Where an absolute path without links leads: (device, path inside its filesystem)."""
    mount = mount_of(parse_mountinfo(mountinfo), path)
    if mount is None:
        return None
    inside = path[len(mount.point.rstrip("/")) :]
    return mount.device, mount.root.rstrip("/") + inside
