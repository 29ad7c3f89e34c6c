"""Files that are looked at again and again, for a while, and less often the longer it lasts."""

import time
from dataclasses import dataclass

SLOWER = 0.1
"""of its age: what was not there for 10 s is looked at every second"""


@dataclass(slots=True)
class _Entry:
    handle: int
    since_s: float
    due_s: float = 0.0


class Awaited:
    """Each under a key. Owned by the discovery thread."""

    def __init__(self, gives_up_s: float) -> None:
        self._gives_up_s = gives_up_s
        self._entries: dict[int, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: int, handle: int) -> None:
        self._entries[key] = _Entry(handle, time.monotonic())

    def drop(self, key: int) -> None:
        self._entries.pop(key, None)

    def look(self) -> list[tuple[int, int]]:
        """(key, handle) of those that are due; one whose time is over for the last time."""
        now = time.monotonic()
        found = []
        for key, entry in list(self._entries.items()):
            if now < entry.due_s:
                continue
            found.append((key, entry.handle))
            entry.due_s = now + SLOWER * (now - entry.since_s)
            if now - entry.since_s > self._gives_up_s:
                del self._entries[key]
        return found
