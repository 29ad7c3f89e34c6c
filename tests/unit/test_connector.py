"""ConnectorSource: Linux's own word of a watched exit, and a cheap nudge at exec."""

import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from dying import ENDS, Running, let_go, open_fds, running, until, waiting, watch

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import WatchExit
from kerneld.model.facts import ExitLearned, ProcessDying, ProcessEnded, SourceLost
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import ExitHow
from kerneld.parse.procfs import parse_stat
from kerneld.sources import connector
from kerneld.sources.connector import ConnectorSource, open_connector
from kerneld.sources.gates import Allowance, ExecGate
from kerneld.sources.leaders import Leaders

ALL = os.environ.get("KERNELD_TESTS") == "all"


def available() -> bool:
    try:
        open_connector().close()
    except SourceUnavailable:
        return False
    return True


needs_connector = pytest.mark.skipif(
    not (available() or ALL), reason="no proc connector here: run as root"
)


def nothing(_: Sequence[int]) -> None:
    """For tests of exits: discovery looks elsewhere."""


def watched(process: "subprocess.Popen[bytes]", it: Running) -> WatchExit:
    """The connector only reads the key: its pidfd belongs to the source exits."""
    order = watch(process.pid)
    os.close(order.pidfd)
    it.source.control(order)
    assert isinstance(it.source, ConnectorSource)
    until(lambda: process.pid in it.source._leaders.pids)
    time.sleep(0.02)
    return order


@needs_connector
@pytest.mark.parametrize("reaped", [True, False], ids=["reaped-at-once", "zombie"])
@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_told_with_its_status_and_time(end: str, reaped: bool, tmp_path: Path) -> None:
    code, status = ENDS[end]
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        process = waiting(code, tmp_path)
        order = watched(process, it)
        before = datetime.now(UTC)
        let_go(process)
        if reaped:
            process.wait()
        learned = it.learned()
        after = datetime.now(UTC)
        process.wait()
        assert learned.key == order.key
        assert learned.reading is not None
        assert learned.reading.how is ExitHow.PROC_CONNECTOR
        assert learned.reading.proven
        assert learned.reading.status_raw is not None
        assert learned.reading.status_raw & ~0x80 == status
        assert before <= learned.reading.at <= after
        assert it.source._leaders.pids == set()  # type: ignore[attr-defined]


@needs_connector
def test_other_processes_and_threads_are_not_told() -> None:
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        process = waiting("exit 0")
        watched(process, it)
        for _ in range(20):
            subprocess.run(["true"], check=True)
        assert it.silent(0.1)
        let_go(process)
        assert it.learned().key.pid == process.pid
        process.wait()


CRASHING_CHILDREN = "read line; for i in $(seq 25); do sh -c 'kill -ABRT $$'; sh -c 'exit 3'; done"


@needs_connector
def test_a_child_that_crashes_is_told_however_soon_it_is_reaped() -> None:
    """The shell waits for each: it is gone 0.1 ms after its end, and a stranger's is not told."""
    subprocess.run(["sh", "-c", "kill -ABRT $$"], check=False)
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        process = waiting(CRASHING_CHILDREN)
        order = watched(process, it)
        subprocess.run(["sh", "-c", "kill -ABRT $$"], check=False)
        let_go(process)
        told: dict[int, ProcessDying] = {}
        ends: dict[ProcessKey, int | None] = {}
        while True:
            fact = it.next()
            if isinstance(fact, ExitLearned):
                break
            if isinstance(fact, ProcessDying):
                told[fact.process.pid] = fact
            elif isinstance(fact, ProcessEnded):
                ends[fact.key] = fact.readings[0].status_raw
        process.wait()
        assert len(told) == 25
        assert {dying.parents[0] for dying in told.values()} == {order.key.pid}
        gone = {dying.process.key for dying in told.values() if dying.pidfd is None}
        assert ends.keys() == gone
        assert {(status or 0) & 0x7F for status in ends.values()} <= {signal.SIGABRT}
        for dying in told.values():
            if dying.pidfd is not None:
                os.close(dying.pidfd)


