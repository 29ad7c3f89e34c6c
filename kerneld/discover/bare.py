"""`python -m ipykernel` names no file: the one with its own pid in its name is waited for, a while.

Its own pid is the one that it has itself, in a container another than the host's.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass

from kerneld.discover.candidates import Door, pin
from kerneld.discover.folders import Folders, folders_of
from kerneld.discover.scan import Named
from kerneld.discover.table import FileTable
from kerneld.errors import UnsafeFile
from kerneld.model.facts import FileOpened
from kerneld.parse.argv import is_bare_ipykernel
from kerneld.proc.process import read_argv
from kerneld.proc.rooted import where

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 5.0
GIVES_UP_S = 30.0
"""a first start of ipykernel on a slow disk takes 10 s; later the file's appearance is told"""
LOOKS_A_TURN = 64
"""one costs 0.1 ms; 1,200 processes that were looked at ten times a second took 62 % of a core"""
_OWN_FILE = re.compile(r"/kernel-([1-9][0-9]{0,9})\.json$")


@dataclass(frozen=True, slots=True)
class Found:
    """A bare kernel with its file. opened: None where the file was open already."""

    named: Named
    opened: FileOpened | None


@dataclass(slots=True)
class _Waiting:
    named: Named
    uid: int
    since: float
    next_at: float
    pause_s: float = FIRST_PAUSE_S


class Bare:
    """The bare kernels whose file is not there yet: a share of them for each user."""

    def __init__(self, door: Door, table: FileTable, *, max_per_user: int) -> None:
        self._door = door
        self._table = table
        self._max_per_user = max_per_user
        self._waiting: dict[int, _Waiting] = {}
        self._of_user: Counter[int] = Counter()

    def add(self, named: Named, now: float) -> bool:
        """False: its user has a full share of those that wait."""
        try:
            uid = os.stat(f"{self._door.proc_root}/{named.pid}").st_uid
        except OSError:
            return True  # it is gone
        self._drop(named.pid)
        if self._of_user[uid] >= self._max_per_user:
            return False
        self._waiting[named.pid] = _Waiting(named, uid, now, now)
        self._of_user[uid] += 1
        return True

    def next_at(self) -> float | None:
        return min((one.next_at for one in self._waiting.values()), default=None)

    def look(self, now: float, folders: Folders) -> list[Found]:
        """Those whose file is there by now. Each is looked for ever more seldom, then no more."""
        due = [one for one in self._waiting.values() if one.next_at <= now][:LOOKS_A_TURN]
        found: list[Found] = []
        for one in due:
            one.next_at = now + one.pause_s
            one.pause_s = min(2 * one.pause_s, MAX_PAUSE_S)
            found += self._find(one.named, folders)
            if now - one.since > GIVES_UP_S:
                self._drop(one.named.pid)
        return found

    def appeared(self, path: str, folders: Folders) -> list[Found]:
        """The bare kernel that a new file's name tells of, whether it is waited for or not."""
        match = _OWN_FILE.search(path)
        if match is None:
            return []
        argv = read_argv(int(match[1]), proc_root=self._door.proc_root) or ()
        if not is_bare_ipykernel(list(argv)):
            return []
        return self._find(Named(int(match[1]), tuple(argv), None), folders)

    def _find(self, named: Named, folders: Folders) -> list[Found]:
        pinned = pin(named.pid, self._door)
        if pinned is None:
            self._drop(named.pid)
            return []
        os.close(pinned.pidfd)
        process = pinned.process
        for folder in folders_of(process):
            path = f"{folder}/kernel-{process.ns_pid or named.pid}.json"
            try:
                place = where(path, named.pid, (process.ppid,), proc_root=self._door.proc_root)
            except UnsafeFile:
                continue
            if place is None:
                folders.add(folder, process.uid)
            opened = self._table.open_named(process.uid, path, place)
            if opened is not None or self._table.is_open(process.uid, path, place):
                self._drop(named.pid)
                return [Found(Named(named.pid, named.argv, path), opened)]
        return []

    def _drop(self, pid: int) -> None:
        gone = self._waiting.pop(pid, None)
        if gone is not None:
            self._of_user[gone.uid] -= 1
