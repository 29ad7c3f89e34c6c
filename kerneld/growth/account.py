"""The account of one process: its memory by time, and what its stacks testified, into lines.

A byte is charged to the stack that was seen nearest to it in time, at most REACH_S away: between two
stacks of one line that is this line, between two lines each has the half that is nearer to it. Not
all stacks are witnesses of one rank. First is asked who ran; then who ran while the memory was seen to
stand still (one that waits for a CPU); then who slept (a read may wait while it grows).
Several running threads share alike, the owner of the GIL and those that work without it: nothing
tells them apart from outside.
"""

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kerneld.growth.ledger import MAX_LINES, UNCHARGED, Ledger
from kerneld.model.growth import Frame, GrowthLine, SeenThread

REACH_S = 3.0
"""a kernel that grows is looked at every second at least, while the budget lasts"""
GROWING_REACH_S = 1.0
"""so far a witness of the first rank is asked before a nearer one of the second"""
MAX_MARKS = 128
"""0.6 s of the closest looks: older ones are charged by the stacks so far; 50 KiB an account in all"""
MAX_ROWS = 20

Places = tuple[int, ...]
"""numbers of lines"""


@dataclass(frozen=True, slots=True)
class _Mark:
    """So many bytes were grown (or given back) up to this moment, since the mark before it."""

    at_s: float
    change_bytes: int


class _Witnesses:
    """What was seen when, in order of time; only what is in reach of an open mark is kept."""

    def __init__(self, reach_s: float) -> None:
        self._reach_s = reach_s
        self._times: list[float] = []
        self._places: list[Places] = []

    def add(self, at_s: float, places: Places) -> None:
        self._times.append(at_s)
        self._places.append(places)

    def forget(self, marks_before_s: float) -> None:
        gone = bisect_left(self._times, marks_before_s - self._reach_s)
        del self._times[:gone], self._places[:gone]

    def nearest(self, at_s: float) -> Places | None:
        """In reach; None: there is none."""
        after = bisect_left(self._times, at_s)
        near = [i for i in (after - 1, after) if 0 <= i < len(self._times)]
        best = min(near, key=lambda i: abs(self._times[i] - at_s), default=None)
        if best is None or abs(self._times[best] - at_s) > self._reach_s:
            return None
        return self._places[best]

    def all_places(self) -> set[int]:
        return {place for places in self._places for place in places}


class Account:
    """Feed it moments and stacks in order of time. Seconds are of one clock."""

    def __init__(self, at_s: float, rss_bytes: int) -> None:
        """From this moment on everything counts."""
        self._last_s, self._rss_bytes = at_s, rss_bytes
        self._ledger = Ledger()
        self._marks: deque[_Mark] = deque()
        self._growing = _Witnesses(GROWING_REACH_S)
        self._running = _Witnesses(REACH_S)
        self._resting = _Witnesses(REACH_S)
        self._ranks = (self._growing, self._running, self._resting)
        self._numbers: dict[tuple[str, int | None], int] = {}
        self._frames: dict[int, Frame] = {}
        self.dumps = 0

    @property
    def rss_bytes(self) -> int:
        return self._rss_bytes

    # ------------------------------------------------------------------ feeding

    def hold(self, at_s: float, rss_bytes: int) -> None:
        """What it held at a moment; one that lies before the last is ignored."""
        change = rss_bytes - self._rss_bytes
        if at_s < self._last_s or change == 0:
            return
        self._last_s, self._rss_bytes = at_s, rss_bytes
        self._marks.append(_Mark(at_s, change))
        while len(self._marks) > MAX_MARKS or at_s - self._marks[0].at_s > REACH_S:
            self._charge(self._ledger, self._marks.popleft())
        for rank in self._ranks:
            rank.forget(self._marks[0].at_s)

    def see(self, at_s: float, threads: Sequence[SeenThread], *, still: bool = False) -> None:
        """A stack that was read at a moment. still: the memory did not move just then."""
        running = [thread.place for thread in threads if thread.active and thread.place]
        takers = [t.place for t in threads if t.active and t.place and not is_between(t)]
        self.dumps += bool(running)
        if takers and not still:
            self._growing.add(at_s, self._numbered(takers))
            return
        if running:
            self._running.add(at_s, self._numbered(running))
            return
        resting = [thread.place for thread in threads if thread.place]
        if resting:
            self._resting.add(at_s, self._numbered(resting))

    def _charge(self, ledger: Ledger, mark: _Mark) -> None:
        if mark.change_bytes < 0:
            ledger.give_back(-mark.change_bytes)
            return
        asked = (rank.nearest(mark.at_s) for rank in self._ranks)
        places = next((places for places in asked if places), (UNCHARGED,))
        share = mark.change_bytes // len(places)
        ledger.grow(places[0], mark.change_bytes - share * (len(places) - 1))
        for place in places[1:]:
            ledger.grow(place, share)

    def _numbered(self, frames: Sequence[Frame]) -> Places:
        return tuple(dict.fromkeys(self._number(frame) for frame in frames))

    def _number(self, frame: Frame) -> int:
        """One file, one line, one number; the latest frame says what cell and code it is."""
        name = (frame.file, frame.line)
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = self._free_number()
        self._frames[number] = frame
        return number

    def _free_number(self) -> int:
        """Of too many lines, the one that holds least is forgotten."""
        if len(self._frames) < MAX_LINES:
            return len(self._frames) + 1
        kept = set().union(*(rank.all_places() for rank in self._ranks))
        sums = self._ledger.sums()
        least = min(self._frames.keys() - kept or self._frames, key=lambda n: sums.get(n, 0))
        self._ledger.uncharge(least)
        self._numbers = {name: number for name, number in self._numbers.items() if number != least}
        return least

    # ------------------------------------------------------------------ telling

    def lines(self) -> tuple[GrowthLine, ...]:
        """Largest first, at most MAX_ROWS; what no stack was near to is a row without a place."""
        ledger = self._ledger.copy()
        for mark in self._marks:
            self._charge(ledger, mark)
        sums = ledger.sums()
        total = sum(sums.values())
        uncharged = sums.pop(UNCHARGED, 0)
        ranked = sorted(sums.items(), key=lambda item: item[1], reverse=True)
        uncharged += sum(size_bytes for _, size_bytes in ranked[MAX_ROWS:])
        rows = [_row(self._frames[n], size_bytes, total) for n, size_bytes in ranked[:MAX_ROWS]]
        if uncharged:
            rows.append(GrowthLine(bytes=uncharged, share=_share(uncharged, total)))
        return tuple(rows)


_BETWEEN = re.compile(
    r"\s*(?:for|while|if|elif|else|try|except|finally|pass|break|continue)\b|\s*\w+ *[-+]= *\d+\s*$"
)


def is_between(thread: SeenThread) -> bool:
    """It steps from one line to the next: a loop's head by itself takes no memory that stays.

    Of 400 stacks of a loop around one allocation 3 were seen so, each worth 5 % of a short life.
    """
    code = thread.place.code if thread.place and thread.innermost else None
    return code is not None and _BETWEEN.match(code) is not None


def _row(frame: Frame, size_bytes: int, total_bytes: int) -> GrowthLine:
    return GrowthLine(
        function=frame.function,
        file=frame.file,
        line=frame.line,
        code=frame.code,
        execution_count=frame.execution_count,
        bytes=size_bytes,
        share=_share(size_bytes, total_bytes),
    )


def _share(size_bytes: int, total_bytes: int) -> float:
    return round(size_bytes / total_bytes, 4) if total_bytes else 0.0
