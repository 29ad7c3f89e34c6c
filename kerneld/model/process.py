"""Who a process is: its identity, its limits, the kernel or server that it serves as."""

import re

from pydantic import Field

from kerneld.model.base import Record, Timestamp
from kerneld.model.vocabulary import LimitKind, ServerKind

_RLIMITS = (LimitKind.RLIMIT_AS, LimitKind.RLIMIT_DATA)
_STEP_PATH = re.compile(r"/slurm.*/job_(?P<job>[0-9]{1,10})/step_(?P<step>[a-z0-9]{1,20})(?:/|$)")
_STEP_NAMES = {"4294967290": "interactive", "4294967291": "batch"}
"""SLURM_INTERACTIVE_STEP and SLURM_BATCH_SCRIPT, slurm.h"""


class ProcessKey(Record):
    """The identity of a process on disk: never its pid alone, nor the pid with its start tick.

    start_ticks: clock ticks since boot, /proc/PID/stat field 22; reuse within one tick was forced
    in 0.3 ms, so the pidfd's inode (unique for the boot where pidfs has inodes, Linux 6.9) is kept
    beside it; None where an older Linux gives every pidfd the same one. Of a worker that was reaped
    before it could be read, start_ticks is the tick of its end: no other has that with this pid.
    """

    boot_id: str
    pid: int
    start_ticks: int
    pidfd_inode: int | None = None


class Limit(Record):
    """One ceiling on a process's memory. path: the cgroup that owns it, else None."""

    kind: LimitKind
    limit_bytes: int
    path: str | None = None


class Rlimits(Record):
    """Soft limits of a process on its memory; None: unlimited, or not to be read."""

    address_space_bytes: int | None = None
    data_bytes: int | None = None
    stack_bytes: int | None = None

    def limits(self) -> list[Limit]:
        """Those that bound all of it."""
        both = (
            (LimitKind.RLIMIT_AS, self.address_space_bytes),
            (LimitKind.RLIMIT_DATA, self.data_bytes),
        )
        return [Limit(kind=kind, limit_bytes=size) for kind, size in both if size is not None]


class CgroupLocation(Record):
    """A process's memory cgroup. version: 1 or 2; path: as /proc/PID/cgroup has it."""

    version: int
    path: str


class Process(Record):
    """What /proc says of one process, read once at discovery.

    argv is None where it holds no connection file and is none of kerneld's business.
    environ: only names on the whitelist (`kerneld.parse.procfs.ENVIRON_NAMES`), never a token.
    limits: tightest first. ns_pid: the pid in the process's own pid namespace, None if the same.
    """

    key: ProcessKey
    comm: str
    ppid: int
    pgid: int
    sid: int
    uid: int
    user_name: str | None = None
    started_at: Timestamp
    cgroup: CgroupLocation | None = None
    unit: str | None = None
    limits: tuple[Limit, ...] = ()
    environ: dict[str, str] = Field(default_factory=dict)
    ns_pid: int | None = None
    container_id: str | None = None
    container_how: str | None = None
    """what runs it: docker, containerd, crio, podman, kubepods or lxc, as its cgroup's path tells"""
    same_network_namespace: bool = True
    stack_top: int | None = None
    """where the main thread's stack begins, below arguments and environment; it grows downwards"""
    stack_limit_bytes: int | None = None
    """None: unlimited, or not to be read"""

    @property
    def pid(self) -> int:
        return self.key.pid

    @property
    def slurm_step(self) -> str | None:
        """The step of a Slurm job that it runs in, by its cgroup, else by its own environment.

        v1: /slurm/uid_1000/job_7/step_batch/task_0, v2: /system.slice/slurmstepd.scope/job_7/step_0/…
        """
        found = _STEP_PATH.search(self.cgroup.path) if self.cgroup else None
        if found is not None:
            return f"{found['job']}.{found['step']}"
        job, step = self.environ.get("SLURM_JOB_ID"), self.environ.get("SLURM_STEP_ID", "batch")
        return f"{job}.{_STEP_NAMES.get(step, step)}" if job else None

    def under(self, rlimits: Rlimits) -> "Process":
        """The same process with these limits: it can change its own at any moment."""
        kept = [limit for limit in self.limits if limit.kind not in _RLIMITS]
        limits = tuple(sorted([*kept, *rlimits.limits()], key=lambda limit: limit.limit_bytes))
        return self.model_copy(update={"limits": limits, "stack_limit_bytes": rlimits.stack_bytes})


class Connection(Record):
    """What a connection file says, its key left out. Ports in the file's own order of names.

    key_digest: blake2b of the key, keyed with the boot id: joins restarts, tells nothing.
    transport: "tcp" or "ipc". encrypted: the file carries CURVE keys.
    """

    transport: str
    ip: str
    shell_port: int
    iopub_port: int
    stdin_port: int
    control_port: int
    hb_port: int
    signature_scheme: str
    kernel_name: str
    notebook: str | None = None
    key_digest: str
    encrypted: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.shell_port, self.iopub_port, self.stdin_port, self.control_port, self.hb_port)


class Server(Record):
    """What started a kernel: its parent process, past wrappers. url: None unless known."""

    key: ProcessKey
    kind: ServerKind
    comm: str
    uid: int
    started_at: Timestamp
    url: str | None = None
    unit: str | None = None
    argv_notebook: str | None = None
    """the notebook named on the parent's command line (papermill in.ipynb, nbconvert), if any"""


class Kernel(Record):
    """One life of a kernel. id: stable over restarts; restarts: lives of this id seen before.

    connection_file is the path as its argv has it: text from a user, never followed by itself.
    file_elsewhere: that path belongs to another root, as in a container.
    """

    id: str
    process: Process
    connection_file: str | None = None
    file_elsewhere: bool = False
    connection: Connection | None = None
    server: Server | None = None
    name: str | None = None
    language: str | None = None
    restarts: int = 0
    confirmed: bool = False
    """it was seen listening on its own ports, and no ancestor of its name does"""
    found_at: Timestamp
    notebook_path: str | None = None
    notebook_how: str | None = None
