"""Files that are looked at again and again, for a while."""

import time


class Awaited:
    """Each under a key. Owned by the discovery thread."""

    def __init__(self, gives_up_s: float) -> None:
        self._gives_up_s = gives_up_s
        self._since: dict[int, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._since)

    def add(self, key: int, handle: int) -> None:
        self._since[key] = handle, time.monotonic()

    def drop(self, key: int) -> None:
        self._since.pop(key, None)

    def look(self) -> list[tuple[int, int]]:
        """(key, handle) of all; those whose time is over are looked at for the last time."""
        found = [(key, handle) for key, (handle, _) in self._since.items()]
        over = time.monotonic() - self._gives_up_s
        self._since = {key: value for key, value in self._since.items() if value[1] >= over}
        return found
