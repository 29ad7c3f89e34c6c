"""What logs and traces say of a death: Linux, a sender, a manager."""

from typing import Literal

from kerneld.model.base import Record, Timestamp
from kerneld.model.vocabulary import Trust


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
    "preempted", "node-failed", "cancelled",
    "culled", "shut-down", "restarted", "autorestarted", "start-failed",
]  # fmt: skip


class ManagerAct(Record):
    """What a manager of processes says in its own log that it did to a process, a cgroup or a unit.

    manager: systemd-oomd, earlyoom, nohang, systemd, Slurm; jupyter, whose log its user can write.
    pid: as the manager numbers it. cgroup, unit: all below it is meant, too. kernel_id: Jupyter's.
    step: Slurm's, `7.batch`. is_vouched: nobody else can have written it, or had it written.
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
    step: str | None = None
    is_vouched: bool = True
    native_stack: str | None = None
    line: str
