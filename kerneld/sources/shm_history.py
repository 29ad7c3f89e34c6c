"""How full each /dev/shm was in the last seconds: its victim's end may free it."""

import os
import threading
from collections import deque
from datetime import UTC, datetime

from kerneld.model.readings import ShmReading
from kerneld.proc.shm import open_shm, room

KEPT = 64
"""3 s at 20 Hz"""
WINDOW_S, LATE_S = 2.0, 0.5


class ShmHistory:
    """One tmpfs. One thread samples, the owner asks; members: the processes that see it."""

    def __init__(self, fd: int) -> None:
        self.members = 0
        self._fd = fd
        self._seen: deque[tuple[float, int, int]] = deque(maxlen=KEPT)
        self._closing = threading.Lock()

    def sample(self, now_s: float) -> None:
        with self._closing:
            if self._fd >= 0:
                self._seen.append((now_s, *room(self._fd)))

    def fullest(self, died_s: float, died_at: datetime, now_s: float) -> ShmReading | None:
        """The least room from WINDOW_S before a death until its telling."""
        if not self._seen or self._seen[-1][0] < died_s:
            self.sample(now_s)  # of many deaths at once, once: each more pushed out one from before
        first_s, last_s = died_s - WINDOW_S, died_s + LATE_S
        seen = list(self._seen)
        near = [(free, at_s, size) for at_s, size, free in seen if first_s <= at_s <= last_s]
        if not near:
            return None
        free, at_s, size = min(near)
        at = datetime.fromtimestamp(died_at.timestamp() + at_s - died_s, UTC)
        return ShmReading(size_bytes=size, free_bytes=free, at=at)

    def close(self) -> None:
        with self._closing:
            os.close(self._fd)
            self._fd = -1


class ShmHistories:
    """One history a tmpfs, however many processes see it. Owned by the sampler's thread."""

    def __init__(self, proc_root: str) -> None:
        self._proc_root = proc_root
        self._of: dict[int, ShmHistory] = {}

    def join(self, pid: int, now_s: float) -> ShmHistory | None:
        fd = open_shm(pid, proc_root=self._proc_root)
        if fd is None:
            return None
        device = os.fstat(fd).st_dev
        history = self._of.get(device)
        if history is None:
            history = self._of[device] = ShmHistory(fd)
            history.sample(now_s)
        else:
            os.close(fd)
        history.members += 1
        return history

    def leave(self, history: ShmHistory | None) -> None:
        if history is None:
            return
        history.members -= 1
        if history.members == 0:
            self._of = {device: one for device, one in self._of.items() if one is not history}
            history.close()

    def sample(self, now_s: float) -> None:
        for history in self._of.values():
            history.sample(now_s)
