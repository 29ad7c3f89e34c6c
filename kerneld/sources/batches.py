"""Lines of logs to the reader process: one batch at a time, until its answer has come."""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from kerneld.model.effects import ReadJournal
from kerneld.model.facts import SourceLost
from kerneld.model.wire import JournalOrder, JournalParsed, LogForm
from kerneld.sources.source import Mailbox, Outlet

BATCH_BYTES = 16 * 1024
"""what it tells must fit into one datagram of the reader"""
ANSWER_S = 5.0
MOST_TRIES = 5
"""a batch that readers end over must not end all of them, nor keep back what comes behind it"""


class Batches:
    """name: of the source. read: hands a batch to the reader process; `parsed` gets its answer."""

    def __init__(self, name: str, read: Callable[[ReadJournal], None], mailbox: Mailbox) -> None:
        self._name, self._read, self._mailbox = name, read, mailbox
        self._inbox: deque[JournalParsed] = deque(maxlen=16)
        self._number = 0

    def parsed(self, told: JournalParsed) -> None:
        self._inbox.append(told)
        self._mailbox.wake()

    def hand_over(self, batch: bytes, form: LogForm, outlet: Outlet) -> JournalParsed | None:
        """Its answer, once its acts are told; None: it is time to stop, or no reader answers.

        A reader that was started again has not heard of the batch: it gets it again.
        """
        self._number += 1
        for _ in range(MOST_TRIES):
            order = JournalOrder(number=self._number, form=form)
            self._read(ReadJournal(order, _in_memory(batch)))
            told = self._answer(outlet)
            if told is not None:
                for act in told.acts:
                    outlet.emit(act)
                return told
            if outlet.stopping.is_set():
                return None
        reason = f"the reader did not answer {MOST_TRIES} times to the same lines"
        outlet.emit(SourceLost(datetime.now(UTC), self._name, None, reason))
        return None

    def _answer(self, outlet: Outlet) -> JournalParsed | None:
        until_s = time.monotonic() + ANSWER_S
        while not outlet.stopping.is_set() and (left_s := until_s - time.monotonic()) > 0:
            outlet.tick()
            while self._inbox:
                told = self._inbox.popleft()
                if told.number == self._number:
                    return told
            self.wait(-1, 1000 * left_s)
        return None

    def wait(self, fd: int, timeout_ms: float) -> None:
        """For an answer, a wake or what can be read of fd."""
        poll = select.poll()
        poll.register(self._mailbox.fd, select.POLLIN)
        if fd >= 0:
            poll.register(fd, select.POLLIN)
        poll.poll(timeout_ms)
        self._mailbox.drain()


def _in_memory(batch: bytes) -> int:
    """A file without a name, whose descriptor whoever takes it closes."""
    fd = os.memfd_create("kerneld-log", os.MFD_CLOEXEC)
    os.write(fd, batch)
    return fd
