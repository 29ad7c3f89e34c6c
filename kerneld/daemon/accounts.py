"""What the owner asks about a process's memory: how much it held, and which lines grew it."""

from datetime import datetime

from kerneld.model.cells import Held
from kerneld.model.process import ProcessKey
from kerneld.model.readings import CgroupDelta, MemoryAccount
from kerneld.sources.memory import MemorySource
from kerneld.sources.places import PlacesSource
from kerneld.sources.stacks import StacksSource


class Accounts:
    """Safe from the owner's thread. stacks, places: None where there is no reader process."""

    def __init__(
        self, memory: MemorySource, stacks: StacksSource | None, places: PlacesSource | None
    ) -> None:
        self._memory = memory
        self._stacks = stacks
        self._places = places

    def account(self, key: ProcessKey, died_at: datetime) -> MemoryAccount:
        account = self._memory.account(key, died_at)
        growth = self._stacks.account(key) if self._stacks else None
        return account if growth is None else account.model_copy(update={"growth": growth})

    def tree_account(self, key: ProcessKey, died_at: datetime) -> MemoryAccount:
        return self._memory.tree_account(key, died_at)

    def cgroup_delta(self, key: ProcessKey, died_at: datetime) -> CgroupDelta | None:
        return self._memory.cgroup_delta(key, died_at)

    def held(self, key: ProcessKey, since: datetime, until: datetime) -> Held | None:
        return self._memory.held(key, since, until)

    def mark_busy(self, key: ProcessKey, busy: bool) -> None:
        self._memory.mark_busy(key, busy)
        if self._stacks is not None:
            self._stacks.mark_busy(key, busy)
        if self._places is not None:
            self._places.mark_busy(key, busy)
