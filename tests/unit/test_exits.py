"""ExitSource: every end of a real process is told at once, rightly, and no descriptor stays open."""

import json
import os
import signal
import statistics
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dying import ENDS, Running, is_zombie, let_go, open_fds, running, until, waiting, watch

from kerneld.model.facts import ExitLearned, ProcessEnded
from kerneld.model.readings import ExitReading
from kerneld.model.vocabulary import ExitHow
from kerneld.proc.pidfd import exit_info, open_pidfd
from kerneld.sources import exits
from kerneld.sources.exits import ExitSource

NOBODY = 65534
CORE_BIT = 0x80


def linux_tells_exits() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0)
    pidfd = open_pidfd(child)
    os.waitpid(child, 0)
    told = exit_info(pidfd) is not None
    os.close(pidfd)
    return told


needs_pidfd_exit = pytest.mark.skipif(not linux_tells_exits(), reason="PIDFD_INFO_EXIT: Linux 6.15")


def only_reading(fact: ProcessEnded | ExitLearned) -> ExitReading:
    if isinstance(fact, ExitLearned):
        assert fact.reading is not None
        return fact.reading
    (reading,) = fact.readings
    return reading


def told(reading: ExitReading) -> tuple[ExitHow, int, bool]:
    assert reading.status_raw is not None
    return reading.how, reading.status_raw & ~CORE_BIT, reading.proven


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_told_by_the_zombie_at_once_and_by_the_pidfd_after_the_reap(
    end: str, tmp_path: Path
) -> None:
    code, status = ENDS[end]
    before = open_fds()
    with running(ExitSource()) as it:
        process = waiting(code, tmp_path)
        order = watch(process.pid)
        it.source.control(order)
        let_go(process)
        ended = it.ended()
        assert ended.key == order.key
        assert told(only_reading(ended)) == (ExitHow.PROCFS, status, True)
        assert it.silent(0.05), "nothing more before the reap"
        process.wait()
        if linux_tells_exits():
            learned = it.learned()
            assert learned.key == order.key
            assert told(only_reading(learned)) == (ExitHow.PIDFD, status, True)
    os.close(it.source._mailbox.fd)
    it.source._poll.close()
    until(lambda: open_fds() <= before)  # other tests' threads may open and close some


@needs_pidfd_exit
@pytest.mark.parametrize("end", ENDS)
def test_a_parent_that_reaps_first_leaves_the_pidfd_s_account(end: str, tmp_path: Path) -> None:
    """The death was over before the order came: no zombie is read, one fact tells all."""
    code, status = ENDS[end]
    process = waiting(code, tmp_path)
    order = watch(process.pid)
    let_go(process)
    process.wait()
    with running(ExitSource()) as it:
        it.source.control(order)
        assert told(only_reading(it.ended())) == (ExitHow.PIDFD, status, True)
        until(lambda: not is_open(order.pidfd))
        assert it.silent(0.05)


