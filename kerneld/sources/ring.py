"""Memory samples to a ring of two array columns: the last changes finely, the past coarsely."""

from array import array
from bisect import bisect_left, bisect_right

CAPACITY = 768
"""8 bytes a sample, 6 KiB a kernel; its newer half holds 6 min of growth at 1 Hz, 19 s at 20 Hz"""

TICKS_PER_S = 100
"""a time is 32 bits of 10 ms: 497 days of one boot's clock since the ring began"""

UNIT_BYTES = 4096
"""a page has as many or more; 32 bits of them are 16 TiB"""

_MOST_UNITS = (1 << 32) - 1


class Ring:
    """(seconds, bytes) in order of time, at most CAPACITY: of a plateau its first and last moment.

    When it is full, the older half is thinned pairwise, of two samples the larger one staying, of two
    equal ones the first: the maximum is never lost, and what is twice as old is kept half as finely.

    One thread appends, or moves seen_s on while the last value stands. Others may read meanwhile
    without a lock: a value is there before its time, and thinning makes new columns instead of
    changing those that a reader holds.
    """

    __slots__ = ("_base_s", "_columns", "seen_s")

    def __init__(self, base_s: float) -> None:
        self._base_s = base_s
        self._columns = (array("I"), array("I"))
        self.seen_s = base_s
        """the last value stood until then"""

    def append(self, at_s: float, value_bytes: int) -> None:
        times, values = self._columns
        units = min(value_bytes // UNIT_BYTES, _MOST_UNITS)
        if not times or units != values[-1]:
            stood = int(self._ticks(self.seen_s))
            if times and stood > times[-1]:
                self._put(stood, values[-1])
            self._put(int(self._ticks(at_s)), units)
        self.seen_s = at_s

    def _put(self, ticks: int, units: int) -> None:
        if len(self) >= CAPACITY:
            self._columns = _thinned(*self._columns)
        times, values = self._columns
        values.append(units)
        times.append(ticks)

    def _ticks(self, at_s: float) -> float:
        return (at_s - self._base_s) * TICKS_PER_S

    def __len__(self) -> int:
        return len(self._columns[0])

    def window(
        self, since_s: float = float("-inf"), until_s: float = float("inf")
    ) -> "tuple[array[int], array[int]]":
        """Copies of the columns (ticks since the ring's base, units) between two moments.

        Where a plateau reaches beyond a moment, that moment is part of it.
        """
        seen = self._ticks(self.seen_s)  # before the columns: what is appended now is no part of them
        times, values = self._columns
        times = times[:]
        values = values[: len(times)]
        if times and int(seen) > times[-1]:
            times.append(int(seen))
            values.append(values[-1])
        since, until = self._ticks(since_s), self._ticks(until_s)
        first, end = bisect_left(times, since), bisect_right(times, until)
        inner = (times[first:end], values[first:end])
        if 0 < end < len(times) and values[end - 1] == values[end] and times[end - 1] < int(until):
            _insert(inner, len(inner[0]), int(until), values[end])
        if 0 < first < len(times) and values[first - 1] == values[first] and int(since) < times[first]:
            _insert(inner, 0, int(since), values[first])
        return inner

    def last_at(self, at_s: float) -> int | None:
        """The last value up to a moment; None before the first of all."""
        _, values = self.window(until_s=at_s)
        return values[-1] * UNIT_BYTES if values else None

    def first_at(self, at_s: float, *, within_s: float) -> int | None:
        """The first value from a moment on, else the last one before it.

        A look at that very moment may be a tick before it here, as times are cut to whole ticks.
        """
        _, same = self.window(at_s - 1 / TICKS_PER_S, at_s + 1 / TICKS_PER_S)
        _, later = self.window(at_s, at_s + within_s)
        if same or later:
            return (same[-1] if same else later[0]) * UNIT_BYTES
        return self.last_at(at_s)

    def most(self, since_s: float, until_s: float) -> int:
        """The largest value between two moments; 0 where none was seen."""
        _, values = self.window(since_s, until_s)
        return max(values, default=0) * UNIT_BYTES

    def pairs(
        self, until_s: float, *, at_most: int, since_s: float = float("-inf")
    ) -> tuple[tuple[float, int], ...]:
        """(seconds before `until_s`, bytes), oldest first: a group's largest, the last as it is."""
        time_column, value_column = self.window(since_s, until_s)
        times, values = time_column.tolist(), value_column.tolist()
        last = len(times) - 1
        if last < 0:
            return ()
        end_ticks = int(self._ticks(until_s))
        step = max(1, -(-last // max(1, at_most - 1)))
        chosen: list[tuple[float, int]] = []
        for index in range(0, last, step):
            group = values[index : min(index + step, last)]
            most = max(group)
            before_s = (end_ticks - times[index + group.index(most)]) / TICKS_PER_S
            chosen.append((before_s, most * UNIT_BYTES))
        chosen.append(((end_ticks - times[last]) / TICKS_PER_S, values[last] * UNIT_BYTES))
        return tuple(chosen)

    def growth_bytes_per_s(self, until_s: float, *, over_s: float) -> float | None:
        """Between the last sample and the latest one at least over_s before the end; else the first."""
        times, values = self.window(until_s=until_s)
        if len(times) < 2:
            return None
        start = self._ticks(until_s - over_s)
        first = max(0, bisect_right(times, start) - 1)
        stands = first + 1 < len(times) and values[first] == values[first + 1]
        elapsed = times[-1] - (max(times[first], start) if stands else times[first])
        if elapsed <= 0:
            return None
        return (values[-1] - values[first]) * UNIT_BYTES * TICKS_PER_S / elapsed


def _insert(columns: "tuple[array[int], array[int]]", at: int, ticks: int, units: int) -> None:
    for column, value in zip(columns, (ticks, units), strict=True):
        column.insert(at, value)


def _thinned(times: "array[int]", values: "array[int]") -> "tuple[array[int], array[int]]":
    half = CAPACITY // 2
    kept = [i if values[i] >= values[i + 1] else i + 1 for i in range(0, half, 2)]
    return (
        array("I", [times[i] for i in kept]) + times[half:],
        array("I", [values[i] for i in kept]) + values[half:],
    )
