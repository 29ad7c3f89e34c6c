"""The lines of a log, in their order, to those that may be believed.

Not believed is a line without the prefix that its neighbours have, or without the name of who
speaks where its host has one, and what may be a part of the record before (kerneld.parse.newlines).
"""

from collections import deque

from kerneld.parse.entry import Entry, Line
from kerneld.parse.newlines import Newlines

NEIGHBOURS = 3
"""lines of Linux of one shape, behind which one that has less around it is not believed"""
MAX_DOUBTED = 256
"""so many lines in a row: the log is written in another way from there on"""
MAX_HOSTS = 1024


class Belief:
    """feed takes a line and gives those that are believed, in their order; it may hold some."""

    def __init__(self) -> None:
        self._newlines = Newlines()
        self._shapes: deque[str] = deque(maxlen=NEIGHBOURS)
        self._doubted = 0
        self._named_on: set[str] = set()

    @property
    def is_holding(self) -> bool:
        return self._newlines.is_holding

    def feed(self, line: Line) -> list[Line]:
        entry = line.entry
        if entry.is_bare and line.is_doubted:
            return []
        if self._lacks_a_speaker(entry) or self._lacks_a_wrapping(entry):
            return []
        return self._newlines.feed(line)

    def gap(self) -> list[Line]:
        """Lines were left out here."""
        self._shapes.clear()
        return self._newlines.gap()

    def release(self) -> list[Line]:
        """The log falls silent, or ends."""
        return self._newlines.release()

    def _lacks_a_wrapping(self, entry: Entry) -> bool:
        """It lacks one that Linux's own lines have here: `[123.456789]`, a priority, …"""
        if entry.is_bare or not entry.is_linux:
            return False
        shapes = self._shapes
        shared = set(shapes[0]) if len(shapes) == NEIGHBOURS and len(set(shapes)) == 1 else set()
        if set(entry.shape) < shared and self._doubted < MAX_DOUBTED:
            self._doubted += 1
            return True
        self._doubted = 0
        shapes.append(entry.shape)
        return False

    def _lacks_a_speaker(self, entry: Entry) -> bool:
        """In syslog: any program may log without a tag; a host that sends by netconsole has none."""
        if entry.shape[:1] != "d" or entry.host is None:
            return False
        if entry.identifier is None:
            return entry.host in self._named_on
        if len(self._named_on) < MAX_HOSTS:
            self._named_on.add(entry.host)
        return False
