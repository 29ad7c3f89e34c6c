"""Deaths while no daemon ran, found by the next one; and, by a changed boot id, in another boot."""

import shutil
import signal
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from cells import GROW_SLOWLY, NULL_READ
from deaths import CGROUP_LIMIT
from jupyters import BareKernel, KernelClient
from memcg import MemoryCgroup
from recorders import KeepingDaemon
from rig import PLAIN, Person, Witness, World, wait_for
from stage import Life

from kerneld.model.vocabulary import State


def _killed(kernel: BareKernel) -> None:
    kernel.kill(signal.SIGKILL)


def _segfault(kernel: BareKernel) -> None:
    _run_to_death(kernel, NULL_READ)


def _out_of_memory(kernel: BareKernel) -> None:
    with MemoryCgroup(f"absent-{kernel.pid}", CGROUP_LIMIT) as group:
        group.take(kernel.pid)
        _run_to_death(kernel, GROW_SLOWLY)
        kernel.reap()


def _run_to_death(kernel: BareKernel, code: str) -> None:
    client = KernelClient(kernel.connection_file)
    witness = Witness(kernel.pid)
    client.begin(code)
    witness.wait_dead(60)
    client.close()


SCENARIOS: dict[str, Callable[[BareKernel], None]] = {
    "absent-killed": _killed,
    "absent-segfault": _segfault,
    "absent-oom": _out_of_memory,
    "rebooted": _killed,
}
ASSEMBLED = {"rebooted": {"assembled": "in the daemon's database its life had another boot's id"}}
Recorders = dict[tuple[str, str], KeepingDaemon]


def play(world: World, names: set[str]) -> tuple[dict[str, list[Life]], Recorders]:
    """The lives that ended unseen, and which daemon found which."""
    lives: dict[str, list[Life]] = {}
    recorders: Recorders = {}
    if not names:
        return lives, recorders
    first = {role: KeepingDaemon(world.role(role), "absent") for role in ("root", "plain")}
    kernels = {name: BareKernel(world.plain) for name in names}
    try:
        for daemon in first.values():
            daemon.start()
        _await_watched(first["root"], kernels.values())
        _await_watched(first["plain"], kernels.values())
        for daemon in first.values():
            daemon.kill()
        for name, kernel in kernels.items():
            SCENARIOS[name](kernel)
            kernel.reap()
            lives[name] = [Life(kernel.pid, PLAIN, died_at=datetime.now(UTC))]
        rebooted = _in_another_boot(first["root"], world.root)
        for role, daemon in first.items():
            recorders |= {(name, role): daemon for name in names}
        recorders["rebooted", "root"] = rebooted
        pids = {kernel.pid for kernel in kernels.values()}
        for daemon in (*first.values(), rebooted):
            daemon.start()
            wait_for(lambda daemon=daemon: pids <= _settled(daemon), 40, "the absent settled")  # type: ignore[misc]
            daemon.end()
    finally:
        for daemon in first.values():
            daemon.end()
        for kernel in kernels.values():
            kernel.close()
    return lives, recorders


def _in_another_boot(daemon: KeepingDaemon, person: Person) -> KeepingDaemon:
    """A copy of its database in which every tracked life belongs to a boot that never was."""
    copy = KeepingDaemon(person, "rebooted")
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{daemon.db}{suffix}").exists():
            shutil.copy(f"{daemon.db}{suffix}", f"{copy.db}{suffix}")
    with closing(sqlite3.connect(copy.db)) as db, db:
        (now,) = db.execute("SELECT boot_id FROM tracked").fetchone()
        columns = [row[1] for row in db.execute("PRAGMA table_info(tracked)")]
        other = str(uuid.uuid4())
        for column in (columns[0], columns[-1]):
            db.execute(f"UPDATE tracked SET {column} = replace({column}, ?, ?)", (now, other))
    return copy


def _await_watched(daemon: KeepingDaemon, kernels: object) -> None:
    """Until it has noted each as a kernel that answered."""
    pids = {kernel.pid for kernel in kernels}  # type: ignore[attr-defined]

    def noted() -> bool:
        with closing(sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT pid FROM tracked WHERE document LIKE '%\"confirmed\":true%'"
            ).fetchall()
        return pids <= {pid for (pid,) in rows}

    wait_for(noted, 30, f"kernels {pids} noted")


def _settled(daemon: KeepingDaemon) -> set[int]:
    return {end.process.pid for end in daemon.ends() if end.state is State.SETTLED}
