"""Netlink: hostile bytes never raise, layouts hold, and the filter drops what was not asked for."""

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.parse.netlink import (
    PROC_EVENT_COREDUMP,
    PROC_EVENT_EXEC,
    PROC_EVENT_EXIT,
    Crashed,
    Executed,
    LeaderExited,
    TaskEnd,
    attribute,
    attributes,
    error_of,
    parse_family,
    parse_proc_event,
    parse_task_end,
    split_messages,
)
from kerneld.proc.netlink import (
    Instruction,
    attach_filter,
    connector_filter,
    receive,
    taskstats_filter,
)

# Generated input: messages as Linux lays them out (the real ones are in the sources' own tests).


def message(payload: bytes, kind: int = 3) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload


def proc_event(what: int, pid: int, tgid: int, status: int = 0) -> bytes:
    event = struct.pack("=IIQiiIIii", what, 0, 123, pid, tgid, status, 17, 1, 1)
    return struct.pack("=IIIIHH", 1, 1, 0, 0, len(event), 0) + event


def task_end(pid: int, version: int, *, shift: int = 0, ac_pid: int | None = None) -> bytes:
    stats = bytearray(512)
    struct.pack_into("=H2xI", stats, 0, version, 11)
    struct.pack_into("=I", stats, 128 + shift, pid if ac_pid is None else ac_pid)
    struct.pack_into("=QQ", stats, 200 + shift, 2048, 4096)
    inner = attribute(1, struct.pack("=I", pid)) + attribute(3, bytes(stats))
    return struct.pack("=BBH", 2, 1, 0) + attribute(4, inner)


@given(st.binary(max_size=400))
def test_no_bytes_raise(data: bytes) -> None:
    for one in split_messages(data):
        error_of(one)
    parse_proc_event(data)
    parse_task_end(data)
    parse_family(data)
    attributes(data)


@given(st.integers(0, 560))
def test_a_message_cut_short_is_no_event_or_a_whole_one(cut: int) -> None:
    whole = task_end(42, 14)
    assert parse_task_end(whole[:cut]) in (None, parse_task_end(whole))
    event = proc_event(PROC_EVENT_EXIT, 42, 42, 9)
    assert parse_proc_event(event[:cut]) in (None, parse_proc_event(event))


def test_a_main_thread_s_exit_is_told_a_thread_s_is_not() -> None:
    assert parse_proc_event(proc_event(PROC_EVENT_EXIT, 42, 42, 768)) == LeaderExited(42, 768, 123)
    assert parse_proc_event(proc_event(PROC_EVENT_EXIT, 43, 42, 768)) is None
    assert parse_proc_event(proc_event(PROC_EVENT_EXEC, 42, 42)) == Executed(42)


def test_another_connector_s_message_is_none_of_ours() -> None:
    foreign = struct.pack("=II", 7, 1) + proc_event(PROC_EVENT_EXIT, 42, 42)[8:]
    assert parse_proc_event(foreign) is None


@pytest.mark.parametrize(("version", "shift"), [(8, 0), (14, 0), (15, 24), (16, 48), (16, 0), (17, 0)])
def test_the_peak_stands_where_each_version_has_it(version: int, shift: int) -> None:
    end = parse_task_end(task_end(42, version, shift=shift))
    assert end == TaskEnd(42, version, 11, 2048 * 1024, 4096 * 1024)


def test_a_name_that_imitates_a_pid_gives_no_wrong_peak() -> None:
    """Hostile: in one layout of version 16 the comm stands where ac_pid is in the other."""
    payload = bytearray(task_end(42, 16, shift=48))
    struct.pack_into("=I", payload, payload.index(struct.pack("=H2xI", 16, 11)) + 128, 42)
    assert parse_task_end(bytes(payload)) == TaskEnd(42, 16, 11, None)


def test_a_struct_of_an_unknown_shape_gives_the_status_but_no_peak() -> None:
    """ac_pid is not where it should be: the fields were moved again."""
    assert parse_task_end(task_end(42, 99, ac_pid=0)) == TaskEnd(42, 99, 11, None)


def run_filter(program: list[Instruction], datagrams: list[bytes]) -> list[bytes]:
    """What passes, by Linux's own word: the same filter on a socket pair."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        attach_filter(ours, program)
        ours.setblocking(False)
        for datagram in datagrams:
            try:
                theirs.send(datagram)
            except OSError as problem:
                assert problem.errno in (1,)  # noqa: PT017  a unix socket tells the sender: EPERM
        passed = []
        while True:
            try:
                passed.append(ours.recv(4096))
            except BlockingIOError:
                return passed


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 1000, 3500])
def test_only_tracked_main_threads_pass(count: int) -> None:
    pids = [7 * n + 10 for n in range(count)]
    wanted = [message(proc_event(PROC_EVENT_EXIT, pid, pid)) for pid in pids[:3] + pids[-3:]]
    unwanted = [
        message(proc_event(PROC_EVENT_EXIT, 9, 9)),
        message(proc_event(PROC_EVENT_EXIT, 11, 10)),
        message(proc_event(PROC_EVENT_EXEC, 10, 10)),
        message(proc_event(1, 10, 10)),
        b"short",
    ]
    assert run_filter(connector_filter(pids, execs=False), unwanted + wanted) == wanted


def test_every_crash_passes_and_the_exit_that_follows() -> None:
    """Whose child's child it was is not in the event."""
    crash = message(proc_event(PROC_EVENT_COREDUMP, 10, 9))
    deadly = [message(proc_event(PROC_EVENT_EXIT, 9, 9, status)) for status in (4, 6, 11 | 0x80, 31)]
    others = [message(proc_event(PROC_EVENT_EXIT, 9, 9, status)) for status in (9, 15, 11 << 8)]
    thread = message(proc_event(PROC_EVENT_EXIT, 10, 9, 11))
    told = [crash, *deadly]
    assert run_filter(connector_filter([1, 2], execs=False), [*told, *others, thread]) == told


def test_a_crash_names_the_parent() -> None:
    event = struct.pack("=IIQiiii8x", PROC_EVENT_COREDUMP, 0, 123, 10, 9, 7, 8)
    payload = struct.pack("=IIIIHH", 1, 1, 0, 0, len(event), 0) + event
    assert parse_proc_event(payload) == Crashed(10, 9, 8)


def test_execs_pass_where_asked_for() -> None:
    execution = message(proc_event(PROC_EVENT_EXEC, 10, 10))
    assert run_filter(connector_filter([], execs=True), [execution]) == [execution]
    assert run_filter(connector_filter([], execs=False), [execution]) == []


def test_task_ends_of_tracked_pids_and_answers_pass() -> None:
    tracked, other = message(task_end(42, 14), 0x1D), message(task_end(43, 14), 0x1D)
    refusal, family = message(struct.pack("=i", -1), 2), message(b"\0" * 8, 0x10)
    passed = run_filter(taskstats_filter([42]), [tracked, other, refusal, family])
    assert passed == [tracked, refusal, family]


def test_more_pids_than_a_filter_holds_let_all_exits_pass() -> None:
    exits = [message(proc_event(PROC_EVENT_EXIT, 5, 5)), message(proc_event(PROC_EVENT_EXIT, 6, 5))]
    assert run_filter(connector_filter(range(10, 20_000), execs=False), exits) == exits[:1]


def test_what_another_process_sends_is_not_taken_for_linux() -> None:
    """A unicast between two user-space sockets arrives with the sender's port."""
    netlink_usersock = 2
    with (
        socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, netlink_usersock
        ) as a,
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, netlink_usersock) as b,
    ):
        a.bind((0, 0))
        b.bind((0, 0))
        forged = message(proc_event(PROC_EVENT_EXIT, os.getpid(), os.getpid(), 9))
        b.sendto(forged, (a.getsockname()[0], 0))
        assert receive(a) == ([], False)
        b.sendto(forged, (a.getsockname()[0], 0))
        assert a.recv(4096) == forged
