"""Roles among processes that name one connection file, and what their ends become."""

from datetime import UTC, datetime, timedelta

import pytest

from kerneld.model.effects import CloseFd, FindListener, Listen, ProbePorts, ReleaseFile, WatchExit
from kerneld.model.facts import (
    ConnectionRead,
    FileOpened,
    PortsHeard,
    ProcessDying,
    ProcessEnded,
    ProcessSeen,
    ServerSeen,
)
from kerneld.model.process import CgroupLocation, Connection, Limit, Process, ProcessKey
from kerneld.model.readings import ExitReading
from kerneld.model.records import LogEvent, LogRecord
from kerneld.model.said import KernelStatus, ListenState
from kerneld.model.session import Session
from kerneld.model.vocabulary import ExitHow, LimitKind, Scope, ServerKind
from kerneld.track import Moves, Tracker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UUID = "0b4e4c39-4a5e-4ac1-9e0e-0e1f4cbd1c3a"
FILE = f"/home/alice/.local/share/jupyter/runtime/kernel-{UUID}.json"
CONNECTION = Connection(
    transport="tcp",
    ip="127.0.0.1",
    shell_port=5001,
    iopub_port=5002,
    stdin_port=5003,
    control_port=5004,
    hb_port=5005,
    signature_scheme="hmac-sha256",
    kernel_name="python3",
    notebook="/home/alice/a.ipynb",
    key_digest="d1",
)


def process(pid: int, *, ppid: int = 10) -> Process:
    return Process(
        key=ProcessKey(boot_id="b", pid=pid, start_ticks=pid * 10, pidfd_inode=pid),
        comm="python3",
        ppid=ppid,
        pgid=pid,
        sid=pid,
        uid=1000,
        started_at=NOW,
    )


def seen(pid: int, *, parents: tuple[int, ...] = (10, 1), argv: int = 1, **more: object) -> ProcessSeen:
    values: dict[str, object] = {
        "at": NOW,
        "process": process(pid, ppid=parents[0]),
        "pidfd": pid + 1000,
        "handle": 1,
        "connection_file": FILE,
        "parents": parents,
        "argv_digest": argv,
        "implementation": "ipykernel",
    }
    return ProcessSeen(**{**values, **more})  # type: ignore[arg-type]


def ended(pid: int) -> ProcessEnded:
    return ProcessEnded(at=NOW, detected_at=NOW, key=process(pid).key)


def feed(tracker: Tracker, *facts: object) -> Moves:
    moves = Moves()
    for fact in facts:
        moves = tracker.feed(fact)  # type: ignore[arg-type]
    return moves


def dead_pids(tracker: Tracker, *pids: int) -> list[int]:
    """The pids whose end is a kernel's death, of all that end."""
    return [d.life.process.pid for pid in pids for d in tracker.feed(ended(pid)).deaths]


def test_a_lone_process_is_the_kernel_and_its_id_is_in_the_file_name() -> None:
    moves = feed(Tracker("b"), seen(20))
    assert [type(e) for e in moves.effects][:1] == [WatchExit]
    assert moves.tracked[0].kernel is not None
    assert moves.tracked[0].kernel.id == UUID


def test_of_a_wrapper_and_its_child_the_child_is_the_kernel() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20, argv=1), seen(21, parents=(20, 10, 1), argv=2))
    assert dead_pids(tracker, 21, 20) == [21]


def test_a_wrapper_that_ends_first_is_no_death() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20, argv=1), seen(21, parents=(20, 10, 1), argv=2))
    assert dead_pids(tracker, 20, 21) == [21]


