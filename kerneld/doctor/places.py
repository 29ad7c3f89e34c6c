"""Where kerneld keeps what it knows: database, runtime folder; and how it is scheduled."""

import errno
import os
import pwd
import stat
from pathlib import Path

from kerneld.doctor.check import Check
from kerneld.errors import StoreError
from kerneld.parse.mounts import filesystem_type
from kerneld.places import Paths
from kerneld.proc.files import is_slow
from kerneld.proc.machine import room_bytes
from kerneld.store.wholeness import CHECK_S, Wholeness, look_over

LITTLE_SPACE_BYTES = 64 << 20
_MAGIC = b"SQLite format 3\0"
_IN_MEMORY = ("tmpfs", "ramfs")
_POLICIES = {os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}


def examine_places(paths: Paths, *, daemon_pid: int | None) -> list[Check]:
    """daemon_pid: None where none runs; its folders are then tried for this process."""
    checks = [
        database(paths.database, daemon_runs=daemon_pid is not None),
        runtime_folder(paths.runtime_dir),
    ]
    if daemon_pid is not None:
        checks.append(scheduling(daemon_pid))
    return checks


def database(path: Path, *, daemon_runs: bool) -> Check:
    """What is there is opened for reading; that its folder can be written is tried without a trace."""
    name = "database"
    folder = _existing(path.parent)
    if is_slow(str(folder)):
        return Check(
            name=name,
            works=False,
            says=f"{path} is on a network filesystem",
            costs="Hosts that share it can damage it.",
            remedy="d=/var/tmp/kerneld-$(id -u); mkdir -pm700 $d; kerneld run --db $d/kerneld.db",
        )
    problem = _read_problem(path) or ("" if daemon_runs else _write_problem(folder))
    if problem:
        remedy = f"sudo chown -R {_me()} {folder}" if _is_mistaken(folder, path) else ""
        return Check(name=name, works=False, says=problem, costs="Nothing is recorded.", remedy=remedy)
    try:
        found = look_over(path) if path.exists() and path.stat().st_size else Wholeness()
    except StoreError as untold:
        return Check(name=name, works=False, says=str(untold), costs="Nothing of it is told.")
    if found.damage:
        costs = "The recorder's next start sets it aside, and saves what can be read of it."
        return Check(name=name, works=False, says=f"{path} is damaged: {found.damage}", costs=costs)
    free_bytes = room_bytes(folder)
    if free_bytes < LITTLE_SPACE_BYTES:
        says = f"{path}: {free_bytes >> 20} MiB are free"
        return Check(name=name, works=False, says=says, costs="A full disk takes no incident.")
    there = f"{path.stat().st_size / (1 << 20):.1f} MiB" if path.exists() else "not made yet"
    part = "" if found.is_all else f"; no damage found in {CHECK_S:.0f} s, not all of it looked at"
    return Check(name=name, works=True, says=f"{path} ({there}, {free_bytes >> 20:,} MiB free{part})")


def runtime_folder(folder: Path) -> Check:
    """Where the living are written every 2 s: best in memory."""
    name = "runtime folder"
    there = _existing(folder)
    problem = _write_problem(there)
    if problem:
        costs = "What lives now is not shown by `kerneld kernels`."
        return Check(name=name, works=False, says=problem, costs=costs)
    with open("/proc/self/mountinfo", "rb") as mounts:
        kind = filesystem_type(mounts.read(), os.path.abspath(there))
    if kind in _IN_MEMORY:
        return Check(name=name, works=True, says=f"{folder} (in memory)")
    costs = f"It is on disk ({kind}), not in memory: a small write every 2 s."
    return Check(name=name, works=None, says=str(folder), costs=costs)


def scheduling(pid: int) -> Check:
    """Whether a death is judged at once on a busy machine."""
    name = "scheduling"
    try:
        policy = os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK
        nice = os.getpriority(os.PRIO_PROCESS, pid)
    except OSError as problem:
        return Check(name=name, works=None, says=f"process {pid}: {problem.strerror}")
    if policy in _POLICIES:
        return Check(name=name, works=True, says=_POLICIES[policy])
    if nice < 0:
        return Check(name=name, works=True, says=f"nice {nice}")
    return Check(
        name=name,
        works=None,
        says=f"nice {nice}",
        costs="On a busy machine the first verdict comes later.",
        remedy=f"sudo renice -n -10 -p {pid}",
    )


def _read_problem(path: Path) -> str:
    """Its first bytes are read; "" where it is not made yet, or still empty."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return f"{path}: it is no regular file"
        with open(path, "rb") as file:
            begin = file.read(len(_MAGIC))
    except FileNotFoundError:
        return ""
    except OSError as problem:
        return f"{path}: {problem.strerror}{_owned_by(path)}"
    return "" if begin in (b"", _MAGIC) else f"{path}: it is no database; name kerneld's with --db"


def _is_mistaken(folder: Path, path: Path) -> bool:
    """Whether another's folder or database is in this user's home; elsewhere it is others' by right."""
    if folder != path.parent or Path.home() not in Path(os.path.abspath(folder)).parents:
        return False
    return any(_owned_by(place) for place in (folder, path))


def _write_problem(folder: Path) -> str:
    """A file without a name is made and written there, and is gone when it is closed."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        if problem.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            return "" if os.access(folder, os.W_OK, effective_ids=True) else f"{folder}: not writable"
        return f"{folder}: {problem.strerror}{_owned_by(folder)}"
    try:
        os.write(fd, bytes(4096))
    except OSError as problem:
        return f"{folder}: {problem.strerror}"
    finally:
        os.close(fd)
    return ""


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while True:
        try:
            if folder.is_dir():
                return folder
        except PermissionError:
            pass
        folder = folder.parent


def _owned_by(path: Path) -> str:
    try:
        uid = path.stat().st_uid
    except OSError:
        return ""
    return "" if uid == os.geteuid() else f" (it belongs to {_name(uid)})"


def _me() -> str:
    return _name(os.geteuid())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
