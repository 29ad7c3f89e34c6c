"""What the memory source knows around a death: of the process itself, or of the tree of a worker."""

from datetime import datetime
from typing import Protocol

from kerneld.model.case import Case
from kerneld.model.cells import Held
from kerneld.model.living import TrackedLife
from kerneld.model.process import ProcessKey
from kerneld.model.readings import CgroupDelta, MemoryAccount
from kerneld.model.vocabulary import Scope


class Memory(Protocol):
    """What the owner asks of the memory source; safe from its thread."""

    def account(self, key: ProcessKey, died_at: datetime) -> MemoryAccount: ...

    def tree_account(self, key: ProcessKey, died_at: datetime) -> MemoryAccount: ...

    def cgroup_delta(self, key: ProcessKey, died_at: datetime) -> CgroupDelta | None: ...

    def held(self, key: ProcessKey, since: datetime, until: datetime) -> Held | None: ...

    def mark_busy(self, key: ProcessKey, busy: bool) -> None: ...


def at_death(
    memory: Memory, life: TrackedLife, died_at: datetime
) -> tuple[MemoryAccount, CgroupDelta | None]:
    """A worker is not sampled by itself: its kernel is, with all its children."""
    if life.scope is not Scope.WORKER or life.kernel is None:
        key = life.process.key
        return memory.account(key, died_at), memory.cgroup_delta(key, died_at)
    kernel = life.kernel.process
    shared = kernel.cgroup == life.process.cgroup
    delta = memory.cgroup_delta(kernel.key, died_at) if shared else None
    return memory.tree_account(kernel.key, died_at), delta


def at_settling(memory: Memory, case: Case) -> tuple[MemoryAccount | None, CgroupDelta | None]:
    """The last look; nothing new of a worker, whose kernel has gone on since."""
    if not case.observed or case.scope is Scope.WORKER:
        return None, None
    key = case.process.key
    return memory.account(key, case.died_at), memory.cgroup_delta(key, case.died_at)
