"""The processes that are watched, by pid and counted by user: nobody has more than a share."""

import logging
import os
from collections import Counter

from kerneld.model.process import Process

log = logging.getLogger(__name__)

PROCESSES_PER_KERNEL = 8
"""forks carry the command line of their kernel, and each costs a descriptor"""


class Known:
    """Owned by the discovery thread."""

    def __init__(self, *, max_kernels_per_user: int) -> None:
        self._max_kernels = max_kernels_per_user
        self._by_pid: dict[int, tuple[Process, bytes]] = {}
        self._of_user: Counter[int] = Counter()
        self._told: set[int] = set()

    def __contains__(self, pid: object) -> bool:
        return pid in self._by_pid

    def get(self, pid: int) -> tuple[Process, bytes]:
        """The process as it was read last, and its cgroups then."""
        return self._by_pid[pid]

    def items(self) -> list[tuple[int, tuple[Process, bytes]]]:
        return list(self._by_pid.items())

    def put(self, process: Process, groups: bytes) -> None:
        self.drop(process.pid)
        self._by_pid[process.pid] = process, groups
        self._of_user[process.uid] += 1

    def drop(self, pid: int) -> None:
        gone = self._by_pid.pop(pid, None)
        if gone is not None:
            self._of_user[gone[0].uid] -= 1

    def is_one_too_many(self, pid: int, *, files: Counter[int], proc_root: str) -> bool:
        """Whether this process's user has a full share of files or of processes; told once a user.

        files: how many connection files of each user have a number.
        """
        try:
            uid = os.stat(f"{proc_root}/{pid}").st_uid
        except OSError:
            return False
        processes = PROCESSES_PER_KERNEL * self._max_kernels
        if files[uid] < self._max_kernels and self._of_user[uid] < processes:
            return False
        if uid not in self._told:
            self._told.add(uid)
            words = (
                "uid %d has more than %d kernels or %d processes of kernels: the rest is not watched"
            )
            log.warning(words, uid, self._max_kernels, processes)
        return True
