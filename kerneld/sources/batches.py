"""Lines of logs to the reader process: one batch at a time, until its answer has come."""

import os
import select
import time
from collections import deque
from collections.abc import Callable

from kerneld.model.effects import ReadJournal
from kerneld.model.wire import JournalOrder, JournalParsed, LogForm
from kerneld.sources.source import Mailbox, Outlet

BATCH_BYTES = 16 * 1024
"""what it tells must fit into one datagram of the reader"""
ANSWER_S = 5.0


class Batches:
    """read: hands a batch to the reader process; its answer comes by `parsed`, in another thread."""

    def __init__(self, read: Callable[[ReadJournal], None], mailbox: Mailbox) -> None:
        self._read, self._mailbox = read, mailbox
        self._inbox: deque[JournalParsed] = deque(maxlen=16)
        self._number = 0

    def parsed(self, told: JournalParsed) -> None:
        self._inbox.append(told)
        self._mailbox.wake()

    def hand_over(self, batch: bytes, form: LogForm, outlet: Outlet) -> JournalParsed | None:
        """Its answer, once its acts are told; None: it is time to stop.

        A reader that was started again has not heard of the batch: it gets it again.
        """
        self._number += 1
        told = None
        while told is None and not outlet.stopping.is_set():
            order = JournalOrder(number=self._number, form=form)
            self._read(ReadJournal(order, _in_memory(batch)))
            told = self._answer(outlet)
        for act in told.acts if told else ():
            outlet.emit(act)
        return told

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
