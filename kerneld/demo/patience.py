"""Waits with a deadline, and Ctrl-C as an answer instead of an exception anywhere.

A signal only sets a flag that every wait looks at: nothing is interrupted between the making of a
process, a cgroup or a folder and the moment when its removal is certain.
"""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Self, TypeVar

from kerneld.errors import KerneldError

Found = TypeVar("Found")

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.02


class Interrupted(Exception):
    """A signal asked for the end."""


class Late(KerneldError):
    """Something did not come to pass in time."""


class Patience:
    """Takes the signals that end a program while it is entered."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in STOPPING:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal.signal gave it

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = self.signal_number or number

    def check(self) -> None:
        """Raises Interrupted once a signal has come."""
        if self.signal_number is not None:
            raise Interrupted

    def until(
        self,
        ready: Callable[[], Found | None],
        deadline_s: float,
        what: str,
        *,
        pace_s: float = POLL_S,
    ) -> Found:
        """The first answer that is not None. Raises Late, whose message begins with `what`."""
        end = time.monotonic() + deadline_s
        while True:
            self.check()
            found = ready()
            if found is not None:
                return found
            if time.monotonic() > end:
                raise Late(f"{what} within {deadline_s:.0f} s")
            time.sleep(pace_s)

    def die_of_signal(self) -> None:
        """End as the signal would have ended this process: the shell must see that it was stopped."""
        if self.signal_number is not None:
            signal.signal(self.signal_number, signal.SIG_DFL)
            os.kill(os.getpid(), self.signal_number)
