"""Cookies into who they were given to: random names, kept here in memory, bounded in number and age."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Sessions(Generic[T]):
    """The oldest goes when there are too many."""

    def __init__(self, *, most: int, age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._age_s, self._clock = most, age_s, clock
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def open(self, value: T) -> str:
        """A name that nobody can guess."""
        name = secrets.token_urlsafe(32)
        self._known[name] = (self._clock() + self._age_s, value)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return name

    def get(self, name: str | None) -> T | None:
        until, value = self._known.get(name or "", (0.0, None))
        return value if until > self._clock() else None

    def close(self, name: str | None) -> T | None:
        """What it stood for; it stands for nothing any more."""
        value = self.get(name)
        self._known.pop(name or "", None)
        return value
