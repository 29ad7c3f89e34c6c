"""Effects: what the owner asks of the sources. Plain orders, no answers; answers come as facts."""

from dataclasses import dataclass

from kerneld.model.process import Connection, Process, ProcessKey


@dataclass(frozen=True, slots=True)
class WatchExit:
    """exits: this pidfd is yours now; tell when it ends."""

    key: ProcessKey
    pidfd: int


@dataclass(frozen=True, slots=True)
class SampleMemory:
    """memory, cgroups: keep a ring of this process (and of its tree)."""

    process: Process


@dataclass(frozen=True, slots=True)
class ForgetMemory:
    """memory, cgroups: the case is settled, the ring can go."""

    key: ProcessKey


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
    | ProbePorts
    | Listen
    | FindListener
    | WatchFile
    | ReleaseFile
    | CloseFd
)
