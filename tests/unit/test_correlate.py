"""Facts join the death they belong to, and no other."""

from datetime import UTC, datetime, timedelta

import pytest

from kerneld.correlate import Correlator
from kerneld.correlate.matching import MOST_WORDS
from kerneld.correlate.recent import KEPT_ACTS
from kerneld.model.case import Case
from kerneld.model.death import Death, Successor
from kerneld.model.facts import (
    ExitLearned,
    FileRemoved,
    LookedAround,
    ProcessEnded,
    SourceLost,
    SourceState,
    ThreadCrashed,
)
from kerneld.model.host import Host
from kerneld.model.living import TrackedLife
from kerneld.model.process import CgroupLocation, Kernel, Process, ProcessKey, Server
from kerneld.model.readings import (
    CgroupDelta,
    CgroupReading,
    ExitReading,
    MemoryAccount,
    PeakReading,
    Surroundings,
)
from kerneld.model.records import LogEvent, LogRecord, ManagerAct
from kerneld.model.said import KernelStatus, ShutdownAnnounced
from kerneld.model.vocabulary import ExitHow, Scope, ServerKind

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOST = Host(name="h", boot_id="b", linux_release="6.18")
SECOND = timedelta(seconds=1)
SERVER_KEY = ProcessKey(boot_id="b", pid=10, start_ticks=1)


def process(pid: int) -> Process:
    return Process(
        key=ProcessKey(boot_id="b", pid=pid, start_ticks=pid),
        comm="python3",
        ppid=10,
        pgid=pid,
        sid=pid,
        uid=1000,
        started_at=NOW - timedelta(minutes=5),
        cgroup=CgroupLocation(version=2, path="/user"),
    )


def death(pid: int = 20, *, status: int = 9, handle: int = 1) -> Death:
    server = Server(key=SERVER_KEY, kind=ServerKind.JUPYTER_SERVER, comm="s", uid=1000, started_at=NOW)
    reading = ExitReading(how=ExitHow.PROCFS, status_raw=status, at=NOW)
    kernel = Kernel(id=f"k{handle}", process=process(pid), server=server, found_at=NOW)
    life = TrackedLife(
        scope=Scope.KERNEL, process=process(pid), kernel=kernel, server=server, watched_since=NOW
    )
    return Death(Scope.KERNEL, ProcessEnded(NOW, NOW, process(pid).key, (reading,)), life, handle)


def opened(correlator: Correlator, uuid: str = "u", pid: int = 20, **more: int) -> Case:
    return correlator.open(
        death(pid, **more), uuid=uuid, now=0.0, memory=MemoryAccount(), cgroup=CgroupDelta()
    )


def kill_line(pid: int, at: datetime = NOW) -> LogRecord:
    return LogRecord(at=at, event=LogEvent(kind="oom_memcg", pid=pid, comm="python3", line="…"))


@pytest.fixture
def correlator() -> Correlator:
    return Correlator(HOST, settle_s=5.0)


@pytest.mark.parametrize("before", [True, False], ids=["line first", "death first"])
def test_a_line_that_names_the_process_joins_whichever_came_first(
    correlator: Correlator, before: bool
) -> None:
    if before:
        correlator.feed(kill_line(20))
    opened(correlator)
    if not before:
        assert correlator.feed(kill_line(20)) == {"u"}
    assert [r.event.pid for r in correlator.case("u").log] == [20]


def test_a_line_from_before_the_process_began_is_another_process(correlator: Correlator) -> None:
    correlator.feed(kill_line(20, NOW - timedelta(minutes=6)))
    assert opened(correlator).log == ()


def test_a_neighbours_kill_is_kept_as_a_neighbours(correlator: Correlator) -> None:
    opened(correlator)
    correlator.feed(kill_line(99))
    case = correlator.case("u")
    assert (case.log, [r.event.pid for r in case.neighbours]) == ((), [99])


def test_a_threads_line_joins_by_its_process(correlator: Correlator) -> None:
    opened(correlator)
    event = LogEvent(kind="segfault", pid=31, comm="worker", line="…")
    assert correlator.feed(LogRecord(at=NOW, event=event, tgid=20)) == {"u"}


def test_a_thread_whose_number_was_the_process_of_another_does_not_join(
    correlator: Correlator,
) -> None:
    opened(correlator)
    event = LogEvent(kind="segfault", pid=20, comm="worker", line="…")
    assert correlator.feed(LogRecord(at=NOW, event=event, tgid=77)) == set()


