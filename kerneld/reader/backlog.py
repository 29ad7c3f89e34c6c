"""Messages between the thread that hears and the one that understands: bounded, fair, newest kept."""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

MAX_MESSAGES = 2000
MAX_BYTES = 16 * 1024 * 1024
"""of one kernel: a cell of 8 MiB and what comes with it"""
MAX_BYTES_OF_ALL = 48 * 1024 * 1024
TOKENS_PER_S, MAX_TOKENS = 400.0, 1000.0
"""of one kernel; a message costs 1, a cell 1 more for each KiB (a parse takes about 0.6 ms/KiB)"""
_MESSAGE_BYTES, _FRAME_BYTES = 320, 48
"""what Python takes besides: 2,000 messages of 64 frames of 2 bytes were 7 MiB, and counted as 0.25"""
BYTES_A_TOKEN = 8192
"""a message's size costs, too, before it is looked at: JSON takes about 0.1 ms/KiB"""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as it came. at: when it was received."""

    handle: int
    frames: tuple[bytes, ...]
    at: datetime

    @property
    def size_bytes(self) -> int:
        return _MESSAGE_BYTES + sum(_FRAME_BYTES + len(frame) for frame in self.frames)


@dataclass(slots=True)
class _Line:
    """One kernel's messages, and how much it may still say now."""

    messages: deque[Heard] = field(default_factory=deque)
    size_bytes: int = 0
    tokens: float = MAX_TOKENS
    counted_at_s: float = 0.0


class Backlog:
    """Takes turns among kernels; a kernel that says too much loses its own oldest words."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[int, _Line] = {}
        self._size_bytes = 0
        self._dropped = 0

    def put(self, heard: Heard) -> None:
        """From the hearing thread; never waits for the other."""
        size = heard.size_bytes
        with self._lock:
            line = self._lines.setdefault(heard.handle, _Line())
            line.messages.append(heard)
            line.size_bytes += size
            self._size_bytes += size
            while len(line.messages) > MAX_MESSAGES or line.size_bytes > MAX_BYTES:
                self._drop_oldest(line)
            while self._size_bytes > MAX_BYTES_OF_ALL:
                self._drop_oldest(max(self._lines.values(), key=lambda one: one.size_bytes))

    def take(self, now_s: float) -> Heard | None:
        """The next message of the next kernel that may speak."""
        with self._lock:
            for handle, line in self._lines.items():
                if not line.messages:
                    continue
                line.tokens = min(MAX_TOKENS, line.tokens + (now_s - line.counted_at_s) * TOKENS_PER_S)
                line.counted_at_s = now_s
                if line.tokens <= 0:
                    continue
                self._lines[handle] = self._lines.pop(handle)  # to the end of the queue
                return self._pop(line)
        return None

    def charge(self, handle: int, tokens: float) -> None:
        with self._lock:
            line = self._lines.get(handle)
            if line is not None:
                line.tokens -= tokens

    def forget(self, handle: int) -> None:
        with self._lock:
            line = self._lines.pop(handle, None)
            if line is not None:
                self._size_bytes -= line.size_bytes

    def waits(self) -> bool:
        with self._lock:
            return any(line.messages for line in self._lines.values())

    def count_dropped(self) -> None:
        """A message was too large to be put here."""
        with self._lock:
            self._dropped += 1

    def take_dropped(self) -> int:
        """How many messages were dropped since the last question."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def _drop_oldest(self, line: _Line) -> None:
        self._pop(line)
        self._dropped += 1

    def _pop(self, line: _Line) -> Heard:
        heard = line.messages.popleft()
        size = heard.size_bytes
        line.size_bytes -= size
        self._size_bytes -= size
        return heard
