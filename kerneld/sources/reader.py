"""The reader process, from the collector's side: orders and descriptors out, checked facts in.

What it tells is made of users' texts, so nothing is parsed here but its own datagrams, strictly;
a reader that is late, large or talks nonsense is killed, and another one told all over again.
"""

import logging
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kerneld.model.base import slim
from kerneld.model.effects import (
    Effect,
    Listen,
    ReadConnection,
    ReadHistory,
    ReadJournal,
    ReadLibrary,
    ReadLog,
    ReadStack,
    ReleaseFile,
)
from kerneld.model.facts import ConnectionRead, SourceLost, SourceState
from kerneld.model.process import Connection, Process
from kerneld.model.said import ListenState
from kerneld.model.wire import (
    FactsLost,
    FileParsed,
    HistoryOrder,
    JournalParsed,
    LibraryParsed,
    ListenOrder,
    LogParsed,
    Ping,
    Pong,
    ReadOrder,
    ReleaseOrder,
    Said,
    StackOrder,
    StackParsed,
    Told,
)
from kerneld.proc.history import open_history
from kerneld.sources.reader_child import Child, ReaderFailed
from kerneld.sources.source import Mailbox, Outlet, beat_s

log = logging.getLogger(__name__)

PING_S = 2.0
LATE_S = 5.0
MAX_RSS_BYTES = 200 * 1024 * 1024
"""idle it has 34 MiB; a backlog of every kernel's largest messages 48 MiB more"""
_STOP_WITHIN_S = 1.0
_DATAGRAMS_A_TURN = 64
MAX_STRIKES = 2
_OWN = (
    ReadConnection
    | Listen
    | ReleaseFile
    | ReadStack
    | ReadLibrary
    | ReadJournal
    | ReadLog
    | ReadHistory
)


@dataclass(slots=True)
class _File:
    """A connection file: its descriptor, kept for the next reader, and what became of it.

    implementation: how it is to be listened to, None as long as nobody asked for that.
    strikes: how many readers ended over its kernel's messages.
    """

    fd: int
    connection: Connection | None = None
    implementation: str | None = None
    strikes: int = 0