def is_open(fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").is_symlink()


def test_a_core_dump_is_in_the_status(tmp_path: Path) -> None:
    """With a core the status carries 0x80 where one is written; both accounts agree on it."""
    with running(ExitSource()) as it:
        process = waiting("ulimit -c unlimited; kill -ABRT $$", tmp_path)
        it.source.control(watch(process.pid))
        let_go(process)
        zombie = only_reading(it.ended()).status_raw
        assert zombie is not None
        assert zombie & 0x7F == signal.SIGABRT
        waited = os.waitpid(process.pid, 0)[1]
        process.returncode = 0
        assert zombie == waited


def observe_as_nobody(code: str) -> list[tuple[str, int | None, bool]]:
    """What an observer of another uid hears of a process of ours: before the reap and after it."""
    process = waiting(code)
    to_us, from_child = os.pipe()
    go_on, tell = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            heard: list[tuple[str, int | None, bool]] = []
            with running(ExitSource()) as it:
                it.source.control(watch(process.pid))
                os.write(from_child, b"ready\n")
                facts = [it.ended()]
                os.write(from_child, b"ended\n")
                if linux_tells_exits():
                    facts.append(it.learned())
            for fact in facts:
                reading = only_reading(fact)
                heard.append((reading.how, reading.status_raw, reading.proven))
            os.write(from_child, json.dumps(heard).encode() + b"\n")
            status = 0
        finally:
            os._exit(status)
    os.close(from_child)
    with os.fdopen(to_us) as lines:
        assert lines.readline() == "ready\n"
        let_go(process)
        assert lines.readline() == "ended\n"
        process.wait()
        heard = json.loads(lines.readline())
    os.close(go_on)
    os.close(tell)
    assert os.waitpid(child, 0)[1] == 0
    return [tuple(one) for one in heard]


@pytest.mark.needs_root
@needs_pidfd_exit
@pytest.mark.parametrize(("code", "status"), [("exit 0", 0), ("exit 3", 768), ("kill -KILL $$", 9)])
def test_to_another_user_the_zombie_s_zero_is_a_mask_and_proves_nothing(code: str, status: int) -> None:
    assert observe_as_nobody(code) == [("procfs", 0, False), ("pidfd", status, True)]


@pytest.mark.needs_root
def test_to_its_own_user_without_rights_a_zero_is_proven() -> None:
    to_us, from_child = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with running(ExitSource()) as it:
                process = waiting("exit 0")
                it.source.control(watch(process.pid))
                let_go(process)
                os.write(from_child, repr(told(only_reading(it.ended()))).encode())
        finally:
            os._exit(0)
    os.close(from_child)
    with os.fdopen(to_us) as answer:
        assert answer.read() == repr((ExitHow.PROCFS, 0, True))
    os.waitpid(child, 0)


def test_without_the_pidfd_s_account_the_zombie_is_let_go_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before Linux 6.13 nothing more can be had: the descriptor must not wait for ever."""
    monkeypatch.setattr(exits, "tells_exit", lambda fd: False)
    monkeypatch.setattr(exits, "_REAP_WAIT_S", 0.1)
    with running(ExitSource()) as it:
        process = waiting("exit 3")
        order = watch(process.pid)
        it.source.control(order)
        let_go(process)
        it.ended()
        assert is_open(order.pidfd)
        it.source.wake()
        until(lambda: not is_open(order.pidfd))
        assert is_zombie(process.pid)
        process.wait()
        assert it.silent(0.05)


def test_five_hundred_deaths_at_once_are_all_told_rightly_within_a_second() -> None:
    before = open_fds()
    children = [subprocess.Popen(["sleep", "1000"]) for _ in range(500)]
    with running(ExitSource()) as it:
        orders = {child.pid: watch(child.pid) for child in children}
        for order in orders.values():
            it.source.control(order)
        began_s = time.monotonic()
        for child in children:
            child.kill()
        facts = [it.ended() for _ in children]
        took_s = time.monotonic() - began_s
        assert {fact.key for fact in facts} == {order.key for order in orders.values()}
        assert {told(only_reading(fact)) for fact in facts} == {(ExitHow.PROCFS, 9, True)}
        for child in children:
            child.wait()
        if linux_tells_exits():
            learned = [it.learned() for _ in children]
            assert {told(only_reading(fact)) for fact in learned} == {(ExitHow.PIDFD, 9, True)}
            until(lambda: open_fds() <= before + 8)
    print(f"500 deaths told in {took_s * 1000:.0f} ms")
    it.source._poll.close()
    os.close(it.source._mailbox.fd)
    until(lambda: open_fds() <= before)


def test_a_stop_closes_what_is_still_watched() -> None:
    process = waiting("exit 0")
    order, late = watch(process.pid), watch(process.pid)
    with running(ExitSource()) as it:
        it.source.control(order)
    assert not is_open(order.pidfd)
    it.source.control(late)
    it.source.run(it.outlet)
    assert not is_open(late.pidfd)
    process.kill()
    process.wait()


def test_a_full_queue_loses_no_death() -> None:
    it = Running(ExitSource(), size=1)
    it.thread.start()
    children = [subprocess.Popen(["sleep", "1000"]) for _ in range(20)]
    for child in children:
        it.source.control(watch(child.pid))
    for child in children:
        child.kill()
    time.sleep(0.2)
    it.next()
    told_pids = set()
    while len(told_pids) < len(children):
        fact = it.next()
        if isinstance(fact, ProcessEnded):
            told_pids.add(fact.key.pid)
    assert told_pids == {child.pid for child in children}
    it.outlet.stopping.set()
    it.source.wake()
    it.thread.join(10)
    for child in children:
        child.wait()


@pytest.mark.needs_root
@needs_pidfd_exit
def test_a_reused_pid_is_never_taken_for_the_one_before() -> None:
    """The successor gets the same pid, dies otherwise, and stands as a zombie when we look."""
    for _ in range(20):
        first = paused()
        order = watch(first)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        second = paused_with_pid(first)
        if second != first:
            os.close(order.pidfd)
            os.kill(second, signal.SIGKILL)
            os.waitpid(second, 0)
            continue
        os.kill(second, signal.SIGTERM)
        until(lambda pid=second: is_zombie(pid))
        with running(ExitSource()) as it:
            it.source.control(order)
            assert told(only_reading(it.ended())) == (ExitHow.PIDFD, signal.SIGKILL, True)
            os.waitpid(second, 0)
            assert it.silent(0.02)
        return
    pytest.fail("no pid was reused in 20 tries")


def paused() -> int:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child


def paused_with_pid(pid: int) -> int:
    """A child under this pid, or another one where somebody took it first."""
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    before = last_pid.read_text()
    last_pid.write_text(str(pid - 1))
    child = paused()
    last_pid.write_text(before)
    return child


def test_a_death_is_in_the_queue_within_milliseconds() -> None:
    """Printed, not asserted tightly: the witness is the clock just before kill(2)."""
    delays_ms = []
    with running(ExitSource()) as it:
        for _ in range(200):
            child = subprocess.Popen(["sleep", "1000"])
            it.source.control(watch(child.pid))
            time.sleep(0.002)
            killed_at = datetime.now(UTC)
            child.kill()
            ended = it.ended()
            delays_ms.append((datetime.now(UTC) - killed_at).total_seconds() * 1000)
            assert ended.at >= killed_at
            child.wait()
            if linux_tells_exits():
                it.learned()
    cuts = statistics.quantiles(delays_ms, n=100)
    print(f"kill to queue: p50 {statistics.median(delays_ms):.2f} ms, p99 {cuts[98]:.2f} ms")
    assert statistics.median(delays_ms) < 100
