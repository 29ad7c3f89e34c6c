"""Connections of users into answers about their own rows: who asks is Linux's word (SO_PEERCRED)."""

import logging
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kerneld.errors import KerneldError, StoreError, UsageError
from kerneld.live import read_living
from kerneld.model.incident import Incident
from kerneld.query import protocol
from kerneld.query.protocol import Ask, Ending, Refusal, Request
from kerneld.seen import Reader, seen_by
from kerneld.store import Store

log = logging.getLogger(__name__)

MOST_AT_ONCE, MOST_OF_A_USER = 32, 4
REQUEST_S, LINE_S, ANSWER_S, REFUSAL_S = 5.0, 10.0, 120.0, 0.2
"""for the whole question, a line of the answer, all of it, and the question of who is refused"""
PAGE = 100
"""of what settled: whoever follows asks for the next one"""
MAX_PATTERN = 256
"""of a glob: SQLite tries one with many `*` for long"""
MAX_NUMBER = 1 << 53
OVERFLOW_UID = 65534
"""stands for every user of a foreign user namespace"""

_UCRED = struct.Struct("=iII")


def peer_uid(connection: socket.socket) -> int:
    """Of the process that connected, when it did; it can't be forged."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(told)[1])


class Server:
    """A thread a connection, each with a database connection of its own."""

    def __init__(self, listener: socket.socket, database: Path, live: Path) -> None:
        self._listener, self._database, self._live = listener, database, live
        self._lock = threading.Lock()
        self._of_user: Counter[int] = Counter()

    def serve(self, idle_s: float) -> None:
        """Until nobody has asked for so long: the next one who does starts it again."""
        self._listener.settimeout(idle_s)
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if not self._of_user.total():
                    return
                continue
            try:
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()
            except RuntimeError:  # as many threads as the unit allows
                connection.close()

    def _attend(self, connection: socket.socket) -> None:
        uid = peer_uid(connection)
        with self._lock:
            has_room = self._of_user[uid] < MOST_OF_A_USER and self._of_user.total() < MOST_AT_ONCE
            self._of_user[uid] += 1
        try:
            with connection, suppress(OSError):  # who asked has gone
                self._answer(connection, uid, has_room=has_room)
        finally:
            with self._lock:
                self._of_user[uid] -= 1

    def _answer(self, connection: socket.socket, uid: int, *, has_room: bool) -> None:
        try:
            if not has_room:
                connection.settimeout(REFUSAL_S)
                with suppress(TimeoutError):
                    connection.recv(
                        protocol.MAX_REQUEST_BYTES
                    )  # unread, it would cost the asker the answer
                raise StoreError("the service answers enough questions right now: ask again")
            if uid == OVERFLOW_UID:
                raise StoreError("the service can't tell who asks: ask from outside the container")
            request = _request(connection)
            connection.settimeout(LINE_S)
            until = time.monotonic() + ANSWER_S
            for line in self._lines(request, uid):
                if time.monotonic() > until:
                    return
                connection.sendall(line)
        except KerneldError as problem:
            refusal = Refusal(status=problem.exit_code, text=str(problem))
            connection.sendall(_line(protocol.REFUSED, refusal.model_dump_json()))

    def _lines(self, request: Request, uid: int) -> Iterator[bytes]:
        if request.ask is Ask.KERNELS:
            living = read_living(self._live, uid=uid)
            for state in living.states:
                yield _line(protocol.RECORD, state.model_dump_json())
            yield _line(protocol.END, Ending(at=living.at, daemon=living.daemon).model_dump_json())
            return
        with Store.read(self._database) as store:
            cursor, found = _found(store, request, uid)
            for incident in found:
                seen = seen_by(Reader(uid), incident, owner_uid=incident.user.uid)
                yield _line(protocol.RECORD, seen.model_dump_json())
            ending = Ending(cursor=cursor, unread=store.unread.line())
        yield _line(protocol.END, ending.model_dump_json())


def _found(store: Store, request: Request, uid: int) -> tuple[int | None, Iterator[Incident]]:
    if request.ask is Ask.INCIDENT:
        return None, iter([store.get(request.ref, uid=uid)])
    if request.ask is Ask.CHANGES:
        if request.cursor is None:
            return store.cursor(), iter(())
        changed, cursor = store.changed_since(request.cursor, uid=uid, limit=PAGE)
        return cursor, iter(changed)
    return None, store.each(request.query(uid))


def _request(connection: socket.socket) -> Request:
    line, until = b"", time.monotonic() + REQUEST_S
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.001, until - time.monotonic()))
        piece = connection.recv(protocol.MAX_REQUEST_BYTES)
        line += piece
        if not piece or len(line) > protocol.MAX_REQUEST_BYTES:
            raise UsageError("the service did not understand: a question is one line of JSON")
    try:
        request = Request.model_validate_json(line)
    except ValueError:
        raise UsageError("the service did not understand: is this kerneld another version?") from None
    if max(len(text or "") for text in (request.ref, request.notebook, request.kernel)) > MAX_PATTERN:
        raise UsageError(f"a pattern has at most {MAX_PATTERN} letters")
    if any(
        not 0 <= (number or 0) <= MAX_NUMBER for number in (request.limit, request.pid, request.cursor)
    ):
        raise UsageError("a number that is negative, or far too large")
    return request


def _line(kind: bytes, document: str) -> bytes:
    return kind + document.encode("utf-8", "backslashreplace") + b"\n"
