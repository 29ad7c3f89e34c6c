"""Every way to die, on real kernels: the cause, the kernel, the cell, the proof, in each role."""

import os

import pytest
from cells import SHM_BYTES
from libraries import PACKAGE, VERSION
from report import NEEDED, SEEING, Report, each_role, story
from rig import OTHER, PLAIN
from scenarios import SCENARIOS
from starts import STARTS

from kerneld.model.vocabulary import Category, Cause, Confidence, PeakHow, Scope, State
from kerneld.sources.stack_target import NOT_PYTHON

pytestmark = NEEDED

# scenario, cause, exit signal, exit code
FAULTS = [
    ("segfault", Cause.SEGFAULT, 11, None),
    ("thread-segfault", Cause.SEGFAULT, 11, None),
    ("abort", Cause.ABORT, 6, None),
    ("bus-error", Cause.BUS_ERROR, 7, None),
    ("illegal-instruction", Cause.ILLEGAL_INSTRUCTION, 4, None),
    ("trap", Cause.TRAP, 5, None),
    ("arithmetic-fault", Cause.ARITHMETIC_FAULT, 8, None),
    ("wrapped", Cause.SEGFAULT, 11, None),
    ("bare", Cause.SEGFAULT, 11, None),
    ("bare-ipc", Cause.SEGFAULT, 11, None),
    ("headless-crash", Cause.SEGFAULT, 11, None),
    ("shm-room", Cause.BUS_ERROR, 7, None),
    ("wild-write", Cause.SEGFAULT, 11, None),
    ("abort-with-room", Cause.ABORT, 6, None),
    ("library", Cause.SEGFAULT, 11, None),
    ("wheel", Cause.SEGFAULT, 11, None),
    ("faulthandler", Cause.SEGFAULT, 11, None),
    ("cpu-limit", Cause.CPU_LIMIT, 24, None),
    ("file-size", Cause.FILE_SIZE_LIMIT, 25, None),
    ("seccomp", Cause.SECCOMP, 31, None),
]
# the signal is certain, what it came of is told by numbers
REFINED = [
    ("shm-full", Cause.SHM_FULL, 7, None),
    ("refused-memory", Cause.ALLOCATION_FAILURE, 6, None),
]
EXITS = [
    ("exit-call", Cause.EXIT_CALL, None, 0),
    ("hard-exit-3", Cause.HARD_EXIT, None, 3),
    ("hard-exit-0", Cause.HARD_EXIT, None, 0),
    ("xeus", Cause.HARD_EXIT, None, 1),
    ("broken-start", Cause.STARTUP_FAILURE, None, 1),
    ("crash-on-import", Cause.STARTUP_FAILURE, 11, None),
]
KILLS = [
    ("killed-gigabyte", Cause.KILLED, 9, None),
    ("killed-past", Cause.KILLED, 9, None),
    ("killed-idle", Cause.KILLED, 9, None),
    ("killed-near", Cause.KILLED, 9, None),
    ("forged-name", Cause.KILLED, 9, None),
    ("bash", Cause.KILLED, 9, None),
    ("irkernel", Cause.KILLED, 9, None),
]
DEATHS = [row for row in FAULTS + REFINED + EXITS + KILLS if row[0] in SCENARIOS]
each_death = pytest.mark.parametrize(
    ("scenario", "cause", "number", "code"), DEATHS, ids=[row[0] for row in DEATHS]
)


def seen_as(role: str, cause: Cause) -> Cause:
    """A plain user may not read the signal trace: the sender stays unseen."""
    return Cause.KILLED_BY_PROCESS if cause is Cause.KILLED and role in SEEING else cause


@each_role
@each_death
def test_names_the_cause(
    report: Report, role: str, scenario: str, cause: Cause, number: int | None, code: int | None
) -> None:
    for life in report.of(scenario):
        end = report.end(role, life)
        assert end.cause == seen_as(role, cause), story(end)
        assert end.is_incident
        assert (end.exit.signal, end.exit.code) == (number, code), story(end)
        assert end.state is State.SETTLED


