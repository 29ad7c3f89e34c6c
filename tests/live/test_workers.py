"""A worker that dies while its kernel lives: an incident of that kernel, for who can see it."""

import pytest
from report import NEEDED, SEEING, Report, each_role, story
from stage import Life

from kerneld.model.vocabulary import Cause, Confidence, PeakHow, Scope, State

pytestmark = NEEDED

CRASHES = [("spawn", Cause.SEGFAULT, 11), ("forkserver", Cause.ABORT, 6), ("fork", Cause.SEGFAULT, 11)]


@each_role
@pytest.mark.parametrize(("how", "cause", "number"), CRASHES, ids=[row[0] for row in CRASHES])
def test_a_worker_that_crashes_is_an_incident_of_its_kernel(
    report: Report, role: str, how: str, cause: Cause, number: int
) -> None:
    """However it was started, and whether or not Linux has a line of it."""
    pids = report.workers("worker-crashes")
    pid = pids[[row[0] for row in CRASHES].index(how)]
    end = report.end(role, Life(pid))
    (kernel,) = report.of("worker-crashes")
    assert (end.scope, end.cause, end.exit.signal) == (Scope.WORKER, cause, number), story(end)
    assert end.confidence is Confidence.CERTAIN, story(end)
    assert end.is_incident
    assert end.state is State.SETTLED
    assert end.kernel is not None
    assert (end.kernel.pid, end.kernel.id) == (kernel.pid, kernel.kernel_id)
    assert end.notebook is not None
    assert end.notebook.path == kernel.notebook
    assert end.cell is not None
    assert end.cell.execution_count == 2


@pytest.mark.parametrize("role", SEEING)
def test_a_worker_that_is_killed_for_memory_is_measured(report: Report, role: str) -> None:
    (pid,) = report.workers("worker-oom")
    end = report.end(role, Life(pid))
    assert (end.scope, end.cause) == (Scope.WORKER, Cause.OOM_CGROUP), story(end)
    assert end.confidence is Confidence.CERTAIN, story(end)
    assert end.memory.peak_how is PeakHow.OOM_LINE
    assert end.memory.limit_bytes == 300 << 20
    assert end.memory.tree_peak_bytes is not None
    assert end.memory.tree_peak_bytes > 150 << 20, "the kernel with all its workers"
    assert end.cell is not None
    assert end.cell.execution_count == 2
    assert "lives on" in end.summary


@pytest.mark.parametrize("scenario", ["worker-oom", "worker-bash"])
def test_a_worker_killed_unseen_is_not_told(report: Report, scenario: str) -> None:
    """Without the Linux log a SIGKILL among a pool's own is nothing that stands out."""
    (pid,) = report.workers(scenario)
    assert [story(end) for end in report.ends["plain"] if end.process.pid == pid] == []
