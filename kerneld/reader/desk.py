"""The reader's main loop: orders from the collector, messages from the ears, facts back."""

import os
import select
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from kerneld.errors import SourceUnavailable
from kerneld.model.process import Connection
from kerneld.model.said import CellStarted, ListenState, SessionFact
from kerneld.model.wire import (
    FactsLost,
    FileParsed,
    HistoryOrder,
    JournalOrder,
    LibraryOrder,
    ListenOrder,
    LogOrder,
    Order,
    Ping,
    Pong,
    ReadOrder,
    ReleaseOrder,
    StackOrder,
)
from kerneld.parse.connection import curve_server_key, parse_connection
from kerneld.parse.iopub import Publisher, Refusal, parse_iopub, recalled_cell, topics_of
from kerneld.reader.backlog import BYTES_A_TOKEN, Backlog, Heard
from kerneld.reader.cells import Cells, make_room
from kerneld.reader.ear import Ear
from kerneld.reader.ears import Ears
from kerneld.reader.files import address_of, publisher_of, read_file
from kerneld.reader.history import last_cell
from kerneld.reader.journal import Journal, read_log
from kerneld.reader.libraries import read_library
from kerneld.reader.note import Note
from kerneld.reader.outbox import Outbox, receive
from kerneld.reader.pace import Pace
from kerneld.reader.stacks import read_stacks
from kerneld.reader.voice import Voice

STUCK_S = 1.0
"""a collector that takes nothing for so long may be stopped: kernels must not pay for that"""
_MESSAGES_A_TURN, _TURN_S = 16, 0.1
"""orders are looked at between turns: a ping waits for one message at most"""
_BUDGET_PAUSE_MS = 50
_STUCK_LOOK_MS = 100
_UNSIGNED = "its messages do not carry the signature of its connection file's key"
_LOST_S = 1.0
"""between two words of losses: one a turn wrote 37 lines a second into the log"""
_TOO_FAST = "messages came faster than they were read"
_DEAF = "the collector took no facts for a second, so the reader let go of the kernels"


@dataclass(slots=True)
class _File:
    """One connection file. ear: the wanted subscription.

    heard: None until the first message; False while none carried the key's signature.
    cells: what a stack's lines are looked up in.
    """

    connection: Connection
    key: bytes
    folder: str
    server_key: bytes | None = None
    ear: Ear | None = None
    publisher: Publisher | None = None
    heard: bool | None = None
    voice: Voice = field(default_factory=Voice)
    cells: Cells = field(default_factory=Cells)


