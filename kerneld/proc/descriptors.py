"""How many files this process may still open, with some kept for those that are watched already."""

import os
import resource
import time

SPARE = 32
"""for the store, the reader's next start, and the reading of a death: 12 at once were seen"""
FOR_A_KERNEL = 12
"""its pidfd and its server's, its file here and at the reader, memory and the cgroup's counters"""
COUNTED_EVERY_S = 0.5
"""a count of 1,000 takes 0.2 ms"""


class Descriptors:
    """Room for new kernels. Counted anew now and then, and reckoned in between."""

    def __init__(self, *, spare: int = SPARE) -> None:
        self._spare = spare
        self._left = 0
        self._counted_at = float("-inf")

    @property
    def limit(self) -> int:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def take(self, number: int = FOR_A_KERNEL) -> bool:
        """Whether so many may be opened; they are reckoned as open from now on."""
        if time.monotonic() - self._counted_at >= COUNTED_EVERY_S:
            self._counted_at = time.monotonic()
            self._left = self.limit - self._spare - _open_now()
        if self._left < number:
            return False
        self._left -= number
        return True


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:  # none is left for the listing itself
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