def test_later_accounts_of_the_exit_and_of_the_peak_are_added(correlator: Correlator) -> None:
    opened(correlator)
    reading = ExitReading(how=ExitHow.PIDFD, status_raw=9, at=NOW)
    peak = PeakReading(how="taskstats", peak_bytes=5)
    assert correlator.feed(ExitLearned(process(20).key, reading, peak)) == {"u"}
    case = correlator.case("u")
    assert [r.how for r in case.readings] == [ExitHow.PROCFS, ExitHow.PIDFD]
    assert case.memory.peaks == (peak,)


def test_the_file_of_another_kernel_is_no_sign(correlator: Correlator) -> None:
    opened(correlator)
    assert correlator.feed(FileRemoved(at=NOW, handle=2)) == set()
    assert correlator.feed(FileRemoved(at=NOW, handle=1)) == {"u"}


def test_last_words_delivered_late_are_joined_and_a_new_lifes_first_are_not(
    correlator: Correlator,
) -> None:
    opened(correlator)
    assert correlator.feed(ShutdownAnnounced(at=NOW, handle=1, restart=True)) == {"u"}
    assert correlator.feed(KernelStatus(at=NOW, handle=1, state="starting")) == set()
    later = ShutdownAnnounced(at=NOW + SECOND, handle=1, restart=False)
    assert correlator.feed(later) == set()


def test_a_server_that_ended_before_or_after_is_told_to_its_kernels(correlator: Correlator) -> None:
    correlator.parent_ended(ProcessEnded(NOW - SECOND, NOW, SERVER_KEY), case_uuid=None)
    opened(correlator)
    assert correlator.case("u").server_end is not None
    reading = ExitReading(how=ExitHow.PIDFD, status_raw=9, at=NOW)
    assert correlator.feed(ExitLearned(SERVER_KEY, reading)) == {"u"}
    end = correlator.case("u").server_end
    assert end is not None
    assert end.readings == (reading,)


def test_a_new_life_of_the_same_id_is_a_succession(correlator: Correlator) -> None:
    opened(correlator)
    assert correlator.succeeded(Successor(NOW, "other", 21)) == set()
    assert correlator.succeeded(Successor(NOW, "k1", 21)) == {"u"}


def test_kills_beside_it_in_the_same_cgroup_are_counted_when_it_settles(
    correlator: Correlator,
) -> None:
    opened(correlator)
    opened(correlator, "v", pid=21, handle=2)
    opened(correlator, "w", pid=22, handle=3, status=0)
    counters = [CgroupReading(version=2, path="/user", at=NOW, oom_kill=n) for n in (0, 2)]
    delta = CgroupDelta(before=(counters[0],), after=(counters[1],))
    case = correlator.update("u", memory=None, cgroup=delta)
    assert case.cgroup is not None
    assert case.cgroup.kills_in_window == 2


def test_counters_read_at_the_death_outlive_their_cgroup(correlator: Correlator) -> None:
    """systemd removes a unit's cgroup with its last process; and others may die in it later."""
    before, after, later = (
        CgroupReading(version=2, path="/user", at=NOW, oom_kill=n) for n in (0, 1, 2)
    )
    for last in ((), (later,)):
        first = CgroupDelta(before=(before,), after=(after,))
        correlator.open(death(), uuid="u", now=0.0, memory=MemoryAccount(), cgroup=first)
        told = correlator.update("u", memory=None, cgroup=CgroupDelta(before=(before,), after=last))
        assert told.cgroup is not None
        assert told.cgroup.after == (after,)
        correlator.close("u")


def test_a_source_that_is_down_or_lost_something_is_blindness(correlator: Correlator) -> None:
    correlator.feed(SourceState(NOW, "linux-log", False, "may not read it"))
    correlator.feed(SourceState(NOW, "taskstats", False, "no right"))
    correlator.feed(SourceState(NOW, "taskstats", True))
    correlator.feed(SourceLost(NOW, "proc-connector", 3, "overrun"))
    blind = {b.source for b in opened(correlator).blind}
    assert blind == {"linux-log", "proc-connector", "iopub"}


def test_a_case_is_due_after_settle_s_or_when_hastened(correlator: Correlator) -> None:
    opened(correlator)
    assert correlator.due(4.9) == []
    assert correlator.due(5.0) == ["u"]
    correlator.hasten("u", 1.0)
    assert correlator.due(1.0) == ["u"]
    correlator.close("u")
    assert (correlator.due(100.0), correlator.next_due()) == ([], None)