class ReaderSource:
    """Connection files, iopub, stacks and libraries, through a process without rights.

    on_stack: gets what a stack tells, in this source's thread: samples do not pass the queue.
    on_library, on_journal, on_lines, on_log: what a library or its papers, a log tell, likewise.
    """

    name = "iopub"

    def __init__(self, *, boot_id: str) -> None:
        self._boot_id = boot_id
        self._mailbox = Mailbox()
        self._files: dict[int, _File] = {}
        self._child: Child | None = None
        self._pinged = self._ponged = 0
        self._answered_at_s = 0.0
        self.refused_messages = 0
        self.on_stack: Callable[[StackParsed], None] = lambda _: None
        self.on_library: Callable[[LibraryParsed], None] = lambda _: None
        self.on_journal: Callable[[JournalParsed], None] = lambda _: None
        self.on_lines: Callable[[JournalParsed], None] = lambda _: None
        self.on_log: Callable[[LogParsed], None] = lambda _: None

    @property
    def reader_pid(self) -> int | None:
        return self._child.process.pid if self._child else None

    # ------------------------------------------------------------------ from other threads

    def control(self, effect: Effect) -> None:
        if isinstance(effect, _OWN):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    # ------------------------------------------------------------------ the thread

    def run(self, outlet: Outlet) -> None:
        """One life of one reader; what it leaves behind is blindness, told before the next."""
        child = Child(self._boot_id)
        self._child = child
        self._pinged = self._ponged = 0
        self._answered_at_s = time.monotonic()
        within_s = 0.0
        try:
            for handle, file in self._files.items():
                child.send(ReadOrder(handle=handle), file.fd)
            self._serve(child, outlet)
            within_s = _STOP_WITHIN_S
        except ReaderFailed as failure:
            self._tell_deafness(outlet, failure.reason)
            self._strike(outlet, child.working_on())
            raise
        finally:
            child.end(within_s)
            self._child = None

    def _serve(self, child: Child, outlet: Outlet) -> None:
        poll = select.poll()
        poll.register(self._mailbox.fd, select.POLLIN)
        ping_at_s = looked_at_s = time.monotonic()
        while not outlet.stopping.is_set():
            outlet.tick()
            now_s = time.monotonic()
            if now_s - looked_at_s > 2 * PING_S:
                self._answered_at_s = now_s  # it was this process that stood still
            looked_at_s = now_s
            if now_s >= ping_at_s:
                ping_at_s = now_s + beat_s(PING_S)
                self._judge(child, now_s)
                self._pinged += 1
                child.send(Ping(number=self._pinged))
            wanted = select.POLLIN | (0 if child.flush() else select.POLLOUT)
            poll.register(child.socket, wanted)
            poll.poll(1000 * max(0.0, ping_at_s - time.monotonic()))
            for order in self._mailbox.drain():
                self._obey(child, order)
            self._take(child, outlet)

    def _judge(self, child: Child, now_s: float) -> None:
        if now_s - self._answered_at_s > LATE_S:
            raise ReaderFailed(f"the reader did not answer for {LATE_S:.0f} s")
        if child.rss_bytes() > MAX_RSS_BYTES:
            raise ReaderFailed(f"the reader grew beyond {MAX_RSS_BYTES >> 20} MiB")

    def _tell_deafness(self, outlet: Outlet, reason: str) -> None:
        now = datetime.now(UTC)
        outlet.emit(SourceLost(now, self.name, None, reason))
        for handle, file in self._files.items():
            if file.implementation is not None:
                outlet.emit(ListenState(at=now, handle=handle, listening=False, reason=reason))

    def _strike(self, outlet: Outlet, handle: int) -> None:
        """A kernel whose messages end one reader after the other is not listened to any more."""
        file = self._files.get(handle)
        if file is None:
            return
        file.strikes += 1
        if file.strikes >= MAX_STRIKES:
            file.implementation = None
            now, reason = datetime.now(UTC), "its messages stopped the reader again and again"
            outlet.emit(ListenState(at=now, handle=handle, listening=False, reason=reason))

    # ------------------------------------------------------------------ orders

    def _obey(self, child: Child, order: Effect) -> None:
        match order:
            case ReadConnection(handle=handle, fd=fd):
                file = self._files.get(handle)
                if file is None:
                    self._files[handle] = _File(fd)
                else:
                    os.close(file.fd)
                    file.fd = fd
                child.send(ReadOrder(handle=handle), fd)
            case Listen(handle=handle, implementation=implementation):
                file = self._files.get(handle)
                if file is not None and file.strikes < MAX_STRIKES:
                    file.implementation = implementation
                    child.send(ListenOrder(handle=handle, implementation=implementation))
            case ReadStack(handle=handle, number=number, fd=fd):
                child.send(StackOrder(handle=handle, number=number), fd)
                os.close(fd)
            case (
                ReadLibrary(order=text, fd=fd)
                | ReadJournal(order=text, fd=fd)
                | ReadLog(order=text, fd=fd)
            ):
                child.send(text, fd)
                os.close(fd)
            case ReadHistory(handle=handle, process=process):
                _send_history(child, handle, process)
            case ReleaseFile(handle=handle):
                file = self._files.pop(handle, None)
                if file is not None:
                    os.close(file.fd)
                    child.send(ReleaseOrder(handle=handle))

    # ------------------------------------------------------------------ what it tells

    def _take(self, child: Child, outlet: Outlet) -> None:
        for _ in range(_DATAGRAMS_A_TURN):
            data = child.receive()
            if data is None:
                return
            try:
                said = Told.model_validate_json(data, strict=True).said
            except ValueError as error:
                raise ReaderFailed("the reader told what nobody can understand") from error
            self._believe(said, child, outlet)

    def _believe(
        self,
        said: Said,
        child: Child,
        outlet: Outlet,
    ) -> None:
        match said:
            case Pong(number=number, refused=refused):
                self._pong(number, refused, outlet)
            case FactsLost(count=count, reason=reason):
                outlet.offer(SourceLost(datetime.now(UTC), self.name, count, reason))
            case FileParsed():
                self._file_parsed(said, child, outlet)
            case StackParsed():
                self.on_stack(said)
            case LibraryParsed():
                self.on_library(said)
            case JournalParsed(form="journal"):
                self.on_journal(said)
            case JournalParsed():
                self.on_lines(said)
            case LogParsed():
                self.on_log(said)
            case _ if said.handle in self._files:
                outlet.offer(slim(said))
            case _:
                pass  # on its way when its file was let go of

    def _pong(self, number: int, refused: int, outlet: Outlet) -> None:
        if not self._ponged < number <= self._pinged:
            raise ReaderFailed("the reader answered what was not asked")
        if self._ponged == 0:
            outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        self._ponged = number
        self._answered_at_s = time.monotonic()
        self.refused_messages = refused

    def _file_parsed(self, parsed: FileParsed, child: Child, outlet: Outlet) -> None:
        """A file that says something new is listened to only when its ports were proven anew."""
        file = self._files.get(parsed.handle)
        if file is None:
            return
        unchanged = file.connection is not None and parsed.connection == file.connection
        if parsed.connection is not None and not unchanged:
            file.connection, file.implementation = parsed.connection, None
        if unchanged and file.implementation is not None:
            child.send(ListenOrder(handle=parsed.handle, implementation=file.implementation))
        outlet.emit(ConnectionRead(datetime.now(UTC), parsed.handle, parsed.connection, parsed.problem))


def _send_history(child: Child, handle: int, process: Process) -> None:
    fd = open_history(process)
    if fd is None:
        return
    started_at = process.started_at
    offset = started_at.astimezone().utcoffset() or timedelta()
    order = HistoryOrder(handle=handle, started_at=started_at, utc_offset_s=int(offset.total_seconds()))
    child.send(order, fd)
    os.close(fd)
