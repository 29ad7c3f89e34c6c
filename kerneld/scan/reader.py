"""Blocks of one log's bytes to events: only lines near a needle are parsed, whatever the log's size."""

import re
from collections.abc import Iterator
from datetime import datetime, tzinfo

from kerneld.model.records import LogEvent
from kerneld.parse.anylog import DOUBT_BYTES, AnyLog
from kerneld.scan.needles import TELLING, Hits, finders

WHOLE_BYTES = 1 << 20
"""so much of a log's beginning is parsed line by line: a paste, whose breaks may cut a needle"""
BEFORE = 24
"""lines that are read before one with a needle: its neighbours tell whether it may be believed"""
WHOLE_LINES = 8192
LEAST_LINE = 16
"""bytes: no line that tells of a death is shorter"""
MAX_LINE = 1 << 16
"""bytes of a line that are kept: what Linux prints is shorter, a record of the journal, too"""
NEIGHBOUR_BYTES = 4096
"""bytes of each of the lines that are kept for the next block"""
MAX_RECORD = 1 << 16
"""bytes of a record of several lines"""

_EXPORT = re.compile(rb"(?:\s*|-- [^\n]{0,200}\n)__(?:CURSOR|REALTIME_TIMESTAMP)=")
"""the journal's export format: read record by record from its start, because a value may hold
whatever looks like the next record; the length before it alone tells where it ends"""
_RETURN = re.compile(rb"\r[^\r]")
_PRETTY = re.compile(rb"\s*\[?\s*\{\s*\n\s*\"")


def _tells(data: bytes, start: int, stop: int) -> bool:
    """A line with a needle is worth parsing."""
    return (
        stop - start > LEAST_LINE
        and TELLING.search(data, start, min(stop, start + MAX_LINE)) is not None
    )