@pytest.mark.parametrize(
    ("fork", "why"),
    [
        (seen(30, parents=(20, 10, 1), argv=1), "forked, parent alive"),
        (seen(30, parents=(25, 20, 10, 1), argv=7), "executed by a worker of a kernel that listens"),
        (seen(30, parents=(1,), argv=1, orphaned_fork=True), "outlived a kernel unseen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_workers_are_no_kernels(fork: ProcessSeen, why: str) -> None:
    tracker = Tracker("b")
    kernel = seen(20)
    feed(
        tracker,
        kernel,
        ConnectionRead(NOW, 1, CONNECTION),
        PortsHeard(NOW, kernel.process.key),
        fork,
    )
    assert dead_pids(tracker, 30) == [], why
    assert dead_pids(tracker, 20) == [20]


@pytest.mark.parametrize(
    ("argv", "listens"),
    [(1, False), (1, True), (7, True)],
    ids=["forked-by-one-that-starts", "forked-by-a-kernel", "executed-by-a-kernel"],
)
def test_a_child_whose_root_is_not_known_any_more_takes_no_kernels_place(
    argv: int, listens: bool
) -> None:
    """Gone before its mount namespace was read, it has a file of its own: a fork of a starting kernel
    that lived 50 ms was told as a startup failure, and its parent's death was told no more."""
    tracker = Tracker("b")
    kernel = seen(20)
    feed(tracker, kernel, ConnectionRead(NOW, 1, CONNECTION))
    if listens:
        feed(tracker, PortsHeard(NOW, kernel.process.key))
    lost = seen(
        30, parents=(20, 10, 1), argv=argv, handle=2, file_elsewhere=True, file_problem="it is gone"
    )
    feed(tracker, lost)
    assert dead_pids(tracker, 30, 20) == [20]


def test_a_kernel_that_listens_is_never_a_wrapper() -> None:
    """Whatever is learned first: a child with a file of its own, or that its parent listens."""
    tracker = Tracker("b")
    kernel, below = seen(20, argv=1), seen(30, parents=(20, 10, 1), argv=7, handle=2)
    feed(tracker, kernel, ConnectionRead(NOW, 1, CONNECTION), below)
    feed(tracker, PortsHeard(NOW, kernel.process.key))
    assert dead_pids(tracker, 20) == [20]


def test_below_a_wrappers_subshell_there_is_a_kernel() -> None:
    """`sh -c "(python -m ipykernel_launcher -f FILE); …"`: the subshell is a fork of the wrapper."""
    tracker = Tracker("b")
    feed(
        tracker,
        seen(20, argv=1),
        seen(21, parents=(20, 10, 1), argv=1),
        seen(22, parents=(21, 20, 10, 1), argv=2),
    )
    assert dead_pids(tracker, 22, 21, 20) == [22]


def test_a_fork_that_executes_the_kernel_becomes_it() -> None:
    """Between fork and exec a child has its parent's command line: it is told again after."""
    tracker = Tracker("b")
    feed(tracker, seen(20, argv=1), seen(21, parents=(20, 10, 1), argv=1))
    moves = feed(tracker, seen(21, parents=(20, 10, 1), argv=2, pidfd=77))
    assert CloseFd(77) in moves.effects
    assert dead_pids(tracker, 20, 21) == [21]


def test_ports_are_probed_once_the_file_is_read_and_iopub_is_heard_once_they_listen() -> None:
    tracker = Tracker("b")
    kernel = seen(20)
    feed(tracker, kernel)
    read = feed(tracker, ConnectionRead(NOW, 1, CONNECTION))
    assert read.effects == [ProbePorts(kernel.process.key, CONNECTION)]
    heard = feed(tracker, PortsHeard(NOW, kernel.process.key))
    assert heard.effects == [Listen(1, "ipykernel")]
    assert heard.tracked[0].kernel is not None
    assert heard.tracked[0].kernel.confirmed
    assert heard.tracked[0].kernel.notebook_path == "/home/alice/a.ipynb"


def test_a_file_that_no_process_names_is_looked_up_by_its_ports() -> None:
    tracker = Tracker("b")
    feed(tracker, FileOpened(NOW, 5, FILE, 9, 1000))
    moves = feed(tracker, ConnectionRead(NOW, 5, CONNECTION))
    assert moves.effects == [FindListener(5, CONNECTION, 1000)]


def test_a_restart_is_a_new_life_of_the_same_id_with_nothing_said_yet() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20), KernelStatus(at=NOW, handle=1, state="busy", parent="m", parent_type="x"))
    feed(tracker, ended(20))
    moves = feed(tracker, seen(22))
    assert [(s.kernel_id, s.pid) for s in moves.successors] == [(UUID, 22)]
    death = feed(tracker, ended(22)).deaths[0]
    assert death.session.facts == ()


def test_a_death_carries_what_the_kernel_last_said() -> None:
    tracker = Tracker("b")
    busy = KernelStatus(at=NOW, handle=1, state="busy", parent="m", parent_type="execute_request")
    death = feed(tracker, seen(20), busy, ended(20)).deaths[0]
    assert death.session.busy is True
    assert death.answered is True


def test_a_server_is_watched_once_and_its_end_names_its_kernels() -> None:
    tracker = Tracker("b")
    server = ServerSeen(process(10, ppid=1), 500, ServerKind.JUPYTER_SERVER)
    first = feed(tracker, seen(20, server=server))
    again = feed(tracker, seen(21, handle=2, server=ServerSeen(server.process, 501, server.kind)))
    assert WatchExit(server.process.key, 500) in first.effects
    assert CloseFd(501) in again.effects
    death = feed(tracker, ended(10)).deaths[0]
    assert (death.scope, len(death.kernels)) == (Scope.SERVER, 2)


def test_files_without_lives_are_released_after_a_while() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20), ended(20))
    assert tracker.sweep(NOW + timedelta(seconds=30)) == []
    assert tracker.sweep(NOW + timedelta(seconds=61)) == [ReleaseFile(1)]


