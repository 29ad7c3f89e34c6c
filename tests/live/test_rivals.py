"""Deaths with everything around them that could mislead: none is taken for another."""

from datetime import timedelta

import pytest
from report import NEEDED, SEEING, Report, each_role, story
from rivals import FORGED
from test_deaths import seen_as

from kerneld.model.vocabulary import Cause, Confidence

pytestmark = NEEDED
SUSPECTS = {Cause.OOM_CGROUP, Cause.OOM_HOST}


@each_role
def test_two_that_die_at_once_beside_a_neighbours_oom_kill_and_a_forged_line(
    report: Report, role: str
) -> None:
    """Two ends of one moment, each of its own kernel; memory was neither's end."""
    ends = [report.end(role, life) for life in report.of("twins")]
    assert len({end.kernel.id for end in ends if end.kernel}) == 2
    # shot one after the other without a pause; a crowded machine lets the second die later
    assert abs(ends[0].died_at - ends[1].died_at) < timedelta(milliseconds=500)
    for end in ends:
        assert end.cause is seen_as(role, Cause.KILLED), story(end)
        assert not [piece for piece in end.because if piece.source == "linux-log"], story(end)
        told = {
            other.cause for other in end.alternatives if other.confidence is not Confidence.POSSIBLE
        }
        assert not told & {Cause.OOM_CGROUP, Cause.OOM_HOST}, story(end)


def test_a_kill_with_memory_near_the_limit_is_a_suspicion_at_most(
    report: Report,
) -> None:
    """Without the trace nobody knows who shot: memory is told as the other possibility."""
    end = report.first("plain", "killed-near")
    assert (end.cause, end.confidence) == (Cause.KILLED, Confidence.POSSIBLE), story(end)
    assert SUSPECTS & {other.cause for other in end.alternatives}, story(end)


@each_role
@pytest.mark.parametrize("scenario", ["killed-past", "forged-name"])
def test_an_oom_kill_before_or_beside_it_or_a_forged_one_is_not_its_own(
    report: Report, role: str, scenario: str
) -> None:
    end = report.first(role, scenario)
    assert end.cause is seen_as(role, Cause.KILLED), story(end)
    assert not [piece for piece in end.because if piece.source == "linux-log"], story(end)
    likely = {o.cause for o in end.alternatives if o.confidence is not Confidence.POSSIBLE}
    assert not likely & SUSPECTS, story(end)


@each_role
def test_an_oom_kill_beside_it_in_its_cgroup_proves_nothing(report: Report, role: str) -> None:
    """Counters name nobody: whoever has only them is left with two possibilities."""
    end = report.first(role, "killed-beside")
    if role in SEEING:
        assert (end.cause, end.confidence) == (Cause.KILLED_BY_PROCESS, Confidence.CERTAIN), story(end)
        return
    assert end.confidence is Confidence.POSSIBLE, story(end)
    assert end.cause in (Cause.KILLED, Cause.OOM_CGROUP)
    assert Cause.KILLED in {end.cause, *(other.cause for other in end.alternatives)}


def test_the_forgery_by_a_files_name_stood_in_the_log(report: Report) -> None:
    (life,) = report.of("forged-name")
    assert FORGED.format(pid=life.pid) in report.log.text()


@each_role
def test_a_pid_reused_at_once_is_another_kernels_life(report: Report, role: str) -> None:
    """The first one's file, named after its pid, is still there when the second has it."""
    (life,) = report.of("reused-pid")
    ends = sorted(
        (end for end in report.ends[role] if end.process.pid == life.pid), key=lambda end: end.died_at
    )
    told = [(end.cause, end.kernel and end.kernel.connection_file) for end in ends]
    files = report.stage.extra["reused"]
    assert isinstance(files, list)
    shot = seen_as(role, Cause.KILLED)
    assert told == [(shot, files[0]), (Cause.SEGFAULT, files[1])], [story(end) for end in ends]
    assert len({end.kernel.id for end in ends if end.kernel}) == 2
    assert all(end.confidence is not Confidence.POSSIBLE or role == "plain" for end in ends)
