"""A case and its judgement into the incident that everybody reads."""

from datetime import datetime

from kerneld.model.bystanders import bystanders
from kerneld.model.case import Case
from kerneld.model.crash import blind_to_place, fault_part
from kerneld.model.evidence import best_peak, tightest_limit
from kerneld.model.exits import exit_of
from kerneld.model.guilt import crash_sentence, growth_of, guilty_sentence, last_stack, line_in_cell
from kerneld.model.incident import (
    CellPart,
    ContainerPart,
    ExitPart,
    HostState,
    Incident,
    KernelPart,
    MemoryPart,
    NotebookPart,
    ProcessPart,
    ServerPart,
    UserPart,
)
from kerneld.model.story import timeline
from kerneld.model.verdict import Blind, Judgement
from kerneld.model.vocabulary import Category, Cause, PeakHow, Scope, State


def _caused_by(case: Case, cause: Cause) -> str | None:
    """The incident that this end followed from: its server's, where that killed it."""
    if cause in (Cause.PARENT_DIED, Cause.KILLED_BY_MANAGER) and case.server_end is not None:
        return case.server_end.uuid
    return case.caused_by


def build_incident(
    case: Case,
    judgement: Judgement,
    *,
    now: datetime,
    state: State,
    revision: int,
    recorded_at: datetime,
    settled_at: datetime | None = None,
) -> Incident:
    """Every field that the case can fill; advice is added by who asks for it.

    recorded_at: when its first verdict was stored; settled_at: now, where a settled one has none.
    """
    verdict = judgement.verdict
    if state is State.SETTLED and settled_at is None:
        settled_at = now
    return Incident(
        uuid=case.uuid,
        scope=case.scope,
        category=verdict.cause.category,
        cause=verdict.cause,
        confidence=verdict.confidence,
        state=state,
        revision=revision,
        died_at=case.died_at,
        died_at_uncertainty_s=case.died_at_uncertainty_s,
        detected_at=case.detected_at,
        recorded_at=recorded_at,
        settled_at=settled_at,
        caused_by=_caused_by(case, judgement.verdict.cause),
        host=case.host,
        kernel=_kernel(case),
        process=_process(case),
        user=_user(case),
        notebook=_notebook(case),
        server=_server(case),
        container=_container(case),
        cgroup=case.process.cgroup.path if case.process.cgroup else None,
        exit=_exit(case),
        memory=_memory(case),
        cell=_cell(case),
        cells=case.cells,
        growth_lines=growth_of(case).lines,
        stack=last_stack(case),
        fault=fault_part(case),
        killer=verdict.killer,
        bystanders=bystanders(case, verdict.cause),
        host_state=_host_state(case),
        kernels=case.kernels,
        summary=_summary(case, judgement),
        because=verdict.because,
        against=verdict.against,
        blind=(*verdict.blind, *_blind_to_stacks(case), *blind_to_place(case)),
        alternatives=judgement.alternatives,
        timeline=timeline(case),
    )


def _summary(case: Case, judgement: Judgement) -> str:
    """With the line that crashed, or had grown it, where memory is what it died of, or may have."""
    causes = (judgement.verdict.cause, *(other.cause for other in judgement.alternatives))
    about_memory = any(cause.category is Category.MEMORY for cause in causes)
    guilty = guilty_sentence(case) if about_memory else ""
    sentences = (judgement.verdict.summary, crash_sentence(case), guilty)
    return " ".join(filter(None, sentences))


def _blind_to_stacks(case: Case) -> tuple[Blind, ...]:
    """Why there are no stacks of this kernel, or fewer than were wanted."""
    reason = growth_of(case).blind
    return (Blind(source="stacks", reason=reason),) if reason else ()


def _kernel(case: Case) -> KernelPart | None:
    kernel = case.kernel
    if kernel is None:
        return None
    return KernelPart(
        id=kernel.id,
        name=kernel.name,
        language=kernel.language,
        pid=kernel.process.pid,
        ns_pid=kernel.process.ns_pid,
        pidfd_inode=kernel.process.key.pidfd_inode,
        start_ticks=kernel.process.key.start_ticks,
        connection_file=kernel.connection_file,
        started_at=kernel.process.started_at,
        restarts=kernel.restarts,
    )


