"""Lines of a log to messages: what a terminal, a mail or a pager broke is joined again."""

from dataclasses import replace

from kerneld.parse import wrapped
from kerneld.parse.entry import Line
from kerneld.parse.newlines import may_be_one_record

FEW = 8
"""characters: no two such pieces are a line that tells something"""


class Pieces:
    """feed takes a line and gives those that are whole: the last is held until the next shows
    whether it goes on there."""

    def __init__(self) -> None:
        self._held: list[Line] = []
        self._is_torn = False
        self._size = 0

    @property
    def is_idle(self) -> bool:
        """What is held is a bare line of a few letters, which no further few letters complete."""
        held = self._held
        return len(held) == 1 and held[0].entry.is_bare and len(held[0].entry.text) < FEW

    def feed(self, line: Line) -> list[Line]:
        if not self._held:
            self._hold(line)
            return []
        first, text = self._held[0], line.entry.text
        if not (line.entry.is_bare or (self._is_torn and may_be_one_record(first.entry, line.entry))):
            return self._begin(line)
        whole = self._whole(text)
        if whole is not None:
            self._hold(replace(first, entry=replace(first.entry, text=whole)))
            return []
        if not self._may_go_on(text):
            return self._begin(line)
        self._held.append(line)
        self._size += len(text) + 1
        return []

    def blank(self) -> list[Line]:
        """A line without a letter: a file's name may hold it, nothing else goes on there."""
        if self._held and self._is_torn and self._size < wrapped.MAX_NAME:
            self._size += 1
            return []
        return self.release()

    def release(self) -> list[Line]:
        held, self._held = self._held, []
        return held

    def _begin(self, line: Line) -> list[Line]:
        whole = self._held
        self._hold(line)
        return whole

    def _hold(self, line: Line) -> None:
        text = line.entry.text
        self._held = [line]
        self._is_torn = not line.entry.escaped and line.entry.is_linux and wrapped.is_torn_name(text)
        self._size = len(text.rpartition(" in ")[2]) if self._is_torn else 0

    def _whole(self, text: str) -> str | None:
        """The message, where this line completes it."""
        if self._is_torn and wrapped.ends_name(text):
            return "".join([*(held.entry.text for held in self._held), text])
        if len(self._held) > wrapped.MAX_PIECES or not text:
            return None
        return wrapped.joined([*(held.entry.text for held in self._held), text])

    def _may_go_on(self, text: str) -> bool:
        if self._is_torn:
            return self._size + len(text) + 1 <= wrapped.MAX_NAME
        return len(self._held) <= wrapped.MAX_PIECES and wrapped.is_begun(self._held[0].entry.text)
