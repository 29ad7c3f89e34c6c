"""The processes that name one connection file into kernel, wrappers and workers.

The kernel is the one that listens on the file's ports and has no ancestor that does. Before anybody
listens: a process with the command line of its own ancestor is a fork of it (a worker); one with
another command line makes that ancestor a wrapper, as `sh -c` is.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kerneld.model.facts import ProcessSeen
from kerneld.model.process import Connection, ProcessKey
from kerneld.model.session import Session


class Role(StrEnum):
    KERNEL = "kernel"
    WRAPPER = "wrapper"
    WORKER = "worker"


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
    """One connection file: what it says, who names it, what its kernel last said.

    confirmed_pids: the last kernels of it, dead ones too: a fork keeps their process group.
    """

    handle: int
    owner_uid: int
    connection: Connection | None = None
    problem: str = ""
    listening: bool = False
    lives: dict[ProcessKey, Life] = field(default_factory=dict)
    confirmed_pids: deque[int] = field(default_factory=lambda: deque(maxlen=8))
    ended_kernels: int = 0
    session: Session = field(default_factory=Session)
    empty_since: datetime | None = None

    def kernels(self) -> list[Life]:
        return [life for life in self.lives.values() if life.role is Role.KERNEL]

    def ancestors_of(self, seen: ProcessSeen) -> list[Life]:
        return [life for life in self.lives.values() if life.pid in seen.parents]

    def is_worker(self, seen: ProcessSeen) -> bool:
        """A fork of a kernel, or of its worker, or one that outlived them."""
        process = seen.process
        if seen.orphaned_fork or (process.pgid != process.pid and process.pgid in self.confirmed_pids):
            return True
        return any(
            life.confirmed or life.role is Role.WORKER or life.seen.argv_digest == seen.argv_digest
            for life in self.ancestors_of(seen)
        )

    def is_below_a_kernel(self, life: Life) -> bool:
        """Inherited sockets listen as well: only the topmost that does is the kernel."""
        return any(other.confirmed for other in self.ancestors_of(life.seen))
