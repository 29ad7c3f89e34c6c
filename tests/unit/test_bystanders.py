"""Who else was there: the largest at death, by the best account of them, each with its role."""

from cases import GIB, GROUP, PID, at, counters, death, line, oom, room, task

from kerneld.model.bystanders import MOST, bystanders
from kerneld.model.case import Case
from kerneld.model.readings import ProcessSize, Surroundings
from kerneld.model.records import TaskRow
from kerneld.model.vocabulary import Cause, Scope

HOG, OTHER = 9, 10


def size(pid: int, gib: float, uid: int = 1001) -> ProcessSize:
    names = {1000: "alice", 1001: "bob"}
    sized = int(gib * GIB)
    return ProcessSize(pid=pid, comm=f"p{pid}", uid=uid, user_name=names[uid], rss_bytes=sized)


def look(seconds: float, *sizes: ProcessSize, cgroup: str | None = None) -> Surroundings:
    return Surroundings(at=at(seconds), cgroup=cgroup, largest=sizes)


def told(case: Case, cause: Cause = Cause.KILLED) -> list[tuple[int | None, str]]:
    return [(one.pid, one.role) for one in bystanders(case, cause)]


FULL_HOST = room(available_gib=0.2)


def test_without_a_report_the_looks_tell() -> None:
    """The victim is in neither: it is gone, and its last sample is known."""
    looks = (look(-3.0, size(HOG, 4.0)), look(0.02, size(HOG, 6.0), size(OTHER, 1.0)))
    case = death(signal=9, memory=FULL_HOST, surroundings=looks)
    assert told(case) == [(HOG, "hog"), (PID, "victim"), (OTHER, "other")]
    hog, victim, _ = bystanders(case, Cause.KILLED)
    assert (hog.rss_bytes, hog.user) == (6 * GIB, "bob")
    assert (victim.rss_bytes, victim.user) == (2 * GIB, "alice")


def test_who_died_with_it_is_told_by_the_look_before() -> None:
    looks = (look(-3.0, size(HOG, 4.0)), look(0.02, size(OTHER, 1.0)))
    case = death(signal=9, memory=FULL_HOST, surroundings=looks)
    assert told(case) == [(HOG, "hog"), (PID, "victim"), (OTHER, "other")]


def test_nobody_is_a_hog_while_there_is_memory() -> None:
    case = death(signal=11, surroundings=(look(0.02, size(HOG, 6.0)),))
    assert told(case, Cause.SEGFAULT) == [(HOG, "other"), (PID, "victim")]


def test_old_looks_tell_nothing_of_this_death() -> None:
    for seconds in (-11.0, 11.0):
        assert told(death(signal=9, surroundings=(look(seconds, size(HOG, 6.0)),))) == []


def test_under_a_limit_that_was_reached_only_those_under_it_count() -> None:
    looks = (look(0.02, size(OTHER, 30.0)), look(0.02, size(HOG, 3.0), cgroup=GROUP))
    full = death(signal=9, cgroup=counters(usage=0.99), surroundings=looks)
    assert told(full) == [(HOG, "hog"), (PID, "victim")]
    assert told(full, Cause.OOM_CGROUP) == [(HOG, "hog"), (PID, "victim")]
    roomy = death(signal=9, surroundings=looks)
    assert told(roomy) == [(OTHER, "other"), (PID, "victim")]


def test_linux_own_table_comes_before_any_look() -> None:
    report = oom(top=(task(HOG, 3.0), task(PID, 1.0)))
    case = death(
        signal=9, log=(report,), surroundings=(look(0.02, size(OTHER, 30.0), size(HOG, 1.0, 1000)),)
    )
    assert told(case, Cause.OOM_CGROUP) == [(HOG, "hog"), (PID, "victim")]
    assert [one.user for one in bystanders(case, Cause.OOM_CGROUP)] == ["alice", "alice"]


def test_a_small_victim_and_who_asked_are_among_the_largest() -> None:
    asker = TaskRow(pid=OTHER, comm="cc1", uid=1001, rss_kb=1024)
    top = tuple(task(100 + n, 3.0 + n) for n in range(MOST))
    report = oom(top=top, invoker=asker, invoker_pid=11, invoker_comm="cc1", anon_rss_kb=2048)
    roles = told(death(signal=9, log=(report,)), Cause.OOM_CGROUP)
    assert len(roles) == MOST
    assert roles[0] == (100 + MOST - 1, "hog")
    assert roles[-2:] == [(PID, "victim"), (OTHER, "trigger")]


def test_a_name_alone_makes_no_trigger_where_the_pid_is_known() -> None:
    top = (task(PID, 1.0, "a"), task(HOG, 3.0, "hog"), task(OTHER, 0.5, "cc1"))
    by_name = oom(top=top, invoker_comm="cc1")
    by_pid = oom(top=top, invoker_comm="cc1", invoker_pid=4711)
    assert (OTHER, "trigger") in told(death(signal=9, log=(by_name,)), Cause.OOM_CGROUP)
    assert (OTHER, "other") in told(death(signal=9, log=(by_pid,)), Cause.OOM_CGROUP)


def test_a_neighbours_report_tells_only_of_memory_that_is_shared() -> None:
    def neighbour(**fields: object) -> Case:
        report = line("oom_memcg", pid=77, top=(task(77, 5.0), task(HOG, 1.0)), **fields)
        return death(signal=11, neighbours=(report,))

    assert told(neighbour(oom_cgroup="/elsewhere"), Cause.SEGFAULT) == []
    assert (77, "hog") in told(neighbour(oom_cgroup=GROUP), Cause.SEGFAULT)
    assert (77, "hog") in told(neighbour(), Cause.SEGFAULT)


def test_a_worker_is_not_told_by_its_kernels_size() -> None:
    looks = (look(0.02, size(HOG, 6.0)),)
    worker = death(signal=9, scope=Scope.WORKER, surroundings=looks)
    assert told(worker) == [(HOG, "other")]
