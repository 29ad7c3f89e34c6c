"""A cell that ended: how long it ran, and what the process held before, at most and after."""

from dataclasses import dataclass
from datetime import timedelta

from kerneld.model.base import CodeDigest, CodeLine, ErrorName, Record, Timestamp
from kerneld.model.vocabulary import Shortage

MOVED_BYTES = 4 << 20
"""less is noise"""
KEPT_CELLS = 16
"""of one kernel: 20 KiB"""


class FinishedCell(Record):
    """One that ended while the kernel lived. code: its first line that says something.

    before_bytes: resident as it began; change_bytes: as it ended, less that; peak_bytes: the most that
    was sampled meanwhile, a lower bound; all None where nothing was sampled.
    error: the exception that ended it; shortage: what it was short of, where the exception says that.
    """

    execution_count: int | None = None
    code: CodeLine | None = None
    sha256: CodeDigest | None = None
    started_at: Timestamp
    duration_s: float
    before_bytes: int | None = None
    change_bytes: int | None = None
    peak_bytes: int | None = None
    failed: bool = False
    error: ErrorName | None = None
    shortage: Shortage | None = None

    @property
    def took(self) -> timedelta:
        return timedelta(seconds=self.duration_s)

    @property
    def moved_memory(self) -> bool:
        """It left more or less behind, or held much for a while."""
        if self.change_bytes is None or self.peak_bytes is None or self.before_bytes is None:
            return False
        return max(abs(self.change_bytes), self.peak_bytes - self.before_bytes) >= MOVED_BYTES


@dataclass(frozen=True, slots=True)
class Held:
    """Resident bytes of a process before, at most during and after a span of time."""

    before_bytes: int
    peak_bytes: int
    after_bytes: int
