"""The processes that are watched, by pid and counted by user: nobody has more than a share."""

import logging
import os
import time
from collections import Counter

from kerneld.model.process import Process
from kerneld.proc.pidfd import is_still

log = logging.getLogger(__name__)

PROCESSES_PER_KERNEL = 8
"""forks carry the command line of their kernel, and each costs a descriptor"""
FILES_PER_KERNEL = 4
"""a file keeps its number for 60 s after its kernel's end: short notebooks come 300 a minute"""
LOOKED_AGAIN_S = 0.5
TOLD_AGAIN_S = 60.0


class Known:
    """Owned by the discovery thread."""

    def __init__(self, *, max_kernels_per_user: int) -> None:
        self._max_kernels = max_kernels_per_user
        self._by_pid: dict[int, tuple[Process, bytes]] = {}
        self._handle_of: dict[int, int] = {}
        self._of_user: Counter[int] = Counter()
        self._files: dict[int, Counter[int]] = {}
        self._looked_at: dict[int, float] = {}
        self._refused_at: dict[int, float] = {}

    def __contains__(self, pid: object) -> bool:
        return pid in self._by_pid

    def get(self, pid: int) -> tuple[Process, bytes]:
        """The process as it was read last, and its cgroups then."""
        return self._by_pid[pid]

    def items(self) -> list[tuple[int, tuple[Process, bytes]]]:
        return list(self._by_pid.items())

    def files_of(self, uid: int) -> int:
        """How many connection files have a process of this user that lives."""
        return len(self._files.get(uid, ()))

    def put(self, process: Process, groups: bytes, handle: int) -> None:
        self.drop(process.pid)
        self._by_pid[process.pid] = process, groups
        self._handle_of[process.pid] = handle
        self._of_user[process.uid] += 1
        self._files.setdefault(process.uid, Counter())[handle] += 1

    def renew(self, process: Process, groups: bytes) -> None:
        """The same process as it was read anew."""
        self.put(process, groups, self._handle_of[process.pid])

    def drop(self, pid: int) -> None:
        gone = self._by_pid.pop(pid, None)
        if gone is None:
            return
        uid, handle = gone[0].uid, self._handle_of.pop(pid)
        self._of_user[uid] -= 1
        self._files[uid][handle] -= 1
        if not self._files[uid][handle]:
            del self._files[uid][handle]

    def is_one_too_many(self, pid: int, *, files: Counter[int], proc_root: str) -> bool:
        """Whether this process's user has a full share of kernels, processes or files.

        files: how many connection files of each user have a number, those of the dead among them.
        """
        try:
            uid = os.stat(f"{proc_root}/{pid}").st_uid
        except OSError:
            return False
        if not self._is_full(uid, files):
            return False
        self._drop_dead(uid, proc_root)
        if not self._is_full(uid, files):
            return False
        self._log(uid)
        return True

    def _is_full(self, uid: int, files: Counter[int]) -> bool:
        return (
            self.files_of(uid) >= self._max_kernels
            or self._of_user[uid] >= PROCESSES_PER_KERNEL * self._max_kernels
            or files[uid] >= FILES_PER_KERNEL * self._max_kernels
        )

    def _drop_dead(self, uid: int, proc_root: str) -> None:
        """Zombies too: a manager may reap late, or never."""
        now = time.monotonic()
        if now - self._looked_at.get(uid, float("-inf")) < LOOKED_AGAIN_S:
            return
        self._looked_at[uid] = now
        for pid, (process, _) in self.items():
            if process.uid == uid and not is_still(proc_root, process.key):
                self.drop(pid)

    def _log(self, uid: int) -> None:
        """Whose share it is, once a minute at most while it lasts, and once for each time."""
        now = time.monotonic()
        if now - self._refused_at.get(uid, float("-inf")) >= TOLD_AGAIN_S:
            words = "uid %d has more than %d kernels (or %d processes): the rest is not watched"
            log.warning(words, uid, self._max_kernels, PROCESSES_PER_KERNEL * self._max_kernels)
        self._refused_at[uid] = now