@each_role
def test_deaths_of_one_kernel_in_quick_succession_are_a_loop(report: Report, role: str) -> None:
    """The server starts what dies at once anew, every 3 s, until it gives up."""
    ends = [report.end(role, life) for life in report.of("broken-start")]
    first, *rest = sorted(ends, key=lambda end: end.died_at)
    assert len(ends) == len(STARTS)
    assert first.loop is None
    assert [end.loop and end.loop.count for end in rest] == [2, 3, 4, 5, 6]
    assert {end.loop and end.loop.id for end in rest} == {first.uuid}


@each_role
@each_death
def test_names_the_kernel_its_notebook_and_its_user(
    report: Report, role: str, scenario: str, cause: Cause, number: int | None, code: int | None
) -> None:
    for life in report.of(scenario):
        end = report.end(role, life)
        assert end.kernel is not None
        assert end.kernel.pid == life.pid
        assert end.user.uid == PLAIN
        assert life.kernel_id in (None, end.kernel.id)
        assert life.notebook is None or (end.notebook and end.notebook.path == life.notebook)


@each_role
@each_death
def test_names_the_cell(
    report: Report, role: str, scenario: str, cause: Cause, number: int | None, code: int | None
) -> None:
    for life in report.of(scenario):
        end = report.end(role, life)
        if life.execution_count is None:
            continue
        if scenario == "bare-ipc" and role != "plain":
            assert end.cell is None or end.cell.execution_count is None
            assert any(blind.source == "iopub" for blind in end.blind), "an unheard kernel is told"
            continue
        assert end.cell is not None, story(end)
        assert end.cell.execution_count == life.execution_count


@each_role
@pytest.mark.parametrize("scenario", [row[0] for row in DEATHS if row[0] != "broken-start"])
def test_dates_the_death_when_it_happened(report: Report, role: str, scenario: str) -> None:
    """The witness looked just after the death; only a headless one waited for its runner."""
    (life,) = report.of(scenario)
    end = report.end(role, life)
    assert life.died_at is not None
    late_s = (life.died_at - end.died_at).total_seconds()
    assert -0.01 <= late_s <= (10 if scenario == "headless-crash" else 2)
    assert end.died_at_uncertainty_s == 0
    assert end.recorded_at >= end.detected_at


@each_role
@pytest.mark.parametrize("scenario", [row[0] for row in FAULTS if row in DEATHS])
def test_a_signal_read_from_the_process_itself_is_certain(
    report: Report, role: str, scenario: str
) -> None:
    end = report.first(role, scenario)
    assert end.confidence is Confidence.CERTAIN, story(end)


@pytest.mark.parametrize("role", SEEING)
@pytest.mark.parametrize(
    "scenario", ["segfault", "thread-segfault", "wrapped", "bare", "headless-crash"]
)
def test_a_segfault_names_the_faulting_object(report: Report, role: str, scenario: str) -> None:
    end = report.first(role, scenario)
    assert end.fault is not None, story(end)
    assert (end.fault.object or "").startswith("libc"), end.fault


@pytest.mark.parametrize("role", SEEING)
@pytest.mark.parametrize(
    ("scenario", "object_", "package"),
    [("library", "libcrashing.so", None), ("wheel", "native.so", (PACKAGE, VERSION))],
)
def test_a_crash_is_placed_in_its_function_and_package(
    report: Report, role: str, scenario: str, object_: str, package: tuple[str, str] | None
) -> None:
    """What was found after the first verdict raised its revision before it settled."""
    end = report.first(role, scenario)
    assert end.fault is not None, story(end)
    assert (end.fault.object, end.fault.symbol) == (object_, "crash_in_c"), story(end)
    owner = (end.fault.package, end.fault.version) if end.fault.package else None
    assert owner == package, story(end)
    assert f"in {object_}'s function crash_in_c" in end.summary
    assert end.revision == 2


@each_role
def test_faulthandlers_own_file_tells_the_line(report: Report, role: str) -> None:
    """With it Linux logs no line; a plain user's recorder reads the file, too."""
    end = report.first(role, "faulthandler")
    assert end.stack is not None, story(end)
    assert [(f.function, f.line) for f in end.stack.frames[:2]] == [("<module>", 7), ("read", 6)]
    assert end.cell is not None
    assert end.cell.line == 6
    assert "Line 6 of the cell was running." in end.summary
    assert end.fault is not None
    assert (end.fault.kind, end.fault.object) == ("segfault", None)
    assert any(piece.source == "faulthandler" for piece in end.because), story(end)
    assert any(blind.source == "fault-place" for blind in end.blind), story(end)


