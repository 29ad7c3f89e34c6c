"""Whether a signed message is its kernel's own and of now: what somebody recorded is signed as well.

On tcp any local user may hear a kernel, and bind its port once it is dead. A restart keeps the key, so
a recorded goodbye of the last life would be believed of this one.
"""

from collections import deque
from datetime import datetime, timedelta

from kerneld.parse.iopub import Header

FRESH = timedelta(seconds=30)
"""a kernel on a thrashing machine is late by seconds"""
OUT_OF_ORDER = timedelta(seconds=2)
KEPT_SESSIONS = 64


class Voice:
    """One connection file's messages: their sessions, one a process, and the newest date."""

    def __init__(self) -> None:
        self._session: str | None = None
        self._past: deque[str] = deque(maxlen=KEPT_SESSIONS)
        self._newest: datetime | None = None

    def is_own(self, header: Header, *, at: datetime) -> bool:
        """Of this life or a new one, and not older than what was heard. at: when it was received."""
        if header.session in self._past:
            return False
        if header.dated_at is not None:
            if self._newest is not None and self._newest > at + OUT_OF_ORDER:
                self._newest = None  # the clock was set back
            if at - header.dated_at > FRESH:
                return False
            if self._newest is not None and header.dated_at < self._newest - OUT_OF_ORDER:
                return False
            self._newest = max(self._newest or header.dated_at, header.dated_at)
        if header.session != self._session:
            if self._session is not None:
                self._past.append(self._session)
            self._session = header.session
        return True
