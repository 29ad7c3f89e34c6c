"""Incident: the outcome as everybody reads it. One shape in the database, in JSON and on the page."""

from pydantic import Field

from kerneld.model.base import SCHEMA, CellSource, CodeDigest, CodeLine, Record, Timestamp
from kerneld.model.cells import FinishedCell
from kerneld.model.growth import GrowthLine, StackPart
from kerneld.model.host import Host
from kerneld.model.verdict import Alternative, Blind, Evidence, Killer
from kerneld.model.vocabulary import (
    Category,
    Cause,
    Confidence,
    ExitHow,
    LimitKind,
    PeakHow,
    Scope,
    State,
)


class KernelPart(Record):
    id: str
    name: str | None = None
    language: str | None = None
    pid: int
    ns_pid: int | None = None
    """the pid that it has itself, in a pid namespace of its own"""
    pidfd_inode: int | None = None
    start_ticks: int
    connection_file: str | None = None
    started_at: Timestamp
    restarts: int = 0


class ProcessPart(Record):
    pid: int
    comm: str
    start_ticks: int
    ppid: int


class UserPart(Record):
    uid: int
    name: str | None = None
    hub_name: str | None = None


class NotebookPart(Record):
    """how: connection-file, environ, server-api, parent-argv."""

    path: str
    how: str


class ServerPart(Record):
    pid: int
    kind: str
    url: str | None = None
    unit: str | None = None


class ContainerPart(Record):
    """how: what runs it, as its cgroup tells: docker, containerd, crio, podman, kubepods, lxc."""

    id: str
    how: str


class ExitPart(Record):
    """By signal: code null; by exit: signal null; how `lost`: both null."""

    signal: int | None = None
    code: int | None = None
    status_raw: int | None = None
    core_dumped: bool | None = None
    how: ExitHow


class MemoryPart(Record):
    """samples: [[seconds before death, bytes], …], oldest first, seconds ≥ 0."""

    peak_bytes: int | None = None
    peak_how: PeakHow | None = None
    peak_is_lower_bound: bool | None = None
    last_bytes: int | None = None
    tree_peak_bytes: int | None = None
    swap_bytes: int | None = None
    limit_bytes: int | None = None
    limit_kind: LimitKind | None = None
    limit_path: str | None = None
    host_total_bytes: int | None = None
    host_available_bytes: int | None = None
    growth_bytes_per_s: float | None = None
    samples: tuple[tuple[float, int], ...] = ()


class CellPart(Record):
    """source is withheld by `privacy` as the policy says. how: iopub; `history, probable`."""

    execution_count: int | None = None
    source: CellSource | None = None
    sha256: CodeDigest | None = None
    started_at: Timestamp | None = None
    elapsed_s: float | None = None
    line: int | None = None
    code_policy: str | None = None
    how: str | None = None


class FaultPart(Record):
    at: Timestamp | None = None
    kind: str
    address: str | None = None
    object: str | None = None
    offset: str | None = None
    symbol: str | None = None
    package: str | None = None
    version: str | None = None
    native_stack: str | None = None


class Bystander(Record):
    """One of the largest at death. To anyone but the admin: role and rss only."""

    pid: int | None = None
    comm: str | None = None
    uid: int | None = None
    user: str | None = None
    rss_bytes: int
    role: str


class HostState(Record):
    psi_memory: str | None = None
    swap_free_bytes: int | None = None
    shm_free_bytes: int | None = None
    disk_free_bytes: int | None = None


class LoopPart(Record):
    """Deaths of one kernel id in quick succession. id: the first one's uuid, which has no loop itself.

    count: which of them this is, from 2 on.
    """

    id: str
    count: int


class Advice(Record):
    """sure: the advice follows from what is proven; code: rewritten code of the user's, if any."""

    id: str
    title: str
    text: str
    code: CodeLine | None = None
    sure: bool = False


class TimelineEntry(Record):
    """about_pid, about_uid: another process that the text names, and whose it is."""

    at: Timestamp
    source: str
    text: str
    about_pid: int | None = None
    about_uid: int | None = None


class Incident(Record):
    """One ended kernel, worker or server: what is known, what is believed, and why."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    id: int | None = None
    uuid: str
    scope: Scope = Scope.KERNEL
    category: Category
    cause: Cause
    confidence: Confidence
    state: State
    revision: int = 1
    died_at: Timestamp
    died_at_uncertainty_s: float = 0.0
    detected_at: Timestamp
    recorded_at: Timestamp
    settled_at: Timestamp | None = None
    caused_by: str | None = None
    host: Host
    kernel: KernelPart | None = None
    process: ProcessPart
    user: UserPart
    notebook: NotebookPart | None = None
    server: ServerPart | None = None
    container: ContainerPart | None = None
    cgroup: str | None = None
    exit: ExitPart
    memory: MemoryPart = MemoryPart()
    cell: CellPart | None = None
    cells: tuple[FinishedCell, ...] = ()
    growth_lines: tuple[GrowthLine, ...] = ()
    stack: StackPart | None = None
    fault: FaultPart | None = None
    killer: Killer | None = None
    bystanders: tuple[Bystander, ...] = ()
    host_state: HostState | None = None
    loop: LoopPart | None = None
    kernels: tuple[str, ...] = ()
    summary: str
    advice: tuple[Advice, ...] = ()
    because: tuple[Evidence, ...] = ()
    against: tuple[Evidence, ...] = ()
    blind: tuple[Blind, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    evidence_dropped: str | None = None

    @property
    def loop_id(self) -> str:
        """What the deaths of one loop have in common, its first one included."""
        return self.loop.id if self.loop else self.uuid

    @property
    def is_incident(self) -> bool:
        """A death that nobody asked for and that no other incident already tells."""
        return self.category is not Category.REQUESTED and self.caused_by is None
