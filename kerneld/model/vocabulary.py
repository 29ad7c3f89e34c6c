"""The closed vocabulary, a public contract: causes, categories, confidences, scopes, states."""

from enum import StrEnum


class Category(StrEnum):
    """What people filter by. `requested` ends are no incidents."""

    MEMORY = "memory"
    NATIVE = "native"
    LIMIT = "limit"
    KILLED = "killed"
    EXIT = "exit"
    HARDWARE = "hardware"
    HOST = "host"
    UNKNOWN = "unknown"
    REQUESTED = "requested"


class Cause(StrEnum):
    """What ended a kernel. The table of causes says what proves each."""

    OOM_HOST = "oom-host"
    OOM_CGROUP = "oom-cgroup"
    OOM_DAEMON = "oom-daemon"
    ALLOCATION_FAILURE = "allocation-failure"
    SHM_FULL = "shm-full"
    SEGFAULT = "segfault"
    BUS_ERROR = "bus-error"
    ILLEGAL_INSTRUCTION = "illegal-instruction"
    ARITHMETIC_FAULT = "arithmetic-fault"
    ABORT = "abort"
    TRAP = "trap"
    STACK_OVERFLOW = "stack-overflow"
    CPU_LIMIT = "cpu-limit"
    FILE_SIZE_LIMIT = "file-size-limit"
    SECCOMP = "seccomp"
    KILLED_BY_PROCESS = "killed-by-process"
    KILLED_BY_MANAGER = "killed-by-manager"
    KILLED = "killed"
    EXIT_CALL = "exit-call"
    HARD_EXIT = "hard-exit"
    STARTUP_FAILURE = "startup-failure"
    PARENT_DIED = "parent-died"
    GPU_FAULT = "gpu-fault"
    HARDWARE_MEMORY_ERROR = "hardware-memory-error"
    HOST_RESTART = "host-restart"
    UNKNOWN = "unknown"
    SHUTDOWN = "shutdown"
    RESTART = "restart"
    SERVER_STOPPED = "server-stopped"
    CULLED = "culled"

    @property
    def category(self) -> Category:
        return _CATEGORY[self]


_MEMBERS: dict[Category, tuple[Cause, ...]] = {
    Category.MEMORY: (
        Cause.OOM_HOST,
        Cause.OOM_CGROUP,
        Cause.OOM_DAEMON,
        Cause.ALLOCATION_FAILURE,
        Cause.SHM_FULL,
    ),
    Category.NATIVE: (
        Cause.SEGFAULT,
        Cause.BUS_ERROR,
        Cause.ILLEGAL_INSTRUCTION,
        Cause.ARITHMETIC_FAULT,
        Cause.ABORT,
        Cause.TRAP,
        Cause.STACK_OVERFLOW,
    ),
    Category.LIMIT: (Cause.CPU_LIMIT, Cause.FILE_SIZE_LIMIT, Cause.SECCOMP),
    Category.KILLED: (Cause.KILLED_BY_PROCESS, Cause.KILLED_BY_MANAGER, Cause.KILLED),
    Category.EXIT: (Cause.EXIT_CALL, Cause.HARD_EXIT, Cause.STARTUP_FAILURE, Cause.PARENT_DIED),
    Category.HARDWARE: (Cause.GPU_FAULT, Cause.HARDWARE_MEMORY_ERROR),
    Category.HOST: (Cause.HOST_RESTART,),
    Category.UNKNOWN: (Cause.UNKNOWN,),
    Category.REQUESTED: (Cause.SHUTDOWN, Cause.RESTART, Cause.SERVER_STOPPED, Cause.CULLED),
}
_CATEGORY = {cause: category for category, causes in _MEMBERS.items() for cause in causes}


class Confidence(StrEnum):
    """How far the proof carries. `certain`: a line or a status names this very process."""

    POSSIBLE = "possible"
    LIKELY = "likely"
    CERTAIN = "certain"

    @property
    def rank(self) -> int:
        return ("possible", "likely", "certain").index(self.value)


class Scope(StrEnum):
    KERNEL = "kernel"
    WORKER = "worker"
    SERVER = "server"


class State(StrEnum):
    """The first verdict is provisional; the settled one comes after `settle_s`."""

    PROVISIONAL = "provisional"
    SETTLED = "settled"


class Trust(StrEnum):
    """Whether a log line's level and facility could be checked, or it came as bare text."""

    KERNEL = "kernel"
    TEXT = "text"


class ServerKind(StrEnum):
    JUPYTER_SERVER = "jupyter_server"
    JUPYTERHUB = "jupyterhub"
    VSCODE = "vscode"
    NBCLIENT = "nbclient"
    PAPERMILL = "papermill"
    SPYDER = "spyder"
    CONSOLE = "console"
    NONE = "none"

    @property
    def outlives_kernels(self) -> bool:
        """A server people log in to: it restarts kernels and removes a file only when asked to."""
        return self in (ServerKind.JUPYTER_SERVER, ServerKind.JUPYTERHUB)


class ExitHow(StrEnum):
    """Which account of the exit status was believed."""

    PIDFD = "pidfd"
    PROCFS = "procfs"
    PROC_CONNECTOR = "proc-connector"
    TASKSTATS = "taskstats"
    LOST = "lost"


class PeakHow(StrEnum):
    """Where the peak of memory was read, best account first."""

    OOM_LINE = "oom-line"
    TASKSTATS = "taskstats"
    VMHWM = "vmhwm"
    CGROUP_PEAK = "cgroup-peak"
    SAMPLE = "sample"


class Shortage(StrEnum):
    """What an exception says that there was too little of."""

    MEMORY = "memory"
    GPU_MEMORY = "gpu-memory"


class LimitKind(StrEnum):
    CGROUP = "cgroup"
    RLIMIT_AS = "rlimit-as"
    RLIMIT_DATA = "rlimit-data"
    HOST = "host"


class CodePolicy(StrEnum):
    """How much of the user's code is stored, loosest first: `privacy` withholds the rest.

    full: whole cells. line: single lines (stack, growth) and digests. hash: digests. off: nothing.
    """

    FULL = "full"
    LINE = "line"
    HASH = "hash"
    OFF = "off"


class Mode(StrEnum):
    """Whom a daemon watches: everybody on the host, or the user it runs as."""

    SYSTEM = "system"
    USER = "user"