def test_kernels_without_a_uuid_join_by_owner_path_and_key() -> None:
    tracker = Tracker("b")
    first = feed(tracker, seen(20, connection_file="/tmp/tmpab.json")).tracked[0].kernel
    other = feed(tracker, seen(21, handle=2, connection_file="/tmp/tmpcd.json")).tracked[0].kernel
    again = feed(tracker, seen(22, handle=3, connection_file="/tmp/tmpab.json")).tracked[0].kernel
    assert first is not None
    assert other is not None
    assert again is not None
    assert first.id == again.id != other.id


def test_a_kernel_that_serves_another_kernel_is_watched_by_one_pidfd() -> None:
    tracker = Tracker("b")
    outer = seen(20)
    feed(tracker, outer)
    inner = seen(
        21, handle=2, parents=(20, 10, 1), connection_file="/tmp/tmpq1w2e3r4.json",
        server=ServerSeen(outer.process, 501, "nbclient"),
    )  # fmt: skip
    moves = feed(tracker, inner)
    assert CloseFd(501) in moves.effects
    assert [d.scope for d in feed(tracker, ended(20)).deaths] == [Scope.SERVER, Scope.KERNEL]


def test_a_process_that_later_names_another_file_stays_what_it_was() -> None:
    tracker = Tracker("b")
    kernel = seen(20)
    feed(tracker, kernel, ConnectionRead(NOW, 1, CONNECTION), PortsHeard(NOW, kernel.process.key))
    moves = feed(tracker, seen(20, handle=2, pidfd=77))
    assert moves.effects == [CloseFd(77), ReleaseFile(2)]
    assert dead_pids(tracker, 20) == [20]


def test_a_launcher_that_becomes_a_kernel_is_that_kernel() -> None:
    """`setpriv --reuid=… python -m ipykernel_launcher …`: one process, first root's, then a user's."""
    tracker = Tracker("b")
    feed(tracker, seen(20))
    theirs = process(20).model_copy(update={"uid": 1001})
    moves = feed(tracker, seen(20, handle=2, pidfd=77, process=theirs))
    assert CloseFd(77) in moves.effects, "it is watched already"
    (death,) = tracker.feed(ended(20)).deaths
    assert death.life.process.uid == 1001


