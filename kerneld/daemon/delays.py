"""How long deaths waited for their first verdict to be stored, counted as a histogram."""

from bisect import bisect_left

from kerneld.model.living import VERDICT_BOUNDS_S, VerdictDelays


class Delays:
    """Owned by the owner's thread."""

    def __init__(self) -> None:
        self._counts = [0] * (len(VERDICT_BOUNDS_S) + 1)
        self._sum_s = 0.0

    def note(self, delay_s: float) -> None:
        self._counts[bisect_left(VERDICT_BOUNDS_S, delay_s)] += 1
        self._sum_s += delay_s

    def told(self) -> VerdictDelays:
        return VerdictDelays(counts=tuple(self._counts), sum_s=self._sum_s)
