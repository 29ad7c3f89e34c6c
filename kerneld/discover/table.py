"""Connection files by number: opened once and safely, kept open, so that a removal is seen by fstat.

Those of a process with another root, as in a container, are opened from there.
"""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.errors import UnsafeFile
from kerneld.model.facts import FileOpened, FileRemoved
from kerneld.model.process import Process
from kerneld.proc.files import FileStamp, open_connection_file, stamp, unlinked_at_ns
from kerneld.proc.rooted import Elsewhere, Root, open_in_root, where

_Name = tuple[int, str, Root | None]
NOWHERE = Elsewhere(Root(0, 0, 0), ())
"""for files that can't be looked for"""


@dataclass(frozen=True, slots=True)
class FileFound:
    """A file's number, why it will not be opened ("" if it may be), and if it is of another root."""

    handle: int
    problem: str = ""
    is_elsewhere: bool = False


@dataclass(slots=True)
class _Entry:
    uid: int
    path: str
    place: Elsewhere | None
    denied: bool = False
    fd: int = -1
    stamp: FileStamp | None = None
    problem: str = ""


class FileTable:
    """One number for each owner, path and root. Owned by the discovery thread."""

    def __init__(self, proc_root: str = "/proc") -> None:
        self._proc_root = proc_root
        self._entries: dict[int, _Entry] = {}
        self._numbers: dict[_Name, int] = {}
        self._next = 1
        self.of_user: Counter[int] = Counter()
        """how many files of each owner have a number"""

    def find(self, process: Process, path: str, above: tuple[int, ...]) -> FileFound:
        """The file that a process names; above: the process's ancestors."""
        if not path.startswith("/"):
            return self._denied(process.uid, path, "its path is not known here")
        try:
            place = where(path, process.pid, above, proc_root=self._proc_root)
        except UnsafeFile as refusal:
            return self._denied(process.uid, path, str(refusal))
        handle = self.number(process.uid, path, place)
        return FileFound(handle, self._entries[handle].problem, place is not None)

    def _denied(self, uid: int, path: str, problem: str) -> FileFound:
        """Never opened, for a reason; nor taken for a file of that name that lies here."""
        handle = self.number(uid, path, NOWHERE)
        entry = self._entries[handle]
        entry.problem, entry.denied = problem, True
        return FileFound(handle, problem, True)

    def number(self, uid: int, path: str, place: Elsewhere | None = None) -> int:
        """place: the root that the path belongs to, entered by these processes from now on."""
        name = _name(uid, path, place)
        found = self._numbers.get(name)
        if found is not None:
            self._entries[found].place = place
            return found
        handle, self._next = self._next, self._next + 1
        self._entries[handle] = _Entry(uid, path, place)
        self._numbers[name] = handle
        self.of_user[uid] += 1
        return handle

    def known(self, uid: int, path: str, place: Elsewhere | None = None) -> bool:
        return _name(uid, path, place) in self._numbers

    def is_open(self, uid: int, path: str, place: Elsewhere | None = None) -> bool:
        handle = self._numbers.get(_name(uid, path, place))
        return handle is not None and self._entries[handle].fd >= 0

    def is_elsewhere(self, handle: int) -> bool:
        """Whether it is a file of another root."""
        entry = self._entries.get(handle)
        return entry is not None and entry.place is not None

    def path(self, handle: int) -> str | None:
        entry = self._entries.get(handle)
        return entry.path if entry else None

    def refresh(self, handle: int) -> FileOpened | None:
        """Open the file if it is new or was written again since; None if there is nothing new.

        The fact's descriptor belongs to whoever takes the fact.
        """
        entry = self._entries.get(handle)
        if entry is None or entry.denied:
            return None
        try:
            fd = self._opened(entry)
        except FileNotFoundError:
            entry.problem = entry.problem or "there is no such file"
            return None
        except UnsafeFile as refusal:
            entry.problem = str(refusal)
            return None
        version = stamp(fd)
        if version == entry.stamp or not version.size_bytes:
            os.close(fd)
            return None
        self._close(entry)
        entry.fd, entry.stamp, entry.problem = fd, version, ""
        return FileOpened(datetime.now(UTC), handle, entry.path, os.dup(fd), entry.uid)

    def open_named(self, uid: int, path: str, place: Elsewhere | None = None) -> FileOpened | None:
        """The same for a path that no process names: one that can't be opened keeps no number.

        Removals of long gone files, and the folders where a bare kernel's file is not, took all
        of a user's numbers in time.
        """
        known = self.known(uid, path, place)
        handle = self.number(uid, path, place)
        opened = self.refresh(handle)
        if opened is None and not known:
            self.release(handle)
        return opened

    def removal(self, handle: int) -> FileRemoved | None:
        """Told once when the file's last name is gone and no new file took its path."""
        entry = self._entries.get(handle)
        if entry is None or entry.fd < 0:
            return None
        removed_ns = unlinked_at_ns(entry.fd)
        if removed_ns is None:
            return None
        try:
            os.close(self._opened(entry))
        except (FileNotFoundError, UnsafeFile):
            self._close(entry)
            return FileRemoved(at=datetime.fromtimestamp(removed_ns / 1e9, UTC), handle=handle)
        return None

    def release(self, handle: int) -> None:
        entry = self._entries.pop(handle, None)
        if entry is not None:
            self._close(entry)
            del self._numbers[_name(entry.uid, entry.path, entry.place)]
            self.of_user[entry.uid] -= 1
            if not self.of_user[entry.uid]:
                del self.of_user[entry.uid]

    def close(self) -> None:
        for handle in list(self._entries):
            self.release(handle)

    def _opened(self, entry: _Entry) -> int:
        if entry.place is None:
            return open_connection_file(entry.path, owner_uid=entry.uid)
        return open_in_root(entry.path, entry.place, owner_uid=entry.uid, proc_root=self._proc_root)

    def _close(self, entry: _Entry) -> None:
        if entry.fd >= 0:
            os.close(entry.fd)
            entry.fd = -1
        entry.stamp = None


def _name(uid: int, path: str, place: Elsewhere | None) -> _Name:
    return uid, path, place.root if place else None