class Desk:
    """The one thread that understands. Keys live in its memory and nowhere else."""

    def __init__(self, collector: socket.socket, *, boot_id: str, note_fd: int) -> None:
        self._note = Note(note_fd)
        self._collector = collector
        self._collector.setblocking(False)
        self._boot_id = boot_id
        self._heard_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._backlog = Backlog()
        self._ears = Ears(self._backlog, self._heard_fd, on_shaking=self._note.shaking_hands)
        self._files: dict[int, _File] = {}
        self._journal = Journal(boot_id)
        self._outbox = Outbox(collector)
        self._may_understand = True
        self._pace = Pace(time.monotonic())
        self._deaf_since: datetime | None = None
        self._refused, self._lost_at_s = 0, 0.0

    def run(self) -> None:
        """Until the collector's end of the socket closes."""
        self._ears.start()
        poll = select.poll()
        while True:
            rest_s = self._pace.rest_s(time.monotonic())
            poll.register(self._heard_fd, 0 if rest_s else select.POLLIN)
            wanted = select.POLLIN | (0 if self._outbox.empty else select.POLLOUT)
            poll.register(self._collector, wanted)
            ready = dict(poll.poll(self._pause_ms(rest_s)))
            if self._heard_fd in ready:
                os.eventfd_read(self._heard_fd)
                self._tell_states()
            if self._collector.fileno() in ready and not self._take_orders():
                return
            if not self._pace.rest_s(time.monotonic()):
                self._understand()
            self._hand_on()

    def _pause_ms(self, rest_s: float) -> float | None:
        """Nothing to do: no timeout at all."""
        if rest_s:
            return 1000 * rest_s
        if self._backlog.waits() and not self._outbox.full:
            return 0 if self._may_understand else _BUDGET_PAUSE_MS
        if not self._outbox.empty and self._deaf_since is None:
            return _STUCK_LOOK_MS
        return None

    # ------------------------------------------------------------------ orders

    def _take_orders(self) -> bool:
        """False at the end of the collector."""
        while True:
            try:
                data, fds = receive(self._collector)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not data:
                return False
            try:
                self._obey(Order.model_validate_json(data, strict=True), fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _obey(self, order: Order, fds: list[int]) -> None:
        match order.order:
            case Ping(number=number):
                self._outbox.put(Pong(number=number, refused=self._refused))
            case ReadOrder(handle=handle) if fds:
                self._outbox.put(self._read(handle, fds[0]))
            case ListenOrder(handle=handle, implementation=implementation):
                self._listen(handle, implementation)
            case StackOrder(handle=handle, number=number) if fds:
                self._outbox.put(read_stacks(number, fds[0], self._cells_of(handle)))
            case LibraryOrder(handle=handle) as library if fds:
                self._outbox.put(read_library(library, fds[0], self._cells_of(handle)))
            case JournalOrder() as lines if fds:
                self._outbox.put(self._journal.read(lines, fds[0]))
            case LogOrder() as asked if fds:
                self._outbox.put(read_log(asked, fds[0]))
            case HistoryOrder() if fds:
                self._recall(order.order, fds[0])
            case ReleaseOrder(handle=handle):
                self._forget(handle)

    def _read(self, handle: int, fd: int) -> FileParsed:
        """A file that says something new ends the listening: its ports are not proven any more."""
        try:
            data, folder = read_file(fd)
        except OSError as error:
            return FileParsed(
                handle=handle, problem=f"it can't be read: {os.strerror(error.errno or 0)}"
            )
        parsed = parse_connection(data, boot_id=self._boot_id)
        if isinstance(parsed, str):
            return FileParsed(handle=handle, problem=parsed)
        connection, key = parsed
        known = self._files.get(handle)
        if known is None or known.connection != connection:
            self._forget(handle)
            self._files[handle] = _File(connection, key, folder, curve_server_key(data))
        return FileParsed(handle=handle, connection=connection)

    def _cells_of(self, handle: int | None) -> Cells | None:
        file = self._files.get(-1 if handle is None else handle)
        return file.cells if file else None

    def _recall(self, order: HistoryOrder, fd: int) -> None:
        file, found = self._files.get(order.handle), last_cell(order, fd)
        if file is not None and found is not None:
            told = recalled_cell(order.handle, *found, at=datetime.now(UTC))
            file.cells.hear(told)
            self._outbox.put(told)

    def _listen(self, handle: int, implementation: str) -> None:
        file = self._files.get(handle)
        if file is None:
            return self._say_listening(handle, "its connection file could not be read")
        try:
            file.publisher = publisher_of(handle, file.connection, file.key, implementation)
            address = address_of(file.connection, folder=file.folder, server_key=file.server_key)
        except SourceUnavailable as refusal:
            return self._say_listening(handle, refusal.reason)
        ear = Ear(handle, address, topics_of(implementation), file.server_key)
        if file.ear != ear:
            file.ear, file.heard = ear, None
            if self._deaf_since is None:
                self._ears.open(ear)
        return None

    def _forget(self, handle: int) -> None:
        file = self._files.pop(handle, None)
        if file is not None and file.ear is not None:
            self._ears.close(handle)
            self._backlog.forget(handle)

    # ------------------------------------------------------------------ messages

    def _tell_states(self) -> None:
        """A kernel is listened to from its handshake on, and after each restart anew."""
        while self._ears.states:
            handle, reason = self._ears.states.popleft()
            file = self._files.get(handle)
            if file is not None:
                file.heard = None
                self._say_listening(handle, reason)

    def _understand(self) -> None:
        """A turn's messages, as long as the collector takes what they tell."""
        self._may_understand = True
        until_s = time.monotonic() + _TURN_S
        for understood in range(_MESSAGES_A_TURN):
            if self._outbox.full or time.monotonic() > until_s:
                return
            heard = self._backlog.take(time.monotonic())
            if heard is None:
                self._may_understand = False
                if understood:
                    self._pace.take()
                break
            file = self._files.get(heard.handle)
            if file is None or file.publisher is None:
                self._backlog.forget(heard.handle)
                continue
            self._weigh(file, heard.handle, self._parse(file, file.publisher, heard))
        now_s = time.monotonic()
        if now_s - self._lost_at_s > _LOST_S and (dropped := self._backlog.take_dropped()):
            self._lost_at_s = now_s
            self._outbox.put(FactsLost(count=dropped, reason=_TOO_FAST))

    def _parse(self, file: _File, publisher: Publisher, heard: Heard) -> SessionFact | Refusal | None:
        """Paid for by its size beforehand; the note tells the collector whose message ended this."""
        by_size = 1 + heard.size_bytes / BYTES_A_TOKEN
        self._backlog.charge(heard.handle, by_size)
        own = partial(file.voice.is_own, at=heard.at)
        self._note.reading(heard.handle)
        told = parse_iopub(heard.frames, publisher, at=heard.at, is_own=own)
        self._note.reading(0)
        if isinstance(told, CellStarted) and told.source:
            self._backlog.charge(heard.handle, max(0.0, len(told.source) / 1024 - by_size))
        return told

    def _weigh(self, file: _File, handle: int, told: SessionFact | Refusal | None) -> None:
        """Hand a fact on; a kernel of which nothing can be believed is not listened to, in effect."""
        if isinstance(told, Refusal):
            self._refused += 1
            if file.heard is None and told is Refusal.SIGNATURE:
                file.heard = False
                self._say_listening(handle, _UNSIGNED)
            return
        if file.heard is False:
            self._say_listening(handle, "")
        file.heard = True
        if told is None:
            return
        self._outbox.put(told)
        file.cells.hear(told)
        if isinstance(told, CellStarted):
            make_room([one.cells for one in self._files.values()])

    # ------------------------------------------------------------------ the way out

    def _say_listening(self, handle: int, reason: str, at: datetime | None = None) -> None:
        at = at or datetime.now(UTC)
        self._outbox.put(ListenState(at=at, handle=handle, listening=not reason, reason=reason))

    def _hand_on(self) -> None:
        """Kernels are let go of while the collector takes nothing, and heard again when it does."""
        stuck_s = self._outbox.flush(time.monotonic())
        if stuck_s >= STUCK_S and self._deaf_since is None:
            self._ears.close_all()
            self._deaf_since = datetime.now(UTC)
        if self._outbox.empty and self._deaf_since is not None:
            self._hear_again(self._deaf_since)

    def _hear_again(self, deaf_since: datetime) -> None:
        self._deaf_since = None
        for handle, file in self._files.items():
            if file.ear is not None:
                self._ears.open(file.ear)
                self._say_listening(handle, _DEAF, deaf_since)
