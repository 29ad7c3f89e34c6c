"""Descriptors with logs (the journal, a server's own) into what managers say that they did."""

import os
from datetime import UTC, datetime, tzinfo

from kerneld.model.wire import JournalOrder, JournalParsed, LogOrder, LogParsed
from kerneld.parse.log_files import Syslog, parse_slurmd
from kerneld.parse.managers import Managers
from kerneld.parse.server_log import Asked, parse_server_log

MAX_BATCH_BYTES = 1 << 20
MOST_ACTS = 64
TAIL_BYTES = 64 * 1024
"""of a server's log: a traceback has some KiB, and others write meanwhile"""


class Journal:
    """The logs of one machine; what a batch of one began, its next one may end."""

    def __init__(self, boot_id: str) -> None:
        self._managers, self._syslog = Managers(boot_id), Syslog(_zone())

    def read(self, order: JournalOrder, fd: int) -> JournalParsed:
        data, latest = os.pread(fd, MAX_BATCH_BYTES, 0), datetime.now(UTC)
        told = JournalParsed(number=order.number, form=order.form)
        match order.form:
            case "journal":
                taken = self._managers.feed(data)
                return told.model_copy(update={"acts": taken.acts, "cursor": taken.cursor})
            case "syslog":
                return told.model_copy(update={"acts": self._syslog.feed(data, latest=latest)})
            case "slurmd":
                acts = parse_slurmd(data, zone=_zone(), latest=latest)
                return told.model_copy(update={"acts": acts})


def read_log(order: LogOrder, fd: int) -> LogParsed:
    """A log that can't be read tells nothing."""
    try:
        start = max(0, os.fstat(fd).st_size - TAIL_BYTES)
        data = os.pread(fd, TAIL_BYTES, start)
    except OSError:
        data = b""
    asked = Asked(order.kernel_id, order.pid, order.since, order.answered)
    acts = parse_server_log(data.decode("utf-8", "replace"), asked, zone=_zone())
    return LogParsed(number=order.number, acts=acts[-MOST_ACTS:])


def _zone() -> tzinfo:
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone
