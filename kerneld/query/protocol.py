"""A question and its answer as lines on a Unix socket: one of each a connection.

The question is a `Request` as JSON. The answer's lines begin with `=` (a record that was asked for),
and the last one with `.` (an `Ending`) or `!` (a `Refusal`): an answer without either was cut short.
"""

from enum import StrEnum

from kerneld.errors import ConfigError, KerneldError, NothingFound, StoreError, UsageError
from kerneld.model.base import Record, Timestamp
from kerneld.model.living import DaemonState
from kerneld.model.vocabulary import Category, Cause
from kerneld.store import Query

MAX_REQUEST_BYTES = 8192
RECORD, END, REFUSED = b"=", b".", b"!"

_ERRORS = (NothingFound, UsageError, StoreError, ConfigError)


class Ask(StrEnum):
    INCIDENTS = "incidents"
    INCIDENT = "incident"
    CHANGES = "changes"
    KERNELS = "kernels"


class Request(Record):
    """ref: of one incident. cursor: what settled after it; null: where to begin. The rest: a Query."""

    ask: Ask
    ref: str = "latest"
    cursor: int | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    cause: Cause | None = None
    category: Category | None = None
    user: str | None = None
    notebook: str | None = None
    kernel: str | None = None
    pid: int | None = None
    limit: int | None = None
    reverse: bool = False
    all: bool = False

    def query(self, uid: int) -> Query:
        """What is asked for, of this user's rows alone."""
        return Query(uid=uid, **{name: getattr(self, name) for name in _ASKED})


_ASKED = (
    "since", "until", "cause", "category", "user", "notebook", "kernel", "pid", "limit", "reverse",
    "all",
)  # fmt: skip


def incidents_request(query: Query) -> Request:
    return Request(ask=Ask.INCIDENTS, **{name: getattr(query, name) for name in _ASKED})


class Ending(Record):
    """unread: what could not be read, in words. at and daemon: of the living."""

    cursor: int | None = None
    unread: str | None = None
    at: Timestamp | None = None
    daemon: DaemonState | None = None


class Refusal(Record):
    """status: as the command line leaves with."""

    status: int
    text: str

    def error(self) -> KerneldError:
        kind = next((kind for kind in _ERRORS if kind.exit_code == self.status), StoreError)
        return kind(self.text)
