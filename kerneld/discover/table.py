"""Connection files by number: opened once and safely, kept open, so that a removal is seen by fstat."""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.errors import UnsafeFile
from kerneld.model.facts import FileOpened, FileRemoved
from kerneld.proc.files import FileStamp, open_connection_file, stamp, unlinked_at_ns


@dataclass(slots=True)
class _Entry:
    uid: int
    path: str
    denied: bool = False
    fd: int = -1
    stamp: FileStamp | None = None
    problem: str = ""


class FileTable:
    """One number for each (owner, path). Owned by the discovery thread."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._numbers: dict[tuple[int, str], int] = {}
        self._next = 1
        self.of_user: Counter[int] = Counter()
        """how many files of each owner have a number"""

    def number(self, uid: int, path: str) -> int:
        found = self._numbers.get((uid, path))
        if found is not None:
            return found
        handle, self._next = self._next, self._next + 1
        self._entries[handle] = _Entry(uid, path)
        self._numbers[uid, path] = handle
        self.of_user[uid] += 1
        return handle

    def known(self, uid: int, path: str) -> bool:
        return (uid, path) in self._numbers

    def is_open(self, uid: int, path: str) -> bool:
        handle = self._numbers.get((uid, path))
        return handle is not None and self._entries[handle].fd >= 0

    def path(self, handle: int) -> str | None:
        entry = self._entries.get(handle)
        return entry.path if entry else None

    def problem(self, handle: int) -> str:
        return self._entries[handle].problem

    def deny(self, handle: int, problem: str) -> None:
        """Don't open this file at all, and say why."""
        self._entries[handle].problem = problem
        self._entries[handle].denied = True

    def refresh(self, handle: int) -> FileOpened | None:
        """Open the file if it is new or was written again since; None if there is nothing new.

        The fact's descriptor belongs to whoever takes the fact.
        """
        entry = self._entries.get(handle)
        if entry is None or entry.denied:
            return None
        try:
            fd = open_connection_file(entry.path, owner_uid=entry.uid)
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

    def open_named(self, uid: int, path: str) -> FileOpened | None:
        """The same for a path that no process names: one that can't be opened keeps no number.

        Removals of long gone files, and the folders where a bare kernel's file is not, took all
        of a user's numbers in time.
        """
        known = self.known(uid, path)
        handle = self.number(uid, path)
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
            os.close(open_connection_file(entry.path, owner_uid=entry.uid))
        except (FileNotFoundError, UnsafeFile):
            self._close(entry)
            return FileRemoved(at=datetime.fromtimestamp(removed_ns / 1e9, UTC), handle=handle)
        return None

    def release(self, handle: int) -> None:
        entry = self._entries.pop(handle, None)
        if entry is not None:
            self._close(entry)
            del self._numbers[entry.uid, entry.path]
            self.of_user[entry.uid] -= 1
            if not self.of_user[entry.uid]:
                del self.of_user[entry.uid]

    def close(self) -> None:
        for handle in list(self._entries):
            self.release(handle)

    def _close(self, entry: _Entry) -> None:
        if entry.fd >= 0:
            os.close(entry.fd)
            entry.fd = -1
        entry.stamp = None
