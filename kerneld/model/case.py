"""Case: one death and every fact around it, as captured. Verdicts are judged from this alone."""

from pydantic import Field

from kerneld.model.base import SCHEMA, Record, Timestamp
from kerneld.model.cells import FinishedCell
from kerneld.model.facts import FileRemoved, ServerEnd, Succession
from kerneld.model.host import Host
from kerneld.model.place import FaultPlace
from kerneld.model.process import Kernel, Process, Server
from kerneld.model.readings import CgroupDelta, ExitReading, MemoryAccount, Surroundings
from kerneld.model.records import LogRecord, ManagerAct, SignalSent
from kerneld.model.said import CellStarted, SessionFact
from kerneld.model.verdict import Blind
from kerneld.model.vocabulary import Scope


class Case(Record):
    """One death: who, how it ended by each account, and what every source said around it.

    died_at is uncertain by died_at_uncertainty_s when the death fell into kerneld's absence.
    log: lines that name this process or a thread of it. neighbours: OOM lines of the same window
    that name others (a rival theory, and "who else"). session: iopub facts, oldest first, the last
    cell always among them. Downtime: `observed` is False.
    """

    schema_version: int = Field(default=SCHEMA, alias="schema")
    uuid: str
    scope: Scope = Scope.KERNEL
    host: Host
    kernel: Kernel | None = None
    process: Process
    server: Server | None = None
    kernels: tuple[str, ...] = ()
    caused_by: str | None = None
    died_at: Timestamp
    died_at_uncertainty_s: float = 0.0
    detected_at: Timestamp
    observed: bool = True
    watched_since: Timestamp
    boot_id_now: str
    readings: tuple[ExitReading, ...] = ()
    memory: MemoryAccount = MemoryAccount()
    cgroup: CgroupDelta | None = None
    log: tuple[LogRecord, ...] = ()
    neighbours: tuple[LogRecord, ...] = ()
    surroundings: tuple[Surroundings, ...] = ()
    """looks at the largest processes while memory was short before the death, and after it"""
    disk_free_bytes: int | None = None
    place: FaultPlace | None = None
    """of the fault that the log tells, where it was looked up"""
    signals: tuple[SignalSent, ...] = ()
    """sent to this process in its last seconds, in order"""
    acts: tuple[ManagerAct, ...] = ()
    """what managers say that they did to this process, to its cgroup or its unit"""
    session: tuple[SessionFact, ...] = ()
    answered: bool = False
    """the kernel was seen listening or heard on iopub: it had started"""
    silent_at: Timestamp | None = None
    """the last look that found it not listening on its ports"""
    busy: bool | None = None
    """a request was being served at death; None: iopub was not heard"""
    last_cell: CellStarted | None = None
    """the one that runs; of several (subshells) the latest; else the last that ran"""
    recalled_cell: CellStarted | None = None
    """what IPython's history told last, where no cell was heard; nothing is judged by it"""
    cells: tuple[FinishedCell, ...] = ()
    """those that ended while it lived, the latest 16, oldest first"""
    file_removed: FileRemoved | None = None
    succession: Succession | None = None
    server_end: ServerEnd | None = None
    blind: tuple[Blind, ...] = ()
    settled: bool = False
    """every source had its time to speak"""
    notes: tuple[str, ...] = ()
