"""Kernels in their own pid, mount and network namespaces: their files are read, their pids known."""

import pytest
from report import NEEDED, SEEING, Report, each_role, story

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Confidence, PeakHow

pytestmark = NEEDED

SEGFAULT, SHUTDOWN, OOM = range(3)
each = pytest.mark.parametrize("which", [SEGFAULT, SHUTDOWN, OOM], ids=["segfault", "shutdown", "oom"])


def end_of(report: Report, role: str, which: int) -> Incident:
    return report.end(role, report.of("container")[which])


@each_role
@each
def test_its_file_is_read_where_it_lies(report: Report, role: str, which: int) -> None:
    """The kernel's name stands in the file alone, and on the host nothing has that path."""
    end = end_of(report, role, which)
    names = report.stage.extra["containers"]
    assert isinstance(names, list)
    assert end.kernel is not None
    assert end.kernel.name == "python3", story(end)
    assert end.kernel.connection_file == names[which]["file"]
    assert not any(blind.source == "connection-file" for blind in end.blind), story(end)


@each_role
@each
def test_its_pid_is_told_as_both_sides_know_it(report: Report, role: str, which: int) -> None:
    end = end_of(report, role, which)
    names = report.stage.extra["containers"]
    assert isinstance(names, list)
    assert end.kernel is not None
    assert (end.kernel.pid, end.kernel.ns_pid) == (end.process.pid, names[which]["pid"])
    assert end.kernel.pid != end.kernel.ns_pid


@each_role
@each
def test_that_its_messages_are_not_heard_is_told(report: Report, role: str, which: int) -> None:
    """Its 127.0.0.1 is another than ours: whoever has those ports here is never asked."""
    end = end_of(report, role, which)
    reasons = [blind.reason for blind in end.blind if blind.source == "iopub"]
    assert reasons == ["its ports are in another network namespace"], story(end)
    assert end.cell is None


@each_role
def test_a_segfault_inside_is_one(report: Report, role: str) -> None:
    end = end_of(report, role, SEGFAULT)
    assert (end.cause, end.confidence) == (Cause.SEGFAULT, Confidence.CERTAIN), story(end)
    if role in SEEING:
        assert end.fault is not None, "the log speaks of the host's pids"
        assert (end.fault.object or "").startswith("libc")


@each_role
def test_a_shutdown_inside_is_no_incident(report: Report, role: str) -> None:
    """By the file's removal there: its goodbye was not heard."""
    end = end_of(report, role, SHUTDOWN)
    assert end.cause is Cause.SHUTDOWN, story(end)
    assert not end.is_incident


@each_role
def test_an_oom_kill_inside_is_measured(report: Report, role: str) -> None:
    end = end_of(report, role, OOM)
    assert end.memory.limit_bytes == 300 << 20
    if role in SEEING:
        assert (end.cause, end.confidence) == (Cause.OOM_CGROUP, Confidence.CERTAIN), story(end)
        assert end.memory.peak_how is PeakHow.OOM_LINE
    else:
        assert end.cause in (Cause.OOM_CGROUP, Cause.KILLED), story(end)
        assert end.confidence is not Confidence.CERTAIN