def test_a_wrapper_of_another_user_is_no_kernel() -> None:
    """`runuser -u nobody -- python -m ipykernel_launcher …`: one path, two owners, two numbers."""
    tracker = Tracker("b")
    feed(tracker, seen(20, argv=1), seen(21, handle=2, parents=(20, 10, 1), argv=2))
    assert dead_pids(tracker, 21, 20) == [21]
    tracker = Tracker("b")
    feed(tracker, seen(21, handle=2, parents=(20, 10, 1), argv=2), seen(20, argv=1))
    assert dead_pids(tracker, 21, 20) == [21], "and seen after its kernel"


def reader_of_the_file(pid: int) -> ProcessSeen:
    return seen(pid, argv=9, implementation="other", begun_by_jupyter=False)


def test_a_program_that_names_a_kernels_file_is_no_kernel() -> None:
    """`tail -f FILE` beside a kernel, and without one."""
    tracker = Tracker("b")
    kernel = seen(20)
    feed(tracker, kernel, ConnectionRead(NOW, 1, CONNECTION), PortsHeard(NOW, kernel.process.key))
    feed(tracker, status("busy"))
    feed(tracker, reader_of_the_file(30))
    assert [one.session.busy for one in tracker.kernels()] == [True], "its session is not begun anew"
    assert dead_pids(tracker, 30, 20) == [20]
    assert dead_pids(Tracker("b"), 30) == []


def test_an_unknown_program_that_listens_is_a_kernel() -> None:
    tracker = Tracker("b")
    unknown = reader_of_the_file(30)
    moves = feed(
        tracker, ConnectionRead(NOW, 1, CONNECTION), unknown, ConnectionRead(NOW, 1, CONNECTION)
    )
    assert ProbePorts(unknown.process.key, CONNECTION) in moves.effects
    feed(tracker, PortsHeard(NOW, unknown.process.key))
    assert dead_pids(tracker, 30) == [30]


def test_an_unknown_program_that_jupyter_started_is_a_kernel_from_the_first() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(30, implementation="other", begun_by_jupyter=True))
    assert dead_pids(tracker, 30) == [30]


def test_a_second_kernel_on_the_same_file_waits_for_the_first_to_end() -> None:
    """Its ports are taken: it is the next life only when that one is gone."""
    tracker = Tracker("b")
    first = seen(20)
    feed(tracker, first, ConnectionRead(NOW, 1, CONNECTION), PortsHeard(NOW, first.process.key))
    assert feed(tracker, seen(21)).successors == []
    moves = tracker.feed(ended(20))
    assert [d.life.process.pid for d in moves.deaths] == [20]
    assert [s.pid for s in moves.successors] == [21]
    assert dead_pids(tracker, 21) == [21]


def test_a_kernel_seen_again_as_an_orphan_keeps_its_server() -> None:
    tracker = Tracker("b")
    server = ServerSeen(process(10, ppid=1), 500, "jupyter_server")
    feed(tracker, seen(20, server=server), seen(20, argv=2, parents=(1,), pidfd=77))
    kernel = feed(tracker, ended(20)).deaths[0].life.kernel
    assert kernel is not None
    assert kernel.server is not None


def status(state: str, parent: str = "m", kind: str = "execute_request") -> KernelStatus:
    return KernelStatus(at=NOW, handle=1, state=state, parent=parent, parent_type=kind)


def test_what_a_kernel_does_is_not_known_while_it_is_not_heard() -> None:
    """A cell may have begun since: it was idle is no word of such a kernel."""
    session = Session().heard_of(status("busy")).heard_of(status("idle"))
    assert session.busy is False
    session = session.heard_of(
        ListenState(at=NOW, handle=1, listening=False, reason="the reader ended")
    )
    assert session.busy is None
    session = session.heard_of(ListenState(at=NOW, handle=1, listening=True))
    assert session.heard_of(status("idle", kind="kernel_info_request")).busy is None
    assert session.heard_of(status("busy", "n")).busy is True
    assert session.heard_of(status("idle", "n")).busy is False
    assert session.heard_of(status("starting", kind="")).busy is False


