"""What the daemon logs into lines on stderr: escaped, and an equal one once a minute."""

import logging
import sys
import time

from kerneld.outputs.safe import safe_text

AGAIN_S = 60.0
MAX_TEXTS = 256
"""of as many it is known when they were told; then all are forgotten"""


class Seldom(logging.Filter):
    """An equal line is told once a minute, then with how often it was due.

    One kernel that floods iopub made 220 lines a second, and a full disk 7, into a journal that
    lies on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        now = time.monotonic()
        told_at, unsaid = self._told.get(text, (now - AGAIN_S, 0))
        if now - told_at < AGAIN_S:
            self._told[text] = (told_at, unsaid + 1)
            return False
        if len(self._told) >= MAX_TEXTS:
            self._told.clear()
        self._told[text] = (now, 0)
        if unsaid:
            record.msg, record.args = "%s (%d times since it was said last)", (text, unsaid + 1)
        return True


class _Safe(logging.Formatter):
    """Paths and names that others chose, escaped as the command line does."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(safe_text, super().format(record).splitlines()))


def log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Safe("kerneld: %(message)s"))
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
