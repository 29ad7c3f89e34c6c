"""Whose bytes this process works on, said to the collector beforehand: it may not survive them."""

import mmap
import os
from functools import partial

from kerneld.model.wire import NOTE_BYTES, READING_AT, SHAKING_AT, WORKING_ON


class Note:
    """Handles of connection files; 0 for none. Memory that both share."""

    def __init__(self, fd: int) -> None:
        shared = mmap.mmap(fd, NOTE_BYTES)
        os.close(fd)
        self.reading = partial(WORKING_ON.pack_into, shared, READING_AT)
        self.shaking_hands = partial(WORKING_ON.pack_into, shared, SHAKING_AT)
