"""How often what the proc connector tells is looked after: bounds for execs and for crashes."""


class ExecGate:
    """When to look at all processes, and whether Linux is to tell of execs at all.

    Looks are 20 ms apart at least, and up to 160 while execs go on (150 execs a second were 46 looks,
    each through all of /proc). Above 200 execs a second the events stop for half a second, at
    whose end one look covers them all: 2 looks a second however many execs there are.
    """

    GAP_S, LONGEST_GAP_S = 0.020, 0.160
    PAUSE_S = 0.5
    CALM_WINDOW_S, CALM_EXECS = 0.25, 50
    PROBE_WINDOW_S, PROBE_EXECS = 0.02, 4

    def __init__(self) -> None:
        self._called_s = float("-inf")
        self._gap_s = self.GAP_S
        self._pending = False
        self._window_s = float("-inf")
        self._count = 0
        self._probing = False
        self._reopen_s: float | None = None

    @property
    def open(self) -> bool:
        return self._reopen_s is None

    def saw(self, execs: int, now_s: float) -> None:
        if not self.open or not execs:
            return
        window_s, limit = self.CALM_WINDOW_S, self.CALM_EXECS
        if self._probing:
            window_s, limit = self.PROBE_WINDOW_S, self.PROBE_EXECS
        if now_s - self._window_s > window_s:
            self._probing, self._window_s, self._count = False, now_s, 0
        self._pending = True
        self._count += execs
        if self._count >= limit:
            self._reopen_s = now_s + self.PAUSE_S
            self._pending = False

    def due(self, now_s: float) -> bool:
        """Whether to look now."""
        if self._reopen_s is not None and now_s >= self._reopen_s:
            self._reopen_s = None
            self._probing, self._window_s, self._count = True, now_s, 0
            self._pending = True
        since_s = now_s - self._called_s
        if not self._pending or since_s < self._gap_s:
            return False
        busy = since_s < 2 * self._gap_s
        self._gap_s = min(2 * self._gap_s, self.LONGEST_GAP_S) if busy else self.GAP_S
        self._pending, self._called_s = False, now_s
        return True

    def next_s(self) -> float | None:
        if self._reopen_s is not None:
            return self._reopen_s
        return self._called_s + self._gap_s if self._pending else None


class Allowance:
    """So many looks a second, and no more: a program that crashes in a loop gets its share only."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._left = float(a_second)
        self._at_s = float("-inf")

    def take(self, now_s: float) -> bool:
        earned = min((now_s - self._at_s) * self._a_second, self._a_second)
        self._left = min(self._left + earned, float(self._a_second))
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