# ---------------------------------------------------------------- workers


def dying(
    pid: int, *, parents: tuple[int, ...] = (20, 10, 1), for_memory: bool = False
) -> ProcessDying:
    who = process(pid, ppid=parents[0])
    return ProcessDying(NOW, who, pid + 1000, parents, for_memory=for_memory)


def gone(pid: int, status_raw: int | None) -> ProcessEnded:
    readings = (ExitReading(how=ExitHow.PIDFD, status_raw=status_raw, at=NOW),)
    return ProcessEnded(NOW, NOW, process(pid).key, readings if status_raw is not None else ())


def kill_line(pid: int, at: datetime = NOW) -> LogRecord:
    return LogRecord(at=at, event=LogEvent(kind="oom_memcg", pid=pid, comm="python3", line="…"))


@pytest.mark.parametrize(
    ("for_memory", "status_raw", "told"),
    [
        (False, 11, True),
        (False, 6 | 0x80, True),
        (False, None, True),
        (False, 9, False),
        (False, 3, False),
        (False, 1 << 8, False),
        (True, 9, True),
        (True, None, True),
        (True, 15, False),
        (True, 0, False),
    ],
    ids=[
        "segfault", "abort with a core", "crash, status lost", "killed", "SIGQUIT", "left",
        "OOM kill", "OOM kill, status lost", "named, then ended by SIGTERM", "named, then left",
    ],
)  # fmt: skip
def test_a_workers_crash_or_oom_kill_is_told_and_no_other_end(
    for_memory: bool, status_raw: int | None, told: bool
) -> None:
    tracker = Tracker("b")
    moves = feed(tracker, seen(20), dying(30, for_memory=for_memory))
    assert moves.effects == [WatchExit(process(30).key, 1030)]
    deaths = feed(tracker, gone(30, status_raw)).deaths
    assert [(d.scope, d.life.process.pid) for d in deaths] == ([(Scope.WORKER, 30)] if told else [])
    assert all(d.life.kernel is not None and d.life.kernel.id == UUID for d in deaths)
    assert dead_pids(tracker, 20) == [20]


@pytest.mark.parametrize(
    "stranger",
    [dying(30, parents=(10, 1)), dying(20, parents=(10, 1))],
    ids=["no child of a kernel", "the kernel itself"],
)
def test_a_strangers_death_is_let_go(stranger: ProcessDying) -> None:
    tracker = Tracker("b")
    moves = feed(tracker, seen(20), stranger)
    assert moves.effects == [CloseFd(stranger.process.pid + 1000)]


def test_two_sources_that_name_a_worker_make_one_death_of_it() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20), dying(30))
    assert feed(tracker, dying(30)).effects == [CloseFd(1030)]
    assert len(feed(tracker, gone(30, 11)).deaths) == 1
    late = feed(tracker, dying(30))
    assert (late.effects, late.deaths) == ([CloseFd(1030)], [])


@pytest.mark.parametrize("is_over", [False, True])
def test_a_word_of_a_worker_that_came_too_late_for_its_start_is_of_the_same(is_over: bool) -> None:
    """The exit event of one that was reaped meanwhile, while the Linux log's line had found it."""
    tracker = Tracker("b")
    feed(tracker, seen(20), dying(30))
    told = feed(tracker, gone(30, 11)).deaths if is_over else []
    found = process(30, ppid=20)
    who = found.model_copy(update={"key": found.key.model_copy(update={"start_ticks": 777})})
    late = ProcessDying(NOW + timedelta(seconds=0.01), who, None, (20, 10, 1), for_memory=False)
    readings = (ExitReading(how=ExitHow.PROC_CONNECTOR, status_raw=11, at=NOW),)
    feed(tracker, late)
    told += feed(tracker, ProcessEnded(NOW, NOW, who.key, readings)).deaths
    told += [] if is_over else feed(tracker, gone(30, 11)).deaths
    assert len(told) == 1