@pytest.mark.parametrize("role", SEEING)
@pytest.mark.parametrize(
    ("scenario", "confidence"),
    [("stack-overflow", Confidence.CERTAIN), ("thread-stack-overflow", Confidence.LIKELY)],
)
def test_a_used_up_stack_is_told_where_the_log_is_read(
    report: Report, role: str, scenario: str, confidence: Confidence
) -> None:
    """The end of the main thread's is reckoned from its limit; that of another, by its pointer."""
    end = report.first(role, scenario)
    assert (end.cause, end.confidence) == (Cause.STACK_OVERFLOW, confidence), story(end)


@pytest.mark.parametrize("scenario", ["stack-overflow", "thread-stack-overflow"])
def test_a_used_up_stack_is_a_segfault_without_the_log(report: Report, scenario: str) -> None:
    end = report.first("plain", scenario)
    assert (end.cause, end.exit.signal) == (Cause.SEGFAULT, 11), story(end)


@each_role
@pytest.mark.parametrize("scenario", [row[0] for row in REFINED])
def test_what_numbers_tell_is_likely_at_most(report: Report, role: str, scenario: str) -> None:
    end = report.first(role, scenario)
    assert end.confidence is Confidence.LIKELY, story(end)


@each_role
def test_refused_memory_names_the_limit(report: Report, role: str) -> None:
    """It was set in the very cell: the zombie still shows it."""
    end = report.first(role, "refused-memory")
    assert any(piece.source == "memory" for piece in end.because), story(end)
    assert "ulimit" in end.advice[0].text


@each_role
def test_shared_memory_is_that_of_the_kernels_own_namespace(report: Report, role: str) -> None:
    for scenario, full in (("shm-full", True), ("shm-room", False)):
        state = report.first(role, scenario).host_state
        assert state is not None
        assert state.shm_free_bytes is not None
        assert (state.shm_free_bytes < 320 << 10) is full
        assert state.shm_free_bytes <= SHM_BYTES


def test_a_plain_user_is_told_that_the_log_was_closed(report: Report) -> None:
    end = report.first("plain", "segfault")
    assert end.fault is None or end.fault.object is None
    assert any("log" in blind.source for blind in end.blind), end.blind
    assert any(blind.source == "fault-place" for blind in end.blind), end.blind


@pytest.mark.parametrize("role", SEEING)
def test_an_oom_kill_of_the_cgroup_is_certain_and_measured(report: Report, role: str) -> None:
    """The peak is within 1 % of the rss that Linux itself logged for this pid."""
    (life,) = report.of("oom-cgroup")
    end = report.end(role, life)
    assert (end.cause, end.confidence) == (Cause.OOM_CGROUP, Confidence.CERTAIN), story(end)
    logged = report.log.oom_rss_bytes(life.pid)
    assert logged is not None
    assert end.memory.peak_how is PeakHow.OOM_LINE
    assert end.memory.peak_bytes == pytest.approx(logged, rel=0.01)


def test_an_oom_kill_without_the_log_is_never_certain(report: Report) -> None:
    """The counters make it likely; where they fall short it is `killed`, and the suspicion is told."""
    end = report.first("plain", "oom-cgroup")
    if end.cause is Cause.OOM_CGROUP:
        assert end.confidence is Confidence.LIKELY, story(end)
        return
    assert (end.cause, end.confidence) == (Cause.KILLED, Confidence.POSSIBLE), story(end)
    assert Cause.OOM_CGROUP in {other.cause for other in end.alternatives}


@each_role
def test_an_oom_kill_names_kernel_cell_and_limit(report: Report, role: str) -> None:
    (life,) = report.of("oom-cgroup")
    end = report.end(role, life)
    assert (end.exit.signal, end.user.uid) == (9, PLAIN)
    assert end.kernel is not None
    assert end.kernel.id == life.kernel_id
    assert end.notebook is not None
    assert end.notebook.path == life.notebook
    assert end.cell is not None
    assert end.cell.execution_count == life.execution_count