class LogReader:
    """One log, in blocks of any size. lines: how many have been seen.

    Memory: one block, at most MAX_RECORD of the last, and what the log's open report needs.
    """

    def __init__(self, *, zone: tzinfo, latest: datetime, source_file: str | None = None) -> None:
        self._log = AnyLog(zone=zone, latest=latest, source_file=source_file)
        self._hits = Hits(finders())
        self._rest = b""
        self._number = 1
        self._seen_bytes = 0
        self._separator: bytes | None = None
        self._is_overlong = False
        self._is_export = False
        self._has_only_returns = False
        self._lost_bytes = 0

    @property
    def lines(self) -> int:
        return self._number - 1 + bool(self._rest)

    def feed(self, block: bytes) -> Iterator[LogEvent]:
        """The events that the block completes."""
        if not self._seen_bytes:
            self._recognise(block)
        if self._has_only_returns:
            self._has_only_returns = b"\n" not in block
            block = block.replace(b"\r", b"\n")
        self._seen_bytes += len(block)
        if self._is_overlong:
            newline = block.find(b"\n")
            self._lost_bytes += len(block) if newline < 0 else newline
            if newline < 0:
                return
            block, self._is_overlong = block[newline:], False
        data = self._rest + block if self._rest else block
        end = data.rfind(b"\n") + 1
        if end == 0:
            self._rest = self._keep(data)
            return
        if self._seen_bytes > WHOLE_BYTES and not self._is_export:
            end = self._last_safe_end(data, end)
        self._rest = self._keep(data[end:])
        yield from self._read(data[:end] if end < len(data) else data)

    def flush(self) -> list[LogEvent]:
        """The log falls silent (it is followed): tell what waits for further lines."""
        end = self._rest.rfind(b"\n") + 1
        whole, self._rest = self._rest[:end], self._rest[end:]
        return [*self._read(whole), *self._log.flush()]

    def close(self) -> Iterator[LogEvent]:
        """The log's end; its last line may lack a newline."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._read(rest if rest.endswith(b"\n") else rest + b"\n")
        yield from self._log.close()

    def _recognise(self, block: bytes) -> None:
        """Records of several lines are read from their first line on."""
        head = block[:4096]
        self._is_export = _EXPORT.match(head) is not None
        self._has_only_returns = b"\n" not in block and _RETURN.search(head) is not None
        if _PRETTY.match(head):
            self._separator = b"\n{"

    def _read(self, data: bytes) -> Iterator[LogEvent]:
        """Whole lines."""
        position, end = 0, len(data)
        hits = self._hits.of(data)
        hit = hits.after(0)
        while position < end:
            if -1 < hit < position:
                hit = hits.after(position)
            if not (self._is_beginning or self._is_export or self._log.is_open):
                hit = self._telling(hits, data, hit)
                start = end if hit < 0 else self._start_of(data, hit, position)
                if start > position:
                    yield from self._log.gap(data[max(position, start - DOUBT_BYTES) : start])
                    self._number += data.count(b"\n", position, start)
                    position = start
                if hit < 0:
                    return
                stop = data.find(b"\n", hit) + 1
            else:
                stop = self._end_of_line(data, position)
            last_line = max(position, data.rfind(b"\n", position, stop - 1) + 1)
            telling = -1 < hit < stop and _tells(data, last_line, stop)
            if last_line > position and not self._log.lacks_bytes:
                for line in data[position : last_line - 1].split(b"\n"):
                    yield from self._feed(line)
                position = last_line
            if telling:
                self._log.notice()
            yield from self._feed(data[position : stop - 1])
            position = stop

    def _end_of_line(self, data: bytes, position: int) -> int:
        """Behind the next newline; behind the last one that a value of the export format holds."""
        lacking = self._log.lacks_bytes
        found = data.find(b"\n", position + lacking) + 1
        return found or len(data)

    def _feed(self, line: bytes) -> list[LogEvent]:
        number, self._number = self._number, self._number + 1 + line.count(b"\n")
        lost = max(0, len(line) - MAX_LINE)
        if self._lost_bytes and len(line) >= MAX_LINE:
            lost, self._lost_bytes = lost + self._lost_bytes, 0
        return self._log.feed(line[:MAX_LINE], number, lost)

    @property
    def _is_beginning(self) -> bool:
        return self._seen_bytes <= WHOLE_BYTES and self._number <= WHOLE_LINES

    def _telling(self, hits: Hits, data: bytes, hit: int) -> int:
        """The first needle from this one on that stands in a line which may tell something, or -1."""
        while hit >= 0:
            start = data.rfind(b"\n", max(0, hit - MAX_LINE), hit) + 1
            stop = data.find(b"\n", hit) + 1
            if _tells(data, start, stop):
                break
            hit = hits.after(stop)
        return hit

    def _start_of(self, data: bytes, hit: int, least: int) -> int:
        """The first line that is read for a hit."""
        if self._separator is not None:
            found = data.rfind(self._separator, max(least, hit - MAX_RECORD), hit)
            return least if found < 0 else found + self._separator.count(b"\n")
        place = hit
        for _ in range(BEFORE + 1):
            found = data.rfind(b"\n", max(least, place - MAX_LINE), place)
            if found < 0:
                return least if place - least <= MAX_LINE else place
            place = found
        return place + 1

    def _last_safe_end(self, data: bytes, end: int) -> int:
        """Keep the last lines for the next block: they may stand before a hit there."""
        if self._separator is not None:
            found = data.rfind(self._separator, max(0, end - MAX_RECORD), end)
            return end if found <= 0 else found + self._separator.count(b"\n")
        place = end - 1
        for _ in range(BEFORE):
            found = data.rfind(b"\n", max(0, place - NEIGHBOUR_BYTES), place)
            if found < 0:
                break
            place = found
        return place + 1 if 0 < place < end - 1 else end

    def _keep(self, rest: bytes) -> bytes:
        last = rest.rfind(b"\n") + 1
        if len(rest) - last > MAX_LINE:
            self._is_overlong = True
            self._lost_bytes = len(rest) - last - MAX_LINE
            return rest[: last + MAX_LINE]
        return rest