@pytest.mark.parametrize("fork_first", [True, False])
def test_a_fork_that_the_connector_names_too_late_is_told_once(fork_first: bool) -> None:
    """Its pidfd was there from its start; the exit event finds neither it nor its start any more."""
    tracker = Tracker("b")
    feed(tracker, seen(20), seen(30, parents=(20, 10, 1)))
    found = process(30, ppid=20)
    who = found.model_copy(update={"key": found.key.model_copy(update={"pidfd_inode": None})})
    readings = (ExitReading(how=ExitHow.PROC_CONNECTOR, status_raw=11, at=NOW),)
    by_event = [
        ProcessDying(NOW, who, None, (20, 10, 1), for_memory=False),
        ProcessEnded(NOW, NOW, who.key, readings),
    ]
    facts = [gone(30, 11), *by_event] if fork_first else [*by_event, gone(30, 11)]
    told = [death for fact in facts for death in tracker.feed(fact).deaths]
    assert [death.life.process.pid for death in told] == [30]


def test_a_worker_that_was_reaped_at_once_is_told_by_its_exit_alone() -> None:
    tracker = Tracker("b")
    lost = ProcessDying(NOW, process(30), None, (20, 10, 1), for_memory=False)
    assert feed(tracker, seen(20), lost).effects == []
    assert len(feed(tracker, gone(30, 7)).deaths) == 1


@pytest.mark.parametrize("line_first", [True, False])
def test_a_fork_of_the_kernel_that_is_killed_is_told_only_where_the_log_names_it(
    line_first: bool,
) -> None:
    """It carries the kernel's command line, so its pidfd was there from its start."""
    tracker = Tracker("b")
    feed(tracker, seen(20), seen(30, parents=(20, 10, 1)), seen(31, parents=(20, 10, 1)))
    facts = [kill_line(30), gone(30, 9)] if line_first else [gone(30, 9), kill_line(30)]
    deaths = [death.life.process.pid for fact in facts for death in tracker.feed(fact).deaths]
    assert deaths == [30]
    assert feed(tracker, gone(31, 9)).deaths == []


def test_an_old_line_in_the_log_names_another_process() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20), seen(30, parents=(20, 10, 1)))
    feed(tracker, kill_line(30, NOW - timedelta(hours=1)))
    assert feed(tracker, gone(30, 9)).deaths == []


def test_a_worker_whose_kernel_is_gone_is_none() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20), dying(30), ended(20))
    assert feed(tracker, gone(30, 11)).deaths == []


def test_a_kernel_has_its_share_of_worker_incidents() -> None:
    tracker = Tracker("b")
    feed(tracker, seen(20))
    told = 0
    for pid in range(100, 200):
        feed(tracker, dying(pid))
        told += len(feed(tracker, gone(pid, 11)).deaths)
    assert told == 16


def test_a_dying_worker_keeps_its_kernels_cgroup_and_wish() -> None:
    """In v1 a dying process is in the root cgroup already, and it has no environment any more."""
    limit = Limit(kind=LimitKind.CGROUP, limit_bytes=1 << 30, path="/pool")
    mine = {
        "cgroup": CgroupLocation(version=1, path="/pool"),
        "limits": (limit,),
        "environ": {"KERNELD_CODE": "off"},
    }
    kernel = process(20).model_copy(update=mine)
    root = process(30).model_copy(update={"cgroup": CgroupLocation(version=1, path="/")})
    tracker = Tracker("b")
    feed(tracker, seen(20, process=kernel))
    feed(tracker, ProcessDying(NOW, root, 5, (20,), for_memory=False))
    worker = feed(tracker, gone(30, 11)).deaths[0].life.process
    assert {name: getattr(worker, name) for name in mine} == mine
