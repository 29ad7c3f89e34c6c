"""This user's question to the machine's service into the records of its answer."""

import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from kerneld.errors import StoreError
from kerneld.live import Living
from kerneld.model.base import Record
from kerneld.model.incident import Incident
from kerneld.model.living import LivingState
from kerneld.query import protocol
from kerneld.query.protocol import Ask, Ending, Refusal, Request, incidents_request
from kerneld.store import Query

R = TypeVar("R", bound=Record)

PATIENCE_S = 30.0


def is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


class Unread:
    """What the service could not read, each time that it says so."""

    def __init__(self) -> None:
        self.told: str | None = None

    def line(self) -> str | None:
        told, self.told = self.told, None
        return told


class Service:
    """Asks as a `Store` is asked; each question is a connection. Raises the service's own errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unread = Unread()
        self._ending = Ending()

    def find(self, query: Query) -> list[Incident]:
        return list(self.each(query))

    def each(self, query: Query) -> Iterator[Incident]:
        yield from self._ask(incidents_request(query), Incident)

    def get(self, ref: str) -> Incident:
        return next(iter(list(self._ask(Request(ask=Ask.INCIDENT, ref=ref), Incident))))

    def cursor(self) -> int:
        return self.changed_since(None)[1]

    def changed_since(self, cursor: int | None) -> tuple[list[Incident], int]:
        """Own ends settled after the cursor, and the cursor after them."""
        settled = list(self._ask(Request(ask=Ask.CHANGES, cursor=cursor), Incident))
        return settled, self._ending.cursor or 0

    def living(self) -> Living:
        states = tuple(self._ask(Request(ask=Ask.KERNELS), LivingState))
        return Living(states, self._ending.at, self._ending.daemon)

    def _ask(self, request: Request, kind: type[R]) -> Iterator[R]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(PATIENCE_S)
                connection.connect(str(self.path))
                with suppress(BrokenPipeError):  # it may have refused before it heard the question
                    connection.sendall(request.model_dump_json().encode() + b"\n")
                with connection.makefile("rb") as answer:
                    yield from self._records(answer, kind)
        except OSError as problem:
            raise StoreError(
                f"{self.path}: {problem.strerror or problem}; "
                "`systemctl status kerneld-query.socket` says more"
            ) from None

    def _records(self, answer: "Iterator[bytes]", kind: type[R]) -> Iterator[R]:
        for line in answer:
            sign, document = line[:1], line[1:]
            if sign == protocol.REFUSED:
                raise Refusal.model_validate_json(document).error()
            if sign == protocol.END:
                self._ending = Ending.model_validate_json(document)
                self.unread.told = self._ending.unread or self.unread.told
                return
            yield kind.model_validate_json(document)
        raise StoreError(f"{self.path}: the service's answer ended in the middle; ask again")