@pytest.mark.parametrize("line_first", [True, False], ids=["line first", "crash first"])
def test_a_threads_line_joins_by_the_crash_that_linux_told(
    correlator: Correlator, line_first: bool
) -> None:
    event = LogEvent(kind="segfault", pid=31, comm="worker", line="…")
    facts = [LogRecord(at=NOW, event=event), ThreadCrashed(NOW, process(20).key, 31)]
    opened(correlator)
    for fact in facts if line_first else facts[::-1]:
        correlator.feed(fact)
    assert [r.tgid for r in correlator.case("u").log] == [20]


def worker_death(pid: int, at: datetime = NOW) -> Death:
    """Of kernel k1, which is pid 20."""
    kernel = death(20).life
    life = kernel.model_copy(update={"scope": Scope.WORKER, "process": process(pid)})
    return Death(Scope.WORKER, ProcessEnded(at, at, process(pid).key), life)


@pytest.mark.parametrize("worker_first", [True, False])
def test_a_worker_killed_with_its_kernel_is_part_of_that_incident(
    correlator: Correlator, worker_first: bool
) -> None:
    """A cgroup that is killed as a whole is one story, not nine; a request explains no kill."""
    both = [("u", death(20)), ("w", worker_death(30)), ("x", worker_death(31, NOW - 2 * SECOND))]
    for uuid, each in both if not worker_first else reversed(both):
        correlator.open(each, uuid=uuid, now=0.0, memory=MemoryAccount(), cgroup=None)
    lines = [kill_line(30), kill_line(20), kill_line(31, NOW - 2 * SECOND)]
    first, *rest = [line.model_copy(update={"sequence": n}) for n, line in enumerate(lines)]
    correlator.feed(first)
    assert correlator.update("w", memory=None, cgroup=None).caused_by is None
    for line in rest:
        correlator.feed(line)
    told = {uuid: correlator.update(uuid, memory=None, cgroup=None).caused_by for uuid in "uwx"}
    assert told == {"u": None, "w": "u", "x": None}


def looked(seconds: float, *cgroups: str | None, pid: int | None = None) -> LookedAround:
    at = NOW + seconds * SECOND
    seen = tuple(Surroundings(at=at, cgroup=cgroup) for cgroup in cgroups)
    key = None if pid is None else process(pid).key
    return LookedAround(at, seen, key=key, disk_free_bytes=None if pid is None else 5)


def test_the_last_looks_before_a_death_and_the_one_after_it_are_its_own(
    correlator: Correlator,
) -> None:
    """Of shortages the latest of all, and none of a cgroup that has no limit over it."""
    for seconds in (-70.0, -4.0, -2.0):
        correlator.feed(looked(seconds, None, "/elsewhere"))
    assert [look.at for look in opened(correlator).surroundings] == [NOW - 2 * SECOND]
    assert correlator.feed(looked(0.1, None, pid=20)) == set(), "no verdict turns on it"
    correlator.feed(looked(0.2, None, pid=21))
    case = correlator.case("u")
    assert [look.at for look in case.surroundings] == [NOW - 2 * SECOND, NOW + 0.1 * SECOND]
    assert case.disk_free_bytes == 5


def act(line: str, *, is_vouched: bool) -> ManagerAct:
    return ManagerAct(
        at=NOW, manager="systemd-oomd", did="killed-for-memory", cgroup="/user", is_vouched=is_vouched,
        line=line,
    )  # fmt: skip


def test_words_without_number_neither_hide_what_is_vouched_for_nor_fill_a_case(
    correlator: Correlator,
) -> None:
    """Anybody logs as many as he likes where no journal is kept."""
    correlator.feed(act("before", is_vouched=True))
    for number in range(2 * KEPT_ACTS):
        correlator.feed(act(f"forged {number}", is_vouched=False))
    case = opened(correlator)
    for number in range(2 * KEPT_ACTS):
        correlator.feed(act(f"forged again {number}", is_vouched=False))
    correlator.feed(act("behind", is_vouched=True))
    acts = correlator.case(case.uuid).acts
    assert {one.line for one in acts if one.is_vouched} == {"before", "behind"}
    assert len(acts) == 2 + MOST_WORDS
