"""The host's memory in the last seconds: what was left of it, and how much everybody waited for it."""

from collections import deque
from dataclasses import dataclass

from kerneld.model.readings import MemoryAccount
from kerneld.parse.pressure import told_pressure
from kerneld.parse.procfs import Meminfo
from kerneld.proc.memory import HostMemory

KEPT = 40
BUSY_S = 0.25
SHORT_SHARE, URGENT_SHARE = 0.2, 0.1
"""of the host's memory: with less left, who holds much is looked at more often"""
NOTHING = Meminfo(None, None, None, None)


@dataclass(frozen=True, slots=True)
class HostReading:
    """pressure: as Linux words it, unparsed: it is hardly ever asked for."""

    at_s: float
    memory: Meminfo = NOTHING
    pressure: bytes = b""


class HostHistory:
    """One thread opens, samples and closes; the owner asks."""

    def __init__(self, proc_root: str) -> None:
        self._proc_root = proc_root
        self._source: HostMemory | None = None
        self._seen: deque[HostReading] = deque(maxlen=KEPT)

    def open(self) -> None:
        self._source = HostMemory(self._proc_root)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def sample(self, now_s: float) -> None:
        if self._source is not None:
            reading = HostReading(now_s, self._source.read(), self._source.pressure())
            self._seen.append(reading)

    def sample_busy(self, now_s: float) -> None:
        if now_s - self.last.at_s >= BUSY_S:
            self.sample(now_s)

    @property
    def last(self) -> HostReading:
        return self._seen[-1] if self._seen else HostReading(0.0)

    def account(self, died_s: float) -> MemoryAccount:
        """The host's part of an account, by the last reading before a death."""
        seen = reversed(list(self._seen))
        host = next((one for one in seen if one.at_s <= died_s), HostReading(0.0))
        return MemoryAccount(
            host_total_bytes=host.memory.total_bytes,
            host_available_bytes=host.memory.available_bytes,
            host_swap_free_bytes=host.memory.swap_free_bytes,
            psi_memory=told_pressure(host.pressure),
        )

    def short_of(self) -> int | None:
        """The host's memory in all, while little of it is left."""
        return self._total_if_below(SHORT_SHARE)

    @property
    def is_urgent(self) -> bool:
        return self._total_if_below(URGENT_SHARE) is not None

    def _total_if_below(self, share: float) -> int | None:
        total, free = self.last.memory.total_bytes, self.last.memory.available_bytes
        return total if total and free is not None and free < share * total else None