@each_role
@pytest.mark.parametrize("scenario", [row[0] for row in KILLS if row in DEATHS])
def test_a_kill_is_no_oom(report: Report, role: str, scenario: str) -> None:
    """A gigabyte held, a cgroup that had killed before: SIGKILL alone proves nothing."""
    end = report.first(role, scenario)
    assert end.category is Category.KILLED, story(end)
    assert (end.confidence is Confidence.CERTAIN) == (role in SEEING), story(end)
    assert not any(other.confidence is Confidence.CERTAIN for other in end.alternatives)


@pytest.mark.parametrize("role", SEEING)
@pytest.mark.parametrize("scenario", [row[0] for row in KILLS if row in DEATHS])
def test_a_kill_names_who_sent_it(report: Report, role: str, scenario: str) -> None:
    """The test itself did."""
    killer = report.first(role, scenario).killer
    assert killer is not None
    assert (killer.pid, killer.uid, killer.how) == (os.getpid(), 0, "signal-trace")


def test_a_plain_user_is_told_that_the_sender_could_not_be_seen(report: Report) -> None:
    end = report.first("plain", "killed-idle")
    assert end.killer is None
    assert any(blind.source == "signal-trace" for blind in end.blind), end.blind


@each_role
@pytest.mark.needs_irkernel
def test_an_r_kernel_has_cells_and_no_python_stack(report: Report, role: str) -> None:
    """Its topics are its clients' names: it is heard as well; why no line is charged is told."""
    end = report.first(role, "irkernel")
    assert end.kernel is not None
    assert end.kernel.language == "R"
    assert [(cell.execution_count, cell.failed) for cell in end.cells] == [(1, False)]
    assert end.growth_lines == ()
    assert [blind.reason for blind in end.blind if blind.source == "stacks"] == [NOT_PYTHON]


@each_role
def test_a_killed_kernel_had_the_memory_it_had(report: Report, role: str) -> None:
    memory = report.first(role, "killed-gigabyte").memory
    assert memory.peak_bytes is not None
    assert memory.peak_bytes > 0.95 * (1 << 30)


@each_role
def test_a_kernel_that_shot_itself_was_killed(report: Report, role: str) -> None:
    end = report.first(role, "self-kill")
    assert end.cause is Cause.KILLED_BY_PROCESS, story(end)
    assert (end.confidence is Confidence.CERTAIN) == (role in SEEING), story(end)
    assert end.exit.signal == 9
    assert end.killer is not None
    assert (end.killer.pid, end.killer.how) == (end.process.pid, "self")


@each_role
def test_the_kernel_is_reported_and_not_its_shell(report: Report, role: str) -> None:
    end = report.first(role, "wrapped")
    shells = report.stage.extra["shells"]
    assert isinstance(shells, list)
    assert shells
    assert end.process.comm != "sh"
    assert not [other for other in report.ends[role] if other.process.pid in shells]


@each_role
def test_starts_that_fail_share_one_kernel_id_and_tell_their_reasons(report: Report, role: str) -> None:
    ends = [report.end(role, life) for life in report.of("broken-start")]
    assert len({end.kernel.id for end in ends if end.kernel}) == 1
    assert len(ends) == len(STARTS)
    for end, (_, reason) in zip(ends, STARTS, strict=True):
        assert f"The server's log says: {reason}." in end.summary


@each_role
def test_a_killed_server_is_one_incident_and_its_kernels_follow_it(report: Report, role: str) -> None:
    server, *orphans = report.of("server-killed")
    told = report.end(role, server)
    assert (told.scope, told.exit.signal) == (Scope.SERVER, 9)
    assert told.cause is seen_as(role, Cause.KILLED), story(told)
    assert set(told.kernels) == {orphan.kernel_id for orphan in orphans}
    for orphan in orphans:
        end = report.end(role, orphan)
        assert (end.cause, end.exit.code) == (Cause.PARENT_DIED, 1), story(end)
        assert end.caused_by == told.uuid
        assert not end.is_incident


def test_another_users_kernel_is_seen_by_root_and_not_by_a_plain_user(report: Report) -> None:
    (life,) = report.of("other-user")
    for role in SEEING:
        end = report.end(role, life)
        assert (end.cause, end.user.uid) == (Cause.KILLED_BY_PROCESS, OTHER), story(end)
    assert {end.user.uid for end in report.ends["plain"]} == {PLAIN}
