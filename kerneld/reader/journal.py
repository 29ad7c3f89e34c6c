"""Descriptors with logs (the journal, a server's own) into what managers say that they did."""

import os
from datetime import datetime

from kerneld.model.wire import JournalParsed, LogOrder, LogParsed
from kerneld.parse.managers import Managers
from kerneld.parse.server_log import Asked, parse_server_log

MAX_BATCH_BYTES = 1 << 20
MOST_ACTS = 64
TAIL_BYTES = 64 * 1024
"""of a server's log: a traceback has some KiB, and others write meanwhile"""


class Journal:
    """One journal; what a batch began, the next one may end."""

    def __init__(self, boot_id: str) -> None:
        self._managers = Managers(boot_id)

    def read(self, number: int, fd: int) -> JournalParsed:
        taken = self._managers.feed(os.pread(fd, MAX_BATCH_BYTES, 0))
        return JournalParsed(number=number, acts=taken.acts, cursor=taken.cursor)


def read_log(order: LogOrder, fd: int) -> LogParsed:
    """A log that can't be read tells nothing."""
    try:
        start = max(0, os.fstat(fd).st_size - TAIL_BYTES)
        data = os.pread(fd, TAIL_BYTES, start)
    except OSError:
        data = b""
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    asked = Asked(order.kernel_id, order.pid, order.since, order.answered)
    acts = parse_server_log(data.decode("utf-8", "replace"), asked, zone=zone)
    return LogParsed(number=order.number, acts=acts[-MOST_ACTS:])
