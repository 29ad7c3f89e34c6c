"""The logs of Jupyter servers, looked at when a kernel of theirs has ended, into ManagerActs.

A server writes to its standard error. Where that is a file, it is opened as the descriptor that the
server has, without a path; its text goes to the reader process unread.
"""

import os
import select
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.model.effects import Effect, ReadLog, ReadServerLog
from kerneld.model.facts import SourceLost, SourceState
from kerneld.model.wire import LogOrder, LogParsed
from kerneld.proc.files import is_slow
from kerneld.sources.source import Mailbox, Outlet, beat_s

LOOKS_S = (0.8, 3.8)
"""a request is told before its end or a moment after it; a restart once the next life answers"""
MOST_WAITING = 32
"""as many descriptors"""
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(slots=True)
class _Look:
    """due_s: when to look, the next time first. fd: the log, kept for the last look."""

    asked: ReadServerLog
    fd: int
    due_s: list[float]


class ServerLogSource:
    """read: hands a log to the reader process; its answer comes by `parsed`, in another thread."""

    name = "server-log"

    def __init__(self, *, read: Callable[[ReadLog], None], proc_root: str = "/proc") -> None:
        self._read, self._proc_root = read, proc_root
        self._mailbox = Mailbox(latest=MOST_WAITING)
        self._looks: list[_Look] = []
        self._outlet: Outlet | None = None
        self._number = 0

    def control(self, effect: Effect) -> None:
        if isinstance(effect, ReadServerLog):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def parsed(self, told: LogParsed) -> None:
        """The correlator takes what it has not got yet; never waits, in the reader's thread."""
        outlet = self._outlet
        for act in told.acts if outlet else ():
            assert outlet is not None
            outlet.offer(act)

    def run(self, outlet: Outlet) -> None:
        self._outlet = outlet
        poll = select.poll()
        poll.register(self._mailbox.fd, select.POLLIN)
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        while not outlet.stopping.is_set():
            outlet.tick()
            next_s = min((look.due_s[0] for look in self._looks), default=float("inf"))
            poll.poll(1000 * max(0.0, min(beat_s(), next_s - time.monotonic())))
            for asked in self._mailbox.drain():
                if isinstance(asked, ReadServerLog):
                    self._await(asked, outlet)
            self._look(time.monotonic())

    def _await(self, asked: ReadServerLog, outlet: Outlet) -> None:
        """Opened at once: the server may be gone when it is looked at."""
        if len(self._looks) >= MOST_WAITING:
            outlet.offer(SourceLost(datetime.now(UTC), self.name, 1, "too many kernels ended at once"))
            return
        fd = open_log(asked.server.pid, asked.server_uid, proc_root=self._proc_root)
        if fd is not None:
            now_s = time.monotonic()
            self._looks.append(_Look(asked, fd, [now_s + after_s for after_s in LOOKS_S]))

    def _look(self, now_s: float) -> None:
        for look in self._looks:
            if look.due_s[0] > now_s:
                continue
            del look.due_s[0]
            self._number += 1
            # the reader's side closes what it gets
            fd = os.dup(look.fd) if look.due_s else look.fd
            self._read(ReadLog(_order(self._number, look.asked), fd))
        self._looks = [look for look in self._looks if look.due_s]


def _order(number: int, asked: ReadServerLog) -> LogOrder:
    return LogOrder(
        number=number,
        kernel_id=asked.kernel_id,
        pid=asked.pid,
        since=asked.since,
        answered=asked.answered,
    )


def open_log(pid: int, uid: int, *, proc_root: str = "/proc") -> int | None:
    """The regular file that this process has as its standard error, if it is its own user's.

    The descriptor itself is opened, not its name. Whoever hands a server somebody else's file (root's,
    another user's, by O_PATH) gains nothing: its owner is looked at.
    """
    link = f"{proc_root}/{pid}/fd/2"
    try:
        if is_slow(os.readlink(link)) or not stat.S_ISREG(os.stat(link).st_mode):
            return None
        fd = os.open(link, _FLAGS)
    except OSError:
        return None
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_uid == uid:
        return fd
    os.close(fd)
    return None
