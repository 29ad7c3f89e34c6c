"""New processes and files into whether there is room for them; who is left out is told.

That some are is a source of its own, down while it lasts: doctor shows it, and cases are blind.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.discover.known import Known
from kerneld.discover.table import FileTable
from kerneld.model.facts import SourceState
from kerneld.proc.descriptors import Descriptors

FOR_A_FILE = 3
"""descriptors of a file without a kernel: here, on its way, and at the reader"""
NAME = "kernels"
LASTS_S = 30.0
"""who was left out is looked at again every 10 s"""


@dataclass(frozen=True, slots=True)
class Reason:
    """In words that every user's incidents may carry, and what mends it."""

    words: str
    remedy: str


def share_used_up(max_kernels: int) -> Reason:
    return Reason(
        f"a user has more than {max_kernels} kernels, and the rest of them is not watched",
        "raise discovery.max_kernels_per_user in kerneld's configuration",
    )


def descriptors_used_up(limit: int) -> Reason:
    return Reason(
        f"kerneld may open {limit:,} files at once, and keeps the last for those that it watches: "
        "a new kernel is not",
        "raise LimitNOFILE= of its service (or `ulimit -n`), and start it again",
    )


class Admission:
    """Owned by the discovery thread."""

    def __init__(
        self, processes: Known, table: FileTable, *, proc_root: str, max_kernels_per_user: int
    ) -> None:
        self._processes = processes
        self._table = table
        self._proc_root = proc_root
        self._max_kernels = max_kernels_per_user
        self._descriptors = Descriptors()
        self._left_out_at: dict[Reason, float] = {}
        self._told: tuple[Reason | None] | None = None

    def begin(self) -> None:
        """Tell the state at the next call of `news`, whatever it is."""
        self._told = None

    def admits(self, pid: int) -> bool:
        """Whether a process can be watched; those that are keep what they need."""
        if pid in self._processes:
            return True
        reason = self._against(pid)
        if reason is not None:
            self._left_out_at[reason] = time.monotonic()
        return reason is None

    def _against(self, pid: int) -> Reason | None:
        files = self._table.of_user
        if self._processes.is_one_too_many(pid, files=files, proc_root=self._proc_root):
            return share_used_up(self._max_kernels)
        if not self._descriptors.take():
            return descriptors_used_up(self._descriptors.limit)
        return None

    def admits_file(self, uid: int, path: str) -> bool:
        """A folder full of files costs a user's own share of descriptors, and no more."""
        if self._table.known(uid, path):
            return True
        idle = self._table.of_user[uid] - self._processes.files_of(uid)
        return idle < self._max_kernels and self._descriptors.take(FOR_A_FILE)

    def news(self) -> SourceState | None:
        """The state, where it is another one than was told last."""
        now = time.monotonic()
        self._left_out_at = {r: at for r, at in self._left_out_at.items() if now - at < LASTS_S}
        reason = next(iter(self._left_out_at), None)
        if self._told == (reason,):
            return None
        self._told = (reason,)
        words, remedy = (reason.words, reason.remedy) if reason else ("", "")
        return SourceState(datetime.now(UTC), NAME, reason is None, words, remedy)
