"""What the collector orders of the reader, and what it is told: one JSON datagram each.

A datagram holds one Order or one Told, at most MAX_DATAGRAM_BYTES; a ReadOrder carries the file's
descriptor as ancillary data. Both ends validate strictly.
"""

from struct import Struct
from typing import Annotated, Literal

from pydantic import Field

from kerneld.model.base import Record, Timestamp
from kerneld.model.growth import Frame, SeenThread
from kerneld.model.process import Connection
from kerneld.model.records import ManagerAct
from kerneld.model.said import SessionFact

MAX_DATAGRAM_BYTES = 128 * 1024
WORKING_ON = Struct("=q")
READING_AT, SHAKING_AT, NOTE_BYTES = 0, WORKING_ON.size, 2 * WORKING_ON.size
"""the note that both share: the number of the file whose message is being read, 0 for none; and of
the one that libzmq shakes hands with"""

Handle = Annotated[int, Field(ge=0)]


class ReadOrder(Record):
    """Parse the file whose descriptor comes with this order."""

    type: Literal["read"] = "read"
    handle: Handle


class ListenOrder(Record):
    """Subscribe to the iopub of this file; again: nothing happens."""

    type: Literal["listen"] = "listen"
    handle: Handle
    implementation: str


class ReleaseOrder(Record):
    """Forget this file and its key."""

    type: Literal["release"] = "release"
    handle: Handle


class StackOrder(Record):
    """Parse py-spy's JSON behind the descriptor that comes with this order: a stack of this kernel."""

    type: Literal["stack"] = "stack"
    handle: Handle
    number: int


class LibraryOrder(Record):
    """Answer a question about the file whose descriptor comes with this order.

    symbol: which function stands at this offset of an ELF file? record, conda: does this RECORD,
    this conda-meta file list the path? metadata: which package is this METADATA of? trace: what did
    faulthandler write last into this file? path: its bytes as latin-1. handle: of the kernel's cells.
    """

    type: Literal["library"] = "library"
    number: int
    asks: Literal["symbol", "record", "metadata", "conda", "trace"]
    handle: int | None = None
    offset: int = 0
    path: str = ""


LogForm = Literal["journal", "syslog", "slurmd"]
"""records of the journal, a JSON object each, or lines of syslog's or slurmd's own file"""


class JournalOrder(Record):
    """Parse whole lines of a log of this machine, behind the descriptor that comes along."""

    type: Literal["journal"] = "journal"
    number: int
    form: LogForm = "journal"


class LogOrder(Record):
    """Parse the end of a server's log, which comes along, for what it says of this kernel's end."""

    type: Literal["log"] = "log"
    number: int
    kernel_id: str
    pid: int
    since: Timestamp
    answered: bool


class HistoryOrder(Record):
    """Which cell does the IPython history behind the descriptor that comes with this order tell last?

    started_at: the kernel's own start; utc_offset_s: of this machine's zone then. The answer is a
    CellStarted that says `recalled`, or nothing.
    """

    type: Literal["history"] = "history"
    handle: Handle
    started_at: Timestamp
    utc_offset_s: int


class Ping(Record):
    type: Literal["ping"] = "ping"
    number: int


AnyOrder = (
    ReadOrder
    | ListenOrder
    | ReleaseOrder
    | StackOrder
    | LibraryOrder
    | JournalOrder
    | LogOrder
    | HistoryOrder
    | Ping
)


class Order(Record):
    order: Annotated[AnyOrder, Field(discriminator="type")]


class Pong(Record):
    """The answer to a Ping. refused: messages so far whose signature or shape was wrong."""

    type: Literal["pong"] = "pong"
    number: int
    refused: int = 0


class FileParsed(Record):
    """The answer to a ReadOrder. problem: why there is no connection, in words."""

    type: Literal["file-parsed"] = "file-parsed"
    handle: Handle
    connection: Connection | None = None
    problem: str = ""


class StackParsed(Record):
    """The answer to a StackOrder.

    threads: those that ran, and those that stood in the user's code; frames: the user's part of the
    first one's stack, outermost first. problem: why there is no stack, in words; no_python: there
    never will be one. cpu_s: what the reading cost.
    """

    type: Literal["stack-parsed"] = "stack-parsed"
    number: int
    threads: tuple[SeenThread, ...] = ()
    frames: tuple[Frame, ...] = ()
    problem: str = ""
    no_python: bool = False
    cpu_s: float = 0.0


class LibraryParsed(Record):
    """The answer to a LibraryOrder, which fills what it was asked for.

    owns: the path is listed there. problem: why there is no answer, in words.
    """

    type: Literal["library-parsed"] = "library-parsed"
    number: int
    symbol: str | None = None
    owns: bool = False
    package: str | None = None
    version: str | None = None
    said: str | None = None
    frames: tuple[Frame, ...] = ()
    native_stack: str | None = None
    problem: str = ""


class JournalParsed(Record):
    """The answer to a JournalOrder. cursor: the journal's own name of the last record's place."""

    type: Literal["journal-parsed"] = "journal-parsed"
    number: int
    form: LogForm = "journal"
    acts: tuple[ManagerAct, ...] = ()
    cursor: str | None = None


class LogParsed(Record):
    """The answer to a LogOrder."""

    type: Literal["log-parsed"] = "log-parsed"
    number: int
    acts: tuple[ManagerAct, ...] = ()


class FactsLost(Record):
    """So many messages were dropped, and why."""

    type: Literal["facts-lost"] = "facts-lost"
    count: int
    reason: str


Said = (
    Pong
    | FileParsed
    | StackParsed
    | LibraryParsed
    | JournalParsed
    | LogParsed
    | FactsLost
    | SessionFact
)


class Told(Record):
    said: Annotated[Said, Field(discriminator="type")]
