"""What was asked for, or survived, is no incident in any role; and nothing else is reported."""

import pytest
from report import NEEDED, SEEING, Report, each_role, story
from rig import PLAIN

from kerneld.model.vocabulary import Cause, Confidence

pytestmark = NEEDED

REQUESTED = [
    ("shutdown", [Cause.SHUTDOWN]),
    ("restart-idle", [Cause.RESTART, Cause.SHUTDOWN]),
    ("restart-busy", [Cause.RESTART, Cause.SHUTDOWN]),
    ("survivor", [Cause.SHUTDOWN]),
    ("worker-oom", [Cause.SHUTDOWN]),
    ("worker-crashes", [Cause.SHUTDOWN]),
    ("worker-bash", [Cause.SHUTDOWN]),
    ("nbclient", [Cause.SHUTDOWN]),
    ("papermill", [Cause.SHUTDOWN]),
]

QUIET = {
    "server-stopped", "server-killed", "clean", "culled", "console", "shutdown-stuck", "restart-stuck",
    "code-server", "spyder", "nbclient-fails", "papermill-fails",
}  # fmt: skip
"""what ends there was asked for, too, or is told by the end of a server"""


@each_role
def test_a_stopped_server_is_no_incident(report: Report, role: str) -> None:
    server, *stopped = report.of("server-stopped")
    assert not [end for end in report.ends[role] if end.process.pid == server.pid and end.is_incident]
    for life in stopped:
        end = report.end(role, life)
        assert end.cause is Cause.SERVER_STOPPED, story(end)


@each_role
@pytest.mark.parametrize(("scenario", "causes"), REQUESTED, ids=[row[0] for row in REQUESTED])
def test_what_was_asked_for_is_no_incident(
    report: Report, role: str, scenario: str, causes: list[Cause]
) -> None:
    ends = [report.end(role, life) for life in report.of(scenario)]
    assert [end.cause for end in ends] == causes, [story(end) for end in ends]
    assert not any(end.is_incident for end in ends)


@pytest.mark.parametrize("role", SEEING)
@pytest.mark.parametrize(
    ("scenario", "cause"), [("shutdown-stuck", Cause.SHUTDOWN), ("restart-stuck", Cause.RESTART)]
)
def test_a_stuck_kernel_that_its_server_shot_was_asked_to_end(
    report: Report, role: str, scenario: str, cause: Cause
) -> None:
    """The signal trace names the server; it is a deadly signal all the same."""
    end = report.first(role, scenario)
    assert (end.cause, end.confidence) == (cause, Confidence.LIKELY), story(end)
    assert end.exit.signal in (9, 15)
    assert any(piece.source == "signal-trace" for piece in end.because), story(end)


@each_role
def test_a_culled_kernel_and_a_server_that_was_interrupted_are_no_incidents(
    report: Report, role: str
) -> None:
    culled, server, stopped = report.of("culled")
    end = report.end(role, culled)
    assert end.cause is Cause.CULLED, story(end)
    assert not [end for end in report.ends[role] if end.process.pid == server.pid and end.is_incident]
    assert report.end(role, stopped).cause is Cause.SERVER_STOPPED, story(report.end(role, stopped))


@each_role
@pytest.mark.parametrize("scenario", ["console", "nbclient-fails", "papermill-fails"])
def test_a_front_end_that_was_left_or_gave_up_is_no_incident(
    report: Report, role: str, scenario: str
) -> None:
    """It shuts its kernel down and ends itself a moment later: either was asked for."""
    end = report.first(role, scenario)
    assert end.cause in (Cause.SHUTDOWN, Cause.SERVER_STOPPED), story(end)


@each_role
@pytest.mark.parametrize("scenario", ["code-server", "spyder"])
def test_a_kernel_that_its_front_end_ended_by_a_signal(
    report: Report, role: str, scenario: str
) -> None:
    """The trace shows that its front end sent it; who can't read that is left with a suspicion."""
    end = report.first(role, scenario)
    if role in SEEING:
        assert (end.cause, end.confidence) == (Cause.SHUTDOWN, Confidence.LIKELY), story(end)
        return
    assert (end.cause, end.confidence) == (Cause.KILLED, Confidence.POSSIBLE), story(end)
    assert Cause.SHUTDOWN in {other.cause for other in end.alternatives}


def test_without_the_trace_a_stuck_kernels_request_is_told_by_file_and_log(report: Report) -> None:
    """The server removes the file of one that it shuts down, and logs that it restarted one."""
    stopped, restarted = (report.first("plain", f"{end}-stuck") for end in ("shutdown", "restart"))
    assert (stopped.cause, stopped.confidence) == (Cause.SHUTDOWN, Confidence.LIKELY), story(stopped)
    told = restarted.cause, restarted.confidence
    assert told == (Cause.RESTART, Confidence.LIKELY), story(restarted)


@each_role
def test_clean_starts_and_stops_are_no_incidents(report: Report, role: str) -> None:
    lives = report.of("clean")
    assert len(lives) == report.stage.rounds
    for life in lives:
        end = report.end(role, life)
        assert end.cause is Cause.SHUTDOWN, story(end)


@each_role
def test_nothing_else_is_reported(report: Report, role: str) -> None:
    """Workers, helpers, runners, servers and successors: not one incident too many."""
    asked = {row[0] for row in REQUESTED} | QUIET
    expected = {life.pid for name, lives in report.lives.items() if name not in asked for life in lives}
    expected |= {report.of("server-killed")[0].pid}
    if role == "plain":
        expected |= {report.of(name)[0].pid for name in ("code-server", "spyder")}
    expected |= {
        pid for name in ("worker-oom", "worker-crashes", "worker-bash") for pid in report.workers(name)
    }
    told = [end for end in report.ends[role] if end.is_incident and end.user.uid == PLAIN]
    assert [story(end) for end in told if end.process.pid not in expected] == []
