"""The processes that name one connection file into kernel, wrappers and workers.

The kernel is the one that listens on the file's ports and has no ancestor that does. Before anybody
listens: a process with the command line of its own ancestor is a fork of it (a worker, or a subshell);
one with another command line makes that ancestor a wrapper, as `sh -c` is. A program that is no known
kernel and that nothing of Jupyter started (`tail -f FILE`) is none until it listens.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kerneld.model.facts import ProcessSeen
from kerneld.model.process import Connection, ProcessKey
from kerneld.model.session import Session


class Role(StrEnum):
    KERNEL = "kernel"
    CANDIDATE = "candidate"
    """names the file, and nothing else speaks for a kernel yet"""
    WRAPPER = "wrapper"
    FORK = "fork"
    """of a process that may be the kernel or its wrapper: nobody listens yet"""
    WORKER = "worker"
    """below a kernel"""


@dataclass(slots=True)
class Life:
    """One process that names a connection file.

    confirmed: it was seen listening on its ports. begun: it was taken for a kernel at some time.
    silent_at: the last look that found it not listening.
    """

    seen: ProcessSeen
    watched_since: datetime
    role: Role = Role.CANDIDATE
    confirmed: bool = False
    begun: bool = False
    silent_at: datetime | None = None

    @property
    def pid(self) -> int:
        return self.seen.process.pid

    @property
    def key(self) -> ProcessKey:
        return self.seen.process.key

    @property
    def is_likely(self) -> bool:
        """A known kernel by its command line, or started by what starts kernels."""
        return self.seen.implementation != "other" or self.seen.begun_by_jupyter


@dataclass(slots=True)
class ConnectionFile:
    """One connection file: what it says, who names it, what its kernel last said."""

    handle: int
    owner_uid: int
    connection: Connection | None = None
    problem: str = ""
    listening: bool = False
    lives: dict[ProcessKey, Life] = field(default_factory=dict)
    ended_kernels: int = 0
    session: Session = field(default_factory=Session)
    empty_since: datetime | None = None

    def probed(self) -> list[Life]:
        """Those that are kernels once they listen."""
        return [one for one in self.lives.values() if one.role in (Role.KERNEL, Role.CANDIDATE)]

    def kernels(self) -> list[Life]:
        return [life for life in self.lives.values() if life.role is Role.KERNEL]

    def ancestors_of(self, seen: ProcessSeen) -> list[Life]:
        return [life for life in self.lives.values() if life.pid in seen.parents]

    def role_of(self, life: Life, files: Iterable["ConnectionFile"]) -> Role:
        """What a process is as long as it was not seen listening.

        A fork that is gone before its root is known has a file of its own, that of its parent's path.
        """
        seen = life.seen
        above = [
            *self.ancestors_of(seen),
            *(namesakes_above(life, files) if seen.connection_file else ()),
        ]
        if seen.orphaned_fork or any(one.confirmed or one.role is Role.WORKER for one in above):
            return Role.WORKER
        if any(one.seen.argv_digest == seen.argv_digest for one in above):
            return Role.FORK
        served = any(one.confirmed for one in self.lives.values() if one is not life)
        return Role.KERNEL if life.is_likely and not served else Role.CANDIDATE

    def is_below_a_kernel(self, life: Life) -> bool:
        """Inherited sockets listen as well: only the topmost that does is the kernel."""
        return any(other.confirmed for other in self.ancestors_of(life.seen))


def wrappers_of(life: Life, files: Iterable[ConnectionFile]) -> list[Life]:
    """Of a kernel; who was seen listening is none, whatever is below it."""
    return [one for one in namesakes_above(life, files) if not one.confirmed]


def namesakes_above(life: Life, files: Iterable[ConnectionFile]) -> list[Life]:
    """Its ancestors that name the same path; by sudo or runuser they are another user's."""
    path, parents = life.seen.connection_file, life.seen.parents
    lives = (one for file in files for one in file.lives.values())
    return [one for one in lives if one.pid in parents and one.seen.connection_file == path]


def is_wrapper(life: Life, files: Iterable[ConnectionFile]) -> bool:
    """Whether a kernel of the same path is below it."""
    path = life.seen.connection_file
    lives = (one for file in files for one in file.kernels())
    return any(life.pid in one.seen.parents and one.seen.connection_file == path for one in lives)


def kernel_above(
    files: Iterable[ConnectionFile], parents: tuple[int, ...]
) -> tuple[Life, ConnectionFile] | None:
    """The nearest living kernel among these pids."""
    kernels = {life.pid: (life, file) for file in files for life in file.kernels()}
    return next((kernels[pid] for pid in parents if pid in kernels), None)
