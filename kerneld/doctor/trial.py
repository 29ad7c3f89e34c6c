"""The end of one child of one's own, and who told of it: pidfd, zombie, proc connector, taskstats."""

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from kerneld.errors import SourceUnavailable
from kerneld.model.process import ProcessKey
from kerneld.parse.netlink import (
    CN_IDX_PROC,
    GENL_ID_CTRL,
    NLMSG_DONE,
    LeaderExited,
    ListenReply,
    Message,
    connector_request,
    error_of,
    family_request,
    parse_family,
    parse_proc_event,
    parse_task_end,
    register_request,
)
from kerneld.proc.netlink import (
    NETLINK_CONNECTOR,
    NETLINK_GENERIC,
    attach_filter,
    connector_filter,
    handshake_filter,
    open_netlink,
    receive,
    send_request,
    taskstats_filter,
)
from kerneld.proc.pidfd import exit_info, open_pidfd, zombie_status
from kerneld.proc.process import boot_id, read_stat

STATUS = 7
_ANSWER_S, _END_S = 0.5, 2.0
_LISTEN = 1

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Trial:
    """Who told the end and its status; connector, taskstats: why not, "" where they did."""

    pidfd: bool
    zombie: bool
    pidfd_info: bool
    connector: str
    taskstats: str


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
    with _Ear(_listen_to_connector, child.pid) as connector, _Ear(_register, child.pid) as taskstats:
        assert child.stdin is not None
        child.stdin.close()
        told = bool(select.select([pidfd], [], [], _END_S)[0])
        zombie = zombie_status("/proc", key, pidfd)
        connector.hear(_status_by_connector)
        taskstats.hear(_status_by_taskstats)
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
    """A netlink socket that is to tell of one pid; problem: why it does not, in words."""

    def __init__(self, open_for: Callable[[int], socket.socket], pid: int) -> None:
        self._open_for, self._pid = open_for, pid
        self._socket: socket.socket | None = None
        self.problem = ""

    def __enter__(self) -> Self:
        try:
            self._socket = self._open_for(self._pid)
        except SourceUnavailable as problem:
            self.problem = problem.reason
        except OSError as problem:
            self.problem = problem.strerror or str(problem)
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def hear(self, status_of: Callable[[Message, int], int | None]) -> None:
        if self._socket is None:
            return
        status = _await(self._socket, lambda message: status_of(message, self._pid))
        if status is None or status >> 8 != STATUS:
            self.problem = "it did not tell of a process's end"


def _await(sock: socket.socket, answer_in: Callable[[Message], Found | None]) -> Found | None:
    """The first answer among the messages that come within half a second."""
    until = time.monotonic() + _ANSWER_S
    while (left := until - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            return None
        for message in receive(sock)[0]:
            answer = answer_in(message)
            if answer is not None:
                return answer
    return None


def _listen_to_connector(pid: int) -> socket.socket:
    sock = open_netlink(NETLINK_CONNECTOR, groups=CN_IDX_PROC, program=handshake_filter())
    try:
        send_request(sock, NLMSG_DONE, connector_request(_LISTEN))
        code = _await(sock, _reply)
        if code is None:
            raise SourceUnavailable("no answer, as in a pid namespace of one's own")
        if code != 0:
            raise SourceUnavailable(os.strerror(code))
        attach_filter(sock, connector_filter([pid], execs=False))
    except (OSError, SourceUnavailable):
        sock.close()
        raise
    return sock


def _reply(message: Message) -> int | None:
    event = parse_proc_event(message.payload)
    return event.code if isinstance(event, ListenReply) else None


def _status_by_connector(message: Message, pid: int) -> int | None:
    event = parse_proc_event(message.payload)
    return event.status_raw if isinstance(event, LeaderExited) and event.pid == pid else None


def _register(pid: int) -> socket.socket:
    sock = open_netlink(NETLINK_GENERIC, groups=0, program=taskstats_filter([pid]))
    try:
        answers = _ask(sock, GENL_ID_CTRL, family_request())
        families = [parse_family(m.payload) for m in answers if m.kind == GENL_ID_CTRL]
        if not families or families[0] is None:
            raise SourceUnavailable("this Linux has no taskstats")
        with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
            cpus = file.read().strip()
        _ask(sock, families[0], register_request(cpus))
    except (OSError, SourceUnavailable):
        sock.close()
        raise
    return sock


def _ask(sock: socket.socket, kind: int, body: bytes) -> list[Message]:
    """The answers up to the acknowledgement. Raises SourceUnavailable with Linux's refusal."""
    answers: list[Message] = []

    def acknowledged(message: Message) -> int | None:
        answers.append(message)
        return error_of(message)

    send_request(sock, kind, body)
    code = _await(sock, acknowledged)
    if code != 0:
        raise SourceUnavailable("no answer" if code is None else os.strerror(code))
    return answers


def _status_by_taskstats(message: Message, pid: int) -> int | None:
    end = parse_task_end(message.payload)
    return end.status_raw if end is not None and end.tid == pid else None
