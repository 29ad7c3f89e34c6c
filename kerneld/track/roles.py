"""The processes that name one connection file into kernel, wrappers and workers.

The kernel is the one that listens on the file's ports and has no ancestor that does. Before anybody
listens: a process with the command line of its own ancestor is a fork of it (a worker, or a subshell);
one with another command line makes that ancestor a wrapper, as `sh -c` is.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kerneld.model.facts import ProcessSeen
from kerneld.model.process import Connection, ProcessKey
from kerneld.model.session import Session


class Role(StrEnum):
    KERNEL = "kernel"
    WRAPPER = "wrapper"
    FORK = "fork"
    """of a process that may be the kernel or its wrapper: nobody listens yet"""
    WORKER = "worker"
    """below a kernel"""


@dataclass(slots=True)
class Life:
    """One process that names a connection file. confirmed: it was seen listening on its ports."""

    seen: ProcessSeen
    watched_since: datetime
    role: Role = Role.KERNEL
    confirmed: bool = False

    @property
    def pid(self) -> int:
        return self.seen.process.pid

    @property
    def key(self) -> ProcessKey:
        return self.seen.process.key


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

    def kernels(self) -> list[Life]:
        return [life for life in self.lives.values() if life.role is Role.KERNEL]

    def ancestors_of(self, seen: ProcessSeen) -> list[Life]:
        return [life for life in self.lives.values() if life.pid in seen.parents]

    def role_of(self, seen: ProcessSeen) -> Role:
        above = self.ancestors_of(seen)
        if seen.orphaned_fork or any(life.confirmed or life.role is Role.WORKER for life in above):
            return Role.WORKER
        if any(life.seen.argv_digest == seen.argv_digest for life in above):
            return Role.FORK
        return Role.KERNEL

    def is_below_a_kernel(self, life: Life) -> bool:
        """Inherited sockets listen as well: only the topmost that does is the kernel."""
        return any(other.confirmed for other in self.ancestors_of(life.seen))