def test_a_program_that_crashes_in_a_loop_has_its_share() -> None:
    allowance = Allowance(50)
    assert sum(allowance.take(n / 1000) for n in range(3000)) <= 50 * 4


EXEC_FROM_A_THREAD = """
import os, sys, threading, time
sys.stdin.readline()
threading.Thread(target=os.execv, args=("/bin/sh", ["sh", "-c", "read line; exit 7"])).start()
time.sleep(1000)
"""


@needs_connector
def test_a_thread_that_execs_is_no_end_of_its_process() -> None:
    """Linux sends an exit event with the process's own pid and status 0, and the process lives on."""
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        process = subprocess.Popen(
            [sys.executable, "-c", EXEC_FROM_A_THREAD], stdin=subprocess.PIPE, bufsize=0
        )
        watched(process, it)
        before = program(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        until(lambda: program(process.pid) not in ("", before))
        assert it.silent(0.3)
        process.stdin.write(b"\n")
        learned = it.learned()
        assert learned.reading is not None
        assert (learned.reading.status_raw, learned.reading.proven) == (7 << 8, True)
        process.wait()


def test_a_process_whose_threads_exec_without_end_holds_up_nobody() -> None:
    """A thousand exits of its main thread a second, and it lives on; one end of another's."""
    alive, gone = (ProcessKey(boot_id="b", pid=pid, start_ticks=ticks) for pid, ticks in lives())
    leaders = Leaders("/proc")
    for now_ms in range(3000):
        leaders.claim(ExitLearned(alive, None), now_ms / 1000)
        assert leaders.proven(now_ms / 1000) == []
    leaders.claim(ExitLearned(gone, None), 3.0)
    assert [one.key for one in leaders.proven(3.01)] == [gone]
    assert len(leaders._looks) < 10


def lives() -> list[tuple[int, int]]:
    """Of this very process, and of one that never was."""
    stat = parse_stat(Path("/proc/self/stat").read_bytes())
    assert stat is not None
    return [(os.getpid(), stat.start_ticks), (4_194_305, 1)]


def program(pid: int) -> str:
    """Which it runs; "" for the moment in which a thread's exec takes over its process."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        return ""


@needs_connector
def test_a_main_thread_that_left_first_proves_nothing_of_the_end() -> None:
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        child = os.fork()
        if child == 0:
            threading.Thread(target=time.sleep, args=(1000,)).start()
            time.sleep(0.3)
            ctypes.CDLL(None).pthread_exit(None)
        order = watch(child)
        os.close(order.pidfd)
        it.source.control(order)
        assert it.silent(0.8)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        learned = it.learned()
        assert learned.reading is not None
        assert not learned.reading.proven


@needs_connector
def test_a_process_that_is_dead_when_the_order_comes_leaves_no_pid_to_mistake() -> None:
    """Its pid may go to another process, whose exit would be taken for it."""
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        process = waiting("exit 0")
        order = watch(process.pid)
        os.close(order.pidfd)
        let_go(process)
        process.wait()
        it.source.control(order)
        time.sleep(0.1)
        assert order.key.pid not in it.source._leaders.pids  # type: ignore[attr-defined]


def _executed() -> int:
    """The pid of a program that has ended."""
    with subprocess.Popen(["true"]) as child:
        return child.pid


@needs_connector
def test_an_exec_is_told_to_discovery_soon_and_a_burst_but_a_few_times() -> None:
    calls: list[float] = []
    told: list[int] = []

    def on_exec(pids: Sequence[int]) -> None:
        told.extend(pids)
        if not pids:
            calls.append(time.monotonic())

    def is_told() -> bool:
        """While others execute much, Linux is not asked for half a second: a look follows instead."""
        started.append(_executed())
        time.sleep(0.05)
        return not set(started).isdisjoint(told)

    started: list[int] = []
    with running(ConnectorSource(on_exec, boot_id="b")):
        until(lambda: len(calls) >= 1)
        until(is_told)
        until(lambda: len(calls) >= 2)
        calls.clear()
        began_s = time.monotonic()
        for _ in range(40):
            _executed()
        until(lambda: bool(calls))
        looks, took_s = len(calls), time.monotonic() - began_s
        assert looks <= took_s / ExecGate.GAP_S + 2


def drive(gate: ExecGate, execs_per_s: int, seconds: float) -> tuple[list[float], int]:
    """A flood as the source would see it: looks, and events that woke us."""
    looks, wakes = [], 0
    for step in range(int(seconds * execs_per_s)):
        now_s = 100 + step / execs_per_s
        if gate.due(now_s):
            looks.append(now_s)
        if gate.open:
            wakes += 1
            gate.saw(1, now_s)
    return looks, wakes


@pytest.mark.parametrize(("execs_per_s", "looks_at_most"), [(2000, 3), (400, 5), (100, 7), (5, 5)])
def test_a_flood_of_execs_is_looked_at_twice_a_second(execs_per_s: int, looks_at_most: int) -> None:
    looks, wakes = drive(ExecGate(), execs_per_s, 10)
    assert len(looks) <= looks_at_most * 10
    assert wakes <= 200 * 10
    assert max(b - a for a, b in pairwise(looks)) <= 0.6


def test_an_exec_in_the_pause_is_looked_for_at_its_end() -> None:
    gate = ExecGate()
    gate.saw(50, 100.0)
    assert not gate.open
    assert not gate.due(100.4)
    assert gate.due(100.5)
    assert gate.open
    assert gate.next_s() is None


@needs_connector
def test_a_full_buffer_is_said_and_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    opened: list[socket.socket] = []

    def open_small() -> socket.socket:
        sock = open_connector()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        opened.append(sock)
        return sock

    monkeypatch.setattr(connector, "open_connector", open_small)
    source = ConnectorSource(
        lambda _: (calls.append(0.0), time.sleep(0.5))[0],  # a slow look
        boot_id="b",
    )
    with running(source) as it:
        for _ in range(60):
            subprocess.run(["true"], check=True)
        lost = it.next()
        assert isinstance(lost, SourceLost)
        assert lost.source == "proc-connector"
        assert len(calls) >= 2


def test_no_connector_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for code, word in ((1, "CAP_NET_ADMIN"), (111, "PrivateNetwork")):

        def refuse(*_: object, code: int = code, **__: object) -> socket.socket:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(connector, "open_netlink", refuse)
        with pytest.raises(SourceUnavailable) as told:
            open_connector()
        assert told.value.reason
        assert word in told.value.remedy


@pytest.mark.needs_root
@pytest.mark.parametrize("namespace", ["--net", "--pid"])
def test_in_a_namespace_of_its_own_it_says_so(namespace: str) -> None:
    script = (
        "from kerneld.errors import SourceUnavailable as U\n"
        "from kerneld.sources.connector import open_connector\n"
        "try: open_connector()\n"
        "except U as u: print(u.reason, '|', u.remedy)\n"
    )
    command = ["unshare", namespace, "--fork", sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert "namespace" in told.stdout, told.stderr
    assert told.stdout.split("|")[1].strip()


@needs_connector
@pytest.mark.needs_root
def test_another_listener_s_answer_is_not_taken_for_ours() -> None:
    """Linux sends each answer to all listeners; where it never answers us, that must be seen."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            open_connector().close()
            time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        test_in_a_namespace_of_its_own_it_says_so("--pid")
    finally:
        stop.set()
        asking.join()


@needs_connector
def test_a_stop_leaves_no_descriptor() -> None:
    before = open_fds()
    with running(ConnectorSource(nothing, boot_id="b")) as it:
        pass
    os.close(it.source._mailbox.fd)  # type: ignore[attr-defined]
    assert open_fds() == before
    with pytest.raises(queue.Empty):
        it.queue.get_nowait()
