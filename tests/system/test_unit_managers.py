"""Who is ended by a manager, and what the journal says of that: a real systemd, real memory guards."""

import signal

import pytest
from machine import PID_1, Machine
from managed import play

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Confidence

pytestmark = [
    pytest.mark.needs_systemd,
    pytest.mark.needs_root,
    pytest.mark.needs_guards,
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Incident]:
    with Machine(tmp_path_factory.mktemp("managed") / "machine", PID_1) as machine:
        machine.trace_nothing()
        return play(machine)


def test_a_kill_by_earlyoom_is_certain_by_its_own_line(ends: dict[str, Incident]) -> None:
    end = ends["earlyoom"]
    assert (end.cause, end.confidence) == (Cause.OOM_DAEMON, Confidence.CERTAIN), end
    assert end.exit.signal == signal.SIGKILL
    assert [piece.source for piece in end.because] == ["journal", "exit"]
    assert f"to process {end.process.pid} " in end.because[0].text


def test_a_kill_by_nohang_is_certain_by_its_own_lines(ends: dict[str, Incident]) -> None:
    end = ends["nohang"]
    assert (end.cause, end.confidence) == (Cause.OOM_DAEMON, Confidence.CERTAIN), end
    assert end.exit.signal == signal.SIGTERM
    assert f"(pid {end.process.pid})" in end.because[0].text


def test_a_users_word_under_a_guards_name_is_not_believed(ends: dict[str, Incident]) -> None:
    end = ends["forged-line"]
    assert end.cause is Cause.KILLED, end
    assert not [part for part in (*end.because, *end.timeline) if part.source == "journal"]
    assert Cause.OOM_DAEMON not in {other.cause for other in end.alternatives}


def test_a_time_limit_of_its_unit_ended_it(ends: dict[str, Incident]) -> None:
    """systemd tells of the limit, and logs no SIGTERM."""
    end = ends["time-limit"]
    assert (end.cause, end.confidence) == (Cause.KILLED_BY_MANAGER, Confidence.LIKELY), end
    assert end.is_incident
    assert "reached runtime time limit" in end.because[0].text


def test_a_watchdog_ended_it(ends: dict[str, Incident]) -> None:
    """systemd names the process: this SIGABRT is no library's."""
    end = ends["watchdog"]
    assert (end.cause, end.confidence) == (Cause.KILLED_BY_MANAGER, Confidence.CERTAIN), end
    assert end.exit.signal == signal.SIGABRT
    assert f"Killing process {end.process.pid} " in end.because[1].text


def test_slurm_kills_a_job_that_outgrows_its_memory(ends: dict[str, Incident]) -> None:
    """It names the step, not the process, and its own user can have it log such a line: no proof."""
    end = ends["slurm-memory"]
    assert (end.cause, end.confidence) == (Cause.OOM_DAEMON, Confidence.LIKELY), end
    assert [piece.source for piece in end.because] == ["log", "exit"]
    assert "exceeded memory limit" in end.because[0].text


def test_slurm_preempts_a_job(ends: dict[str, Incident]) -> None:
    end = ends["slurm-preempted"]
    assert (end.cause, end.confidence) == (Cause.KILLED_BY_MANAGER, Confidence.LIKELY), end
    assert "DUE TO PREEMPTION" in end.because[0].text


def test_a_job_that_somebody_cancels_was_stopped_with_its_server(ends: dict[str, Incident]) -> None:
    end = ends["slurm-cancelled"]
    assert end.cause is Cause.SERVER_STOPPED, end
    assert "CANCELLED AT" in end.because[0].text


def test_a_kernel_that_its_units_stop_had_to_kill_was_asked_to_end(ends: dict[str, Incident]) -> None:
    end = ends["stuck"]
    assert (end.cause, end.confidence) == (Cause.SERVER_STOPPED, Confidence.CERTAIN), end
    assert end.exit.signal == signal.SIGKILL
    assert not end.is_incident
