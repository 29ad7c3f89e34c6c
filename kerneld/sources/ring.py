"""Memory samples to a ring of two array columns: the last minutes finely, the past coarsely."""

from array import array
from bisect import bisect_left, bisect_right

CAPACITY = 1024
"""12 bytes a sample, 12 KiB a kernel; its newer half holds 8.5 min at 1 Hz, 25 s at 20 Hz"""

TICKS_PER_S = 100
"""a time is 32 bits of 10 ms: 497 days of one boot's clock since the ring began"""


class Ring:
    """(seconds, bytes) in order of time, at most CAPACITY.

    When it is full, the older half is thinned pairwise, of two samples the larger one staying: the
    maximum is never lost, and what is twice as old is kept half as finely.

    One thread appends. Others may read meanwhile without a lock: a value is there before its time,
    and thinning makes new columns instead of changing those that a reader holds.
    """

    __slots__ = ("_base_s", "_columns", "_times", "_values")

    def __init__(self, base_s: float) -> None:
        self._base_s = base_s
        self._times = array("I")
        self._values = array("Q")
        self._columns = (self._times, self._values)

    def append(self, at_s: float, value_bytes: int) -> None:
        if len(self._times) >= CAPACITY:
            self._columns = self._times, self._values = _thinned(self._times, self._values)
        self._values.append(value_bytes)
        self._times.append(int((at_s - self._base_s) * TICKS_PER_S))

    def __len__(self) -> int:
        return len(self._columns[0])

    def window(
        self, since_s: float = float("-inf"), until_s: float = float("inf")
    ) -> "tuple[array[int], array[int]]":
        """Copies of the columns (ticks since the ring's base, bytes) between two moments."""
        times, values = self._columns
        times = times[:]
        first = bisect_left(times, (since_s - self._base_s) * TICKS_PER_S)
        end = bisect_right(times, (until_s - self._base_s) * TICKS_PER_S)
        return times[first:end], values[first:end]

    def last_at(self, at_s: float) -> int | None:
        """The last value up to a moment; None before the first of all."""
        _, values = self.window(until_s=at_s)
        return values[-1] if values else None

    def first_at(self, at_s: float, *, within_s: float) -> int | None:
        """The first value from a moment on, else the last one before it.

        A look at that very moment may be a tick before it here, as times are cut to whole ticks.
        """
        _, same = self.window(at_s - 1 / TICKS_PER_S, at_s + 1 / TICKS_PER_S)
        _, later = self.window(at_s, at_s + within_s)
        return same[-1] if same else later[0] if later else self.last_at(at_s)

    def pairs(
        self, until_s: float, *, at_most: int, since_s: float = float("-inf")
    ) -> tuple[tuple[float, int], ...]:
        """(seconds before `until_s`, bytes), oldest first: a group's largest, the last as it is."""
        time_column, value_column = self.window(since_s, until_s)
        times, values = time_column.tolist(), value_column.tolist()
        last = len(times) - 1
        if last < 0:
            return ()
        end_ticks = int((until_s - self._base_s) * TICKS_PER_S)
        step = max(1, -(-last // max(1, at_most - 1)))
        chosen: list[tuple[float, int]] = []
        for index in range(0, last, step):
            group = values[index : min(index + step, last)]
            most = max(group)
            chosen.append(((end_ticks - times[index + group.index(most)]) / TICKS_PER_S, most))
        chosen.append(((end_ticks - times[last]) / TICKS_PER_S, values[last]))
        return tuple(chosen)

    def growth_bytes_per_s(self, until_s: float, *, over_s: float) -> float | None:
        """Between the last sample and the latest one at least over_s before the end; else the first."""
        times, values = self.window(until_s=until_s)
        if len(times) < 2:
            return None
        start_ticks = (until_s - over_s - self._base_s) * TICKS_PER_S
        first = max(0, bisect_right(times, start_ticks) - 1)
        elapsed = times[-1] - times[first]
        if elapsed <= 0:
            return None
        return (values[-1] - values[first]) * TICKS_PER_S / elapsed


def _thinned(times: "array[int]", values: "array[int]") -> "tuple[array[int], array[int]]":
    half = CAPACITY // 2
    kept = [i if values[i] > values[i + 1] else i + 1 for i in range(0, half, 2)]
    return (
        array("I", [times[i] for i in kept]) + times[half:],
        array("Q", [values[i] for i in kept]) + values[half:],
    )
