"""What was read around an end: its status, its memory, its cgroup, the machine."""

from kerneld.model.base import Record, Timestamp
from kerneld.model.growth import GrowthAccount
from kerneld.model.vocabulary import ExitHow


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
