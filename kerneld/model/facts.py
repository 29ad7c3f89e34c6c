"""Facts: what a source saw, frozen, with the time it was seen; all that the queue holds is these.

Two families. Facts that become evidence of a death are Records (they are stored with the case);
facts that only move the living (a process seen, a port heard) are plain dataclasses.
`at` is the time of the thing itself, not of its reading, wherever the source knows it.
"""

from dataclasses import dataclass, field
from typing import Literal

from kerneld.model.base import Record, Timestamp
from kerneld.model.place import FaultPlace
from kerneld.model.process import Connection, Process, ProcessKey, Rlimits
from kerneld.model.readings import ExitReading, PeakReading, Surroundings
from kerneld.model.records import LogRecord, ManagerAct, SignalSent
from kerneld.model.said import CellFailed, CellStarted, KernelStatus, ListenState, ShutdownAnnounced


class FileRemoved(Record):
    """The connection file's last link went away. at: the inode's ctime, which is the unlink."""

    type: Literal["file-removed"] = "file-removed"
    at: Timestamp
    handle: int


class Succession(Record):
    """A new process serves the same kernel id."""

    type: Literal["succession"] = "succession"
    at: Timestamp
    pid: int


class ServerEnd(Record):
    """The server's own end, as far as it is known. by_itself: exit, SIGTERM or SIGINT."""

    type: Literal["server-end"] = "server-end"
    at: Timestamp
    pid: int
    readings: tuple[ExitReading, ...] = ()
    uuid: str | None = None
    """the case of that end"""


# ---------------------------------------------------------------- facts that move the living


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """A process whose command line (or a bare ipykernel whose file) names a connection file.

    pidfd: handed over with this fact, close-on-exec; whoever takes the fact owns it.
    handle: the number of the connection file at the collector's door; one file, one number.
    parents: the pids of its ancestors, nearest first, as far as pid 1.
    argv_digest: equal for two processes with the same command line, as a fork has its parent's.
    orphaned_fork: the process that executed this command line is gone: a fork that outlived it.
    begun_by_jupyter: its parent, past wrappers that name the same file, is one that starts kernels.
    implementation, language: as far as the command line tells (ipykernel, xeus, bash, …; python, R).
    file_problem: why the connection file was not opened, in words ("" if it was).
    file_elsewhere: its path belongs to another root, as in a container.
    """

    at: Timestamp
    process: Process
    pidfd: int
    handle: int
    connection_file: str | None
    parents: tuple[int, ...]
    argv_digest: int
    orphaned_fork: bool = False
    begun_by_jupyter: bool = False
    implementation: str = "other"
    language: str | None = None
    server: "ServerSeen | None" = None
    file_problem: str = ""
    file_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class ProcessChanged:
    """A known process is in another cgroup, or has other limits, than when it was seen."""

    at: Timestamp
    process: Process


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """The process that started a kernel, past its wrappers, with a pidfd of its own.

    argv_notebook: the notebook on its command line (papermill, nbconvert), if any.
    """

    process: Process
    pidfd: int
    kind: str
    argv_notebook: str | None = None


@dataclass(frozen=True, slots=True)
class FileOpened:
    """A connection file was opened safely (new, or written again). fd: handed over, read-only.

    owner_uid: the file's owner, which is the uid of the process that names it.
    """

    at: Timestamp
    handle: int
    path: str
    fd: int
    owner_uid: int


@dataclass(frozen=True, slots=True)
class ConnectionRead:
    """The reader parsed the file under `handle`; problem: why not, in words ("" if it did)."""

    at: Timestamp
    handle: int
    connection: Connection | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PortsHeard:
    """The process listens on its connection file's shell and iopub ports (or sockets)."""

    at: Timestamp
    key: ProcessKey


@dataclass(frozen=True, slots=True)
class PortsSilent:
    """A look at the process's ports found that it does not listen there yet."""

    at: Timestamp
    key: ProcessKey


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """A watched process died. readings: every account that could be had at once.

    rlimits: as they were at its end, of one that aborted or faulted, while that can be read.
    """

    at: Timestamp
    detected_at: Timestamp
    key: ProcessKey
    readings: tuple[ExitReading, ...] = ()
    rlimits: Rlimits | None = None


@dataclass(frozen=True, slots=True)
class ExitLearned:
    """A further account of an exit already told: the pidfd after the reap, taskstats."""

    key: ProcessKey
    reading: ExitReading | None = None
    peak: PeakReading | None = None


@dataclass(frozen=True, slots=True)
class ThreadCrashed:
    """A thread of a watched process got a signal that dumps core: the log names it by its tid."""

    at: Timestamp
    key: ProcessKey
    tid: int


@dataclass(frozen=True, slots=True)
class FaultPlaced:
    """What was found of the place of a fault. uuid: the case's."""

    uuid: str
    place: FaultPlace


@dataclass(frozen=True, slots=True)
class ProcessDying:
    """Linux says that this process dies of a crash, or of an OOM kill; perhaps a kernel's worker.

    pidfd: handed over with this fact, close-on-exec; whoever takes the fact owns it. None: it was
    reaped already, and its ProcessEnded comes next. for_memory: an OOM kill.
    parents: the pids of its ancestors, nearest first.
    """

    at: Timestamp
    process: Process
    pidfd: int | None
    parents: tuple[int, ...]
    for_memory: bool


@dataclass(frozen=True, slots=True)
class LookedAround:
    """Who else was there. key: whose death asked for the look; None: memory was getting short.

    disk_free_bytes: on the filesystem of its notebook, or of its connection file.
    """

    at: Timestamp
    surroundings: tuple[Surroundings, ...]
    key: ProcessKey | None = None
    disk_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source came up, or is down and says why and what mends it."""

    at: Timestamp
    source: str
    up: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class SourceLost:
    """A source knows that it missed something (EPIPE, ENOBUFS, a full queue): that is blindness."""

    at: Timestamp
    source: str
    count: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The daemon was asked to end."""

    reason: str = field(default="")


Fact = (
    ProcessSeen
    | ProcessChanged
    | FileOpened
    | ConnectionRead
    | PortsHeard
    | PortsSilent
    | ProcessEnded
    | ExitLearned
    | ThreadCrashed
    | FaultPlaced
    | ProcessDying
    | LookedAround
    | LogRecord
    | SignalSent
    | ManagerAct
    | KernelStatus
    | CellStarted
    | CellFailed
    | ShutdownAnnounced
    | ListenState
    | FileRemoved
    | SourceState
    | SourceLost
    | Stop
)
