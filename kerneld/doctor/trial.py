"""The end of one child of one's own, and who told of it: pidfd, zombie, proc connector, taskstats."""

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from kerneld.errors import SourceUnavailable
from kerneld.model.process import ProcessKey
from kerneld.parse.netlink import (
    NLMSG_DONE,
    LeaderExited,
    Message,
    connector_request,
    parse_proc_event,
    parse_task_end,
)
from kerneld.proc.netlink import (
    attach_filter,
    connector_filter,
    receive,
    send_request,
    taskstats_filter,
)
from kerneld.proc.pidfd import exit_info, open_pidfd, zombie_status
from kerneld.proc.process import boot_id, read_stat
from kerneld.sources.connector import open_connector
from kerneld.sources.taskstats import open_taskstats

STATUS = 7
_ANSWER_S, _END_S = 0.5, 2.0
_IGNORE = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """Who told the end and its status; connector, taskstats: why not, None where they did."""

    pidfd: bool
    zombie: bool
    pidfd_info: bool
    connector: SourceUnavailable | None
    taskstats: SourceUnavailable | None


def try_an_end() -> Trial:
    """Let a child end with a status of its own, and ask everyone who may have heard."""
    with subprocess.Popen(
        ["/bin/sh", "-c", f"read line; exit {STATUS}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        pidfd = open_pidfd(child.pid)
        try:
            return _trial(child, pidfd)
        finally:
            child.kill()
            os.close(pidfd)


def _trial(child: subprocess.Popen[bytes], pidfd: int) -> Trial:
    stat = read_stat(child.pid)
    ticks = stat.start_ticks if stat else 0
    key = ProcessKey(boot_id=boot_id(), pid=child.pid, start_ticks=ticks)
    with ExitStack() as stack:
        connector = _Ear(stack, _connector(child.pid))
        taskstats = _Ear(stack, _taskstats(child.pid))
        assert child.stdin is not None
        child.stdin.close()
        told = bool(select.select([pidfd], [], [], _END_S)[0])
        zombie = zombie_status("/proc", key, pidfd)
        connector.hear(partial(_status_by_connector, pid=child.pid))
        taskstats.hear(partial(_status_by_taskstats, pid=child.pid))
        child.wait(_END_S)
        info = exit_info(pidfd)
    return Trial(
        pidfd=told,
        zombie=zombie is not None and zombie.status_raw >> 8 == STATUS,
        pidfd_info=info is not None and info.status_raw >> 8 == STATUS,
        connector=connector.problem,
        taskstats=taskstats.problem,
    )


class _Ear:
    """A netlink socket that is to tell of one pid; problem: why it does not, None where it did."""

    def __init__(self, stack: ExitStack, made: AbstractContextManager[socket.socket]) -> None:
        self._socket: socket.socket | None = None
        self.problem: SourceUnavailable | None = None
        try:
            self._socket = stack.enter_context(made)
        except SourceUnavailable as problem:
            self.problem = problem

    def hear(self, status_of: Callable[[Message], int | None]) -> None:
        if self._socket is None:
            return
        status = _await(self._socket, status_of)
        if status is None or status >> 8 != STATUS:
            self.problem = SourceUnavailable("it did not tell of a process's end")


def _await(sock: socket.socket, status_of: Callable[[Message], int | None]) -> int | None:
    """The status among the messages that come within half a second."""
    until_s = time.monotonic() + _ANSWER_S
    while select.select([sock], [], [], max(0.0, until_s - time.monotonic()))[0]:
        for message in receive(sock)[0]:
            status = status_of(message)
            if status is not None:
                return status
    return None


@contextmanager
def _connector(pid: int) -> Iterator[socket.socket]:
    sock = open_connector()
    try:
        attach_filter(sock, connector_filter([pid], execs=False))
        yield sock
    finally:
        # older Linux goes on making events for a listener that left without a word
        send_request(sock, NLMSG_DONE, connector_request(_IGNORE))
        sock.close()


@contextmanager
def _taskstats(pid: int) -> Iterator[socket.socket]:
    with open_taskstats("/sys") as sock:
        attach_filter(sock, taskstats_filter([pid]))
        yield sock


def _status_by_connector(message: Message, pid: int) -> int | None:
    event = parse_proc_event(message.payload)
    return event.status_raw if isinstance(event, LeaderExited) and event.pid == pid else None


def _status_by_taskstats(message: Message, pid: int) -> int | None:
    end = parse_task_end(message.payload)
    return end.status_raw if end is not None and end.tid == pid else None