def _process(case: Case) -> ProcessPart:
    process = case.process
    return ProcessPart(
        pid=process.pid, comm=process.comm, start_ticks=process.key.start_ticks, ppid=process.ppid
    )


def _user(case: Case) -> UserPart:
    """The uid is the truth; the Hub's name is a label that its user could forge.

    A worker is its kernel's, whatever user it took on.
    """
    worker = case.scope is Scope.WORKER and case.kernel is not None
    process = case.kernel.process if worker and case.kernel else case.process
    hub_name = process.environ.get("JUPYTERHUB_USER") or None
    return UserPart(uid=process.uid, name=process.user_name, hub_name=hub_name)


def _notebook(case: Case) -> NotebookPart | None:
    kernel = case.kernel
    if kernel is not None and kernel.notebook_path and kernel.notebook_how:
        return NotebookPart(path=kernel.notebook_path, how=kernel.notebook_how)
    if case.scope is not Scope.SERVER and case.server is not None and case.server.argv_notebook:
        return NotebookPart(path=case.server.argv_notebook, how="parent-argv")
    return None


def _server(case: Case) -> ServerPart | None:
    server = case.server
    if server is None:
        return None
    return ServerPart(
        pid=server.key.pid,
        kind=server.kind.value,
        url=server.url,
        unit=server.unit or case.process.unit,
    )


def _container(case: Case) -> ContainerPart | None:
    process = case.process
    if process.container_id is None:
        return None
    return ContainerPart(id=process.container_id, how=process.container_how or "cgroup")


def _exit(case: Case) -> ExitPart:
    end = exit_of(case)
    return ExitPart(
        signal=end.signal,
        code=end.code,
        status_raw=end.status_raw,
        core_dumped=end.core_dumped,
        how=end.how,
    )


def _memory(case: Case) -> MemoryPart:
    account, peak, limit = case.memory, best_peak(case), tightest_limit(case)
    return MemoryPart(
        peak_bytes=peak.peak_bytes if peak else None,
        peak_how=PeakHow(peak.how) if peak else None,
        peak_is_lower_bound=peak.lower_bound if peak else None,
        last_bytes=account.last_bytes,
        tree_peak_bytes=account.tree_peak_bytes,
        swap_bytes=account.swap_bytes,
        limit_bytes=limit.limit_bytes if limit else None,
        limit_kind=limit.kind if limit else None,
        limit_path=limit.path if limit else None,
        host_total_bytes=account.host_total_bytes,
        host_available_bytes=account.host_available_bytes,
        growth_bytes_per_s=account.growth_bytes_per_s,
        samples=account.samples,
    )


def _cell(case: Case) -> CellPart | None:
    """The last cell. It has an elapsed time only where it was still running."""
    cell = case.last_cell
    if cell is None:
        return _recalled(case)
    elapsed_s = max(0.0, (case.died_at - cell.at).total_seconds()) if case.busy else None
    return CellPart(
        execution_count=cell.execution_count,
        source=cell.source,
        sha256=cell.sha256,
        started_at=cell.at,
        elapsed_s=elapsed_s,
        line=line_in_cell(case),
        how="iopub",
    )


def _recalled(case: Case) -> CellPart | None:
    """When it began is not known, nor whether it had ended."""
    cell = case.recalled_cell
    if cell is None:
        return None
    return CellPart(
        execution_count=cell.execution_count,
        source=cell.source,
        sha256=cell.sha256,
        line=line_in_cell(case),
        how="history, probable",
    )


def _host_state(case: Case) -> HostState | None:
    memory, shm = case.memory, case.memory.shm
    state = HostState(
        psi_memory=memory.psi_memory,
        swap_free_bytes=memory.host_swap_free_bytes,
        shm_free_bytes=shm.free_bytes if shm else None,
        disk_free_bytes=case.disk_free_bytes,
    )
    return None if state == HostState() else state
