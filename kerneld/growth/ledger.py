"""Bytes grown and given back, by line: what grew last is given back first."""

from array import array

MAX_SEGMENTS = 1024
MAX_LINES = 64
UNCHARGED = 0
"""the number of the line that nobody is"""


class Ledger:
    """At most 10 KiB. Lines are numbers.

    Linux does not say whose memory was freed. Temporaries are freed soon after they were made and
    data stays, so a byte that is given back is taken from what grew last: a loop over temporaries
    nets to nothing, and what an earlier line holds stays that line's.
    """

    def __init__(self) -> None:
        self._lines = array("H")
        self._bytes = array("q")

    def copy(self) -> "Ledger":
        other = Ledger()
        other._lines, other._bytes = self._lines[:], self._bytes[:]
        return other

    def grow(self, line: int, size_bytes: int) -> None:
        if size_bytes <= 0:
            return
        if self._lines and self._lines[-1] == line:
            self._bytes[-1] += size_bytes
            return
        if len(self._lines) >= MAX_SEGMENTS:
            self._thin()
        self._lines.append(line)
        self._bytes.append(size_bytes)

    def give_back(self, size_bytes: int) -> None:
        """More than all that grew: it held that before the account began."""
        while size_bytes > 0 and self._lines:
            taken = min(size_bytes, self._bytes[-1])
            size_bytes -= taken
            self._bytes[-1] -= taken
            if self._bytes[-1] == 0:
                self._lines.pop()
                self._bytes.pop()

    def sums(self) -> dict[int, int]:
        """Bytes by line."""
        found: dict[int, int] = {}
        for line, size_bytes in zip(self._lines, self._bytes, strict=True):
            found[line] = found.get(line, 0) + size_bytes
        return found

    def uncharge(self, line: int) -> None:
        """Whatever this line grew is nobody's from now on."""
        for index, one in enumerate(self._lines):
            if one == line:
                self._lines[index] = UNCHARGED

    def _thin(self) -> None:
        """The older half keeps its sums and loses its order."""
        half = MAX_SEGMENTS // 2
        old: dict[int, int] = {}
        for line, size_bytes in zip(self._lines[:half], self._bytes[:half], strict=True):
            old[line] = old.get(line, 0) + size_bytes
        self._lines = array("H", old.keys()) + self._lines[half:]
        self._bytes = array("q", old.values()) + self._bytes[half:]
