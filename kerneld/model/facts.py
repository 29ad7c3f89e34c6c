"""Facts: what a source saw, frozen, with the time it was seen; all that the queue holds is these.

Two families. Facts that become evidence of a death are Records (they are stored with the case);
facts that only move the living (a process seen, a port heard) are plain dataclasses.
`at` is the time of the thing itself, not of its reading, wherever the source knows it.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from kerneld.model.base import CellSource, CodeDigest, ErrorName, ErrorValue, Record, Timestamp
from kerneld.model.growth import GrowthAccount
from kerneld.model.place import FaultPlace
from kerneld.model.process import Connection, Process, ProcessKey, Rlimits
from kerneld.model.vocabulary import ExitHow, Shortage, Trust

# ---------------------------------------------------------------- evidence: the end of a process


class ExitReading(Record):
    """One account of a wait status. proven: False for a 0 read without ptrace rights."""

    how: ExitHow
    status_raw: int | None
    core_dumped: bool | None = None
    proven: bool = True
    at: Timestamp


class PeakReading(Record):
    """One account of the process's own peak; lower_bound: it may have been more.

    vm_bytes: the most address space that it had, where the same account tells that, too.
    """

    how: str
    peak_bytes: int
    lower_bound: bool = False
    vm_bytes: int | None = None


class ShmReading(Record):
    """The fullest that the process's /dev/shm was seen in its last 2 s, its end counted."""

    size_bytes: int
    free_bytes: int
    at: Timestamp


class MemoryAccount(Record):
    """A process's memory as the sampler knew it.

    samples: (seconds before the death ≥ 0, rss bytes of the process alone), oldest first.
    tree_peak_bytes: with its children. growth_bytes_per_s: over the last 10 s. swap: VmSwap.
    vm_bytes, data_bytes: VmSize and the like of RLIMIT_DATA at the last sample.
    Of a worker: samples and growth are its kernel's with all children; peaks are its own.
    growth: which lines grew it; None where no stacks are taken.
    """

    samples: tuple[tuple[float, int], ...] = ()
    last_bytes: int | None = None
    last_at: Timestamp | None = None
    vm_bytes: int | None = None
    data_bytes: int | None = None
    tree_peak_bytes: int | None = None
    swap_bytes: int | None = None
    peaks: tuple[PeakReading, ...] = ()
    growth_bytes_per_s: float | None = None
    host_total_bytes: int | None = None
    host_available_bytes: int | None = None
    host_swap_free_bytes: int | None = None
    psi_memory: str | None = None
    """`some avg10=… full avg10=…`: percent of 10 s in which some, or all, waited for memory"""
    shm: ShmReading | None = None
    growth: GrowthAccount | None = None


class CgroupReading(Record):
    """OOM counters and usage of one cgroup at one moment; None: unreadable.

    v2: `memory.events.local` oom, oom_kill, oom_group_kill; `memory.current`.
    v1: `memory.oom_control` oom_kill (has no oom); `memory.usage_in_bytes`.
    """

    version: int
    path: str
    at: Timestamp
    oom: int | None = None
    oom_kill: int | None = None
    usage_bytes: int | None = None
    limit_bytes: int | None = None
    peak_bytes: int | None = None


class CgroupDelta(Record):
    """The victim's cgroup, then its ancestors that have a limit: before the death and after it.

    before: the last sample while it lived. after: the first one past its death, which is empty
    where the cgroup was gone (ENODEV). kills_in_window: processes of the victim's own cgroup
    that are known to have ended by SIGKILL between the two samples, the victim counted.
    """

    before: tuple[CgroupReading, ...] = ()
    after: tuple[CgroupReading, ...] = ()
    kills_in_window: int = 1


class ProcessSize(Record):
    """One process as a look at many found it. rss_bytes: pages shared with others count in each."""

    pid: int
    comm: str
    uid: int
    user_name: str | None = None
    rss_bytes: int


class Surroundings(Record):
    """The largest processes at one look, largest first.

    cgroup: those below this one, which has a limit; None: of all that run.
    """

    at: Timestamp
    cgroup: str | None = None
    largest: tuple[ProcessSize, ...] = ()


class TaskRow(Record):
    """One row of an OOM report's task table; rss in kB whatever unit the row was printed in."""

    pid: int
    comm: str
    uid: int | None = None
    rss_kb: int


class MemoryTotals(Record):
    """What an OOM report says of the whole: a cgroup's usage and limit, or the machine's memory."""

    usage_kb: int | None = None
    limit_kb: int | None = None
    ram_kb: int | None = None
    swap_total_kb: int | None = None
    swap_free_kb: int | None = None


