"""bash_kernel: what its user's lines hold is told, though a child of the kernel holds it."""

import pytest
from report import NEEDED, SEEING, Report, each_role, story
from shells import BASH_HOLDS, BASH_LIMIT
from stage import Life

from kerneld.model.vocabulary import Cause, Confidence, PeakHow, Scope

pytestmark = NEEDED


@each_role
def test_a_kernel_that_was_killed_held_what_its_child_held(report: Report, role: str) -> None:
    """The scenario itself awaits that `kerneld kernels` lists it."""
    memory = report.first(role, "bash").memory
    assert memory.peak_bytes is not None
    assert memory.tree_peak_bytes is not None
    assert memory.peak_bytes < BASH_HOLDS < memory.tree_peak_bytes


@pytest.mark.parametrize("role", SEEING)
def test_a_bash_that_outgrows_its_cgroup_is_told_beside_its_kernel(report: Report, role: str) -> None:
    """Linux names bash; the limit, the cell and the notebook are its kernel's."""
    (kernel,) = report.of("worker-bash")
    (pid,) = report.workers("worker-bash")
    end = report.end(role, Life(pid))
    assert (end.scope, end.cause, end.confidence) == (
        Scope.WORKER, Cause.OOM_CGROUP, Confidence.CERTAIN,
    ), story(end)  # fmt: skip
    assert (end.process.comm, end.exit.signal) == ("bash", 9)
    assert end.kernel is not None
    assert (end.kernel.pid, end.kernel.id) == (kernel.pid, kernel.kernel_id)
    assert end.cell is not None
    assert end.cell.execution_count == 2
    assert (end.memory.peak_how, end.memory.limit_bytes) == (PeakHow.OOM_LINE, BASH_LIMIT)
    logged = report.log.oom_rss_bytes(pid)
    assert logged is not None
    assert end.memory.peak_bytes == pytest.approx(logged, rel=0.01)
    assert logged > BASH_HOLDS
    assert (end.memory.tree_peak_bytes or 0) > BASH_HOLDS, "bash and its kernel"
