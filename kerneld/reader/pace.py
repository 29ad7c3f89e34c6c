"""Turns of understanding: at once while few are taken, together when many come."""

TURNS_A_S, MOST_TURNS = 10.0, 10.0
"""each fact alone woke five threads of the collector, and 300 busy kernels tell 90 a second"""


class Pace:
    """MOST_TURNS may follow each other at once, then TURNS_A_S a second. now_s is monotonic."""

    def __init__(self, now_s: float) -> None:
        self._turns, self._counted_at_s = MOST_TURNS, now_s

    def rest_s(self, now_s: float) -> float:
        """Until the next turn may begin; 0: it may."""
        self._turns = min(MOST_TURNS, self._turns + (now_s - self._counted_at_s) * TURNS_A_S)
        self._counted_at_s = now_s
        return max(0.0, (1.0 - self._turns) / TURNS_A_S)

    def take(self) -> None:
        """A turn that understood something is over."""
        self._turns -= 1.0