class LogEvent(Record):
    """One event that the Linux log states; `outputs.scan` says how `kerneld scan --json` prints it.

    Numbers as printed, None where the log does not say. pid: the one that the line prints: the
    process for OOM lines (old Linux: a thread of process_pid), the THREAD for segfault and trap
    lines. object: with its map's addresses. is_asked_for: by SysRq f, no memory was short.
    invoker: who asked for the memory, where the report's table has it (invoker_pid may be a thread).
    has_group: its whole cgroup was killed. has_year: False where the year of `time` is assumed.
    """

    kind: Literal[
        "oom_global", "oom_memcg", "oomd", "earlyoom", "nohang", "segfault", "gpf",
        "invalid_opcode", "int3", "divide_error", "bus_error", "xid", "mce", "coredump",
        "seccomp", "fatal_signal", "other",
    ]  # fmt: skip
    time: Timestamp | None = None
    uptime_s: float | None = None
    pid: int | None = None
    comm: str | None = None
    uid: int | None = None
    total_vm_kb: int | None = None
    anon_rss_kb: int | None = None
    file_rss_kb: int | None = None
    shmem_rss_kb: int | None = None
    oom_score_adj: int | None = None
    constraint: str | None = None
    cgroup: str | None = None
    oom_cgroup: str | None = None
    invoker_comm: str | None = None
    invoker_pid: int | None = None
    invoker: TaskRow | None = None
    fault_addr: str | None = None
    ip: str | None = None
    object: str | None = None
    signal: int | None = None
    xid: int | None = None
    trust: Trust = Trust.KERNEL
    top: tuple[TaskRow, ...] = ()
    totals: MemoryTotals | None = None
    process_pid: int | None = None
    is_asked_for: bool = False
    has_group: bool = False
    has_year: bool = True
    source_file: str | None = None
    line_number: int | None = None
    line: str = ""
    """the line that names the process, control characters escaped"""

    @property
    def is_oom(self) -> bool:
        return self.kind in ("oom_global", "oom_memcg")


class LogRecord(Record):
    """A LogEvent as it was seen live: sequence is /dev/kmsg's; tgid: the thread's process."""

    type: Literal["log"] = "log"
    at: Timestamp
    event: LogEvent
    sequence: int | None = None
    tgid: int | None = None


class SignalSent(Record):
    """A signal that can end a process, and who sent it, by Linux's own trace.

    pid: the process that got it. code: si_code. sender_pid: the process that ran then, or, where it
    was gone before it could be looked at, its thread; then its uid, user and unit are None.
    """

    type: Literal["signal"] = "signal"
    at: Timestamp
    pid: int
    signal: int
    code: int
    sender_pid: int
    sender_comm: str | None = None
    sender_uid: int | None = None
    sender_user: str | None = None
    sender_unit: str | None = None

    @property
    def by_linux(self) -> bool:
        """SI_KERNEL and the codes of faults: the sender is only who ran when Linux decided."""
        return self.code > 0


Deed = Literal[
    "killed-for-memory", "signalled", "stopping",
    "session-end", "time-limit", "start-timeout", "watchdog", "unit-oom", "dumped-core",
    "culled", "shut-down", "restarted", "autorestarted", "start-failed",
]  # fmt: skip


class ManagerAct(Record):
    """What a manager of processes says in its own log that it did to a process, a cgroup or a unit.

    manager: systemd-oomd, earlyoom, nohang, systemd; jupyter, whose log its user can write.
    pid: as the manager numbers it. cgroup, unit: all below it is meant, too. kernel_id: Jupyter's.
    stopping: systemd was asked to. unit-oom: Linux killed one of it for memory. native_stack: of the
    thread that crashed, where the core was looked into. line: as logged, control characters escaped.
    """

    type: Literal["manager-act"] = "manager-act"
    at: Timestamp
    manager: str
    did: Deed
    pid: int | None = None
    comm: str | None = None
    signal: int | None = None
    cgroup: str | None = None
    unit: str | None = None
    kernel_id: str | None = None
    native_stack: str | None = None
    line: str


# ---------------------------------------------------------------- evidence: what the kernel said


class CodeFacts(Record):
    """What rules and advice need of a cell, said without its code. All False: nothing found."""

    calls_exit: bool = False
    """`exit()`, `quit()` or their bare names as the last statement"""
    hard_exits: bool = False
    """`os._exit(…)`, `os.abort()` is kills_itself"""
    kills_itself: bool = False
    """os.kill(os.getpid(), …), signal.raise_signal, os.abort"""
    raises_system_exit: bool = False
    parsed: bool = True
    """False: not Python, or too long to parse"""


class KernelStatus(Record):
    """iopub status. state: starting, busy, idle, dead; parent: msg_id of the request it serves."""

    type: Literal["status"] = "status"
    at: Timestamp
    handle: int
    state: str
    parent: str | None = None
    parent_type: str | None = None


class CellStarted(Record):
    """iopub execute_input. source is withheld by `privacy` before anything is stored.

    recalled: it is the last one in IPython's own history instead, which was read at that time: it
    runs, or has ended.
    """

    type: Literal["cell-started"] = "cell-started"
    at: Timestamp
    handle: int
    parent: str | None = None
    execution_count: int | None = None
    source: CellSource | None = None
    sha256: CodeDigest | None = None
    code: CodeFacts = CodeFacts()
    recalled: bool = False


class CellFailed(Record):
    """iopub error: the exception that ended a cell; the kernel lives. value may hold user data.

    shortage: whether it was memory, or a GPU's memory, that could not be had.
    """

    type: Literal["cell-failed"] = "cell-failed"
    at: Timestamp
    handle: int
    parent: str | None = None
    name: ErrorName | None = None
    value: ErrorValue | None = None
    shortage: Shortage | None = None


class ShutdownAnnounced(Record):
    """iopub shutdown_reply (ipykernel, bash_kernel) or shutdown (xeus)."""

    type: Literal["shutdown-announced"] = "shutdown-announced"
    at: Timestamp
    handle: int
    restart: bool


class ListenState(Record):
    """iopub heard or not. reason: why not, in words; "" while heard."""

    type: Literal["listen"] = "listen"
    at: Timestamp
    handle: int
    listening: bool
    reason: str = ""


SessionFact = Annotated[
    KernelStatus | CellStarted | CellFailed | ShutdownAnnounced | ListenState,
    Field(discriminator="type"),
]
"""everything that iopub tells; `handle` is the number under which the file was handed over"""


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
