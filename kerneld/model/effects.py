"""Effects: what the owner asks of the sources. Plain orders, no answers; answers come as facts."""

from dataclasses import dataclass
from datetime import datetime

from kerneld.model.process import Connection, Process, ProcessKey
from kerneld.model.wire import JournalOrder, LibraryOrder, LogOrder


@dataclass(frozen=True, slots=True)
class WatchExit:
    """exits: this pidfd is yours now; tell when it ends."""

    key: ProcessKey
    pidfd: int


@dataclass(frozen=True, slots=True)
class SampleMemory:
    """memory, cgroups: keep a ring of this process (and of its tree); fault-place: what it executes."""

    process: Process


@dataclass(frozen=True, slots=True)
class ForgetMemory:
    """memory, cgroups, stacks, fault-place: the case is settled, what was kept of it can go."""

    key: ProcessKey


@dataclass(frozen=True, slots=True)
class LookAround:
    """census: see which processes are the largest, now that this one is dead.

    path: a file of its user's, whose filesystem is asked for its free space; never opened.
    """

    process: Process
    path: str | None


@dataclass(frozen=True, slots=True)
class WatchStacks:
    """stacks, fault-place: this kernel's growth, or its crash, is to be charged to its lines.

    handle: under which its cells are heard.

    language: as far as its command line tells; only Python has stacks that can be read.
    """

    process: Process
    handle: int
    language: str | None


@dataclass(frozen=True, slots=True)
class ReadStack:
    """reader: parse py-spy's JSON behind this descriptor and close it; the answer has this number."""

    handle: int
    number: int
    fd: int


@dataclass(frozen=True, slots=True)
class PlaceFault:
    """fault-place: find function, package and trace of this fault; the answer is a FaultPlaced.

    uuid: the case's. key: whose maps are known, the kernel's where its worker died. ip: as the Linux
    log prints it, object: the name of the file that it names; None where there is no such line.
    uid: of the user who could read that.
    """

    uuid: str
    key: ProcessKey
    uid: int
    died_at: datetime
    ip: str | None
    object: str | None


@dataclass(frozen=True, slots=True)
class ReadLibrary:
    """reader: answer this question about the file behind the descriptor, and close it."""

    order: LibraryOrder
    fd: int


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """reader: parse the journal's text behind this descriptor, and close it."""

    order: JournalOrder
    fd: int


@dataclass(frozen=True, slots=True)
class ReadServerLog:
    """server-log: look what its server says of the end of this kernel's process, that began then.

    answered: it had come up, so that no reason of a failed start is looked for.
    """

    server: ProcessKey
    server_uid: int
    kernel_id: str
    pid: int
    since: datetime
    answered: bool


@dataclass(frozen=True, slots=True)
class ReadLog:
    """reader: parse the log behind this descriptor, and close it."""

    order: LogOrder
    fd: int


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """reader: what this kernel ran before it was listened to, by IPython's own history file."""

    handle: int
    process: Process


@dataclass(frozen=True, slots=True)
class ProbePorts:
    """discover: say when this process listens on these ports; give up when it is gone."""

    key: ProcessKey
    connection: Connection


@dataclass(frozen=True, slots=True)
class ReadConnection:
    """reader: parse the file behind this descriptor; close it once it is handed over."""

    handle: int
    fd: int
    owner_uid: int


@dataclass(frozen=True, slots=True)
class Listen:
    """reader: subscribe to the iopub of the file handed over under this number."""

    handle: int
    implementation: str
    """ipykernel, xeus, bash, irkernel, other: which topics it publishes under"""


@dataclass(frozen=True, slots=True)
class FindListener:
    """discover: no command line names this file; find the process that listens on its ports."""

    handle: int
    connection: Connection
    owner_uid: int


@dataclass(frozen=True, slots=True)
class WatchFile:
    """discover: tell at once when the file under this number is removed; a death waits for it."""

    handle: int


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """discover and reader: no living kernel uses the file of this number any more."""

    handle: int


@dataclass(frozen=True, slots=True)
class CloseFd:
    """A descriptor handed over with a fact that nobody wants."""

    fd: int


Effect = (
    WatchExit
    | ReadConnection
    | SampleMemory
    | ForgetMemory
    | LookAround
    | WatchStacks
    | ReadStack
    | PlaceFault
    | ReadLibrary
    | ReadJournal
    | ReadServerLog
    | ReadLog
    | ReadHistory
    | ProbePorts
    | Listen
    | FindListener
    | WatchFile
    | ReleaseFile
    | CloseFd
)
