"""Linux's taskstats into ExitLearned: status and true peak of watched processes, at their exit."""

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect, WatchExit
from kerneld.model.facts import ExitLearned, SourceLost, SourceState
from kerneld.model.readings import ExitReading, PeakReading
from kerneld.model.vocabulary import ExitHow, PeakHow
from kerneld.parse.netlink import (
    GENL_ID_CTRL,
    Message,
    error_of,
    family_request,
    parse_family,
    parse_task_end,
    register_request,
)
from kerneld.proc.netlink import NETLINK_GENERIC, open_netlink, receive, send_request, taskstats_filter
from kerneld.sources.leaders import LATEST_ORDERS, Leaders, narrow
from kerneld.sources.source import Mailbox, Outlet, beat_s

_ANSWER_S = 1.0
_REFUSALS = {
    errno.EPERM: (
        "Linux gives taskstats to CAP_NET_ADMIN only",
        "let the unit keep CAP_NET_ADMIN: AmbientCapabilities=CAP_NET_ADMIN",
    ),
    errno.EINVAL: ("Linux gives taskstats to its first pid namespace only", "run kerneld on the host"),
    errno.ENOENT: ("this Linux has no taskstats (CONFIG_TASKSTATS)", ""),
    errno.EAFNOSUPPORT: ("netlink is not allowed", "RestrictAddressFamilies=… AF_NETLINK in the unit"),
}


class TaskstatsSource:
    """Hears from Linux how much memory a watched process had at most, and its status."""

    name = "taskstats"

    def __init__(self, *, proc_root: str = "/proc", sys_root: str = "/sys") -> None:
        self._sys_root = sys_root
        self._mailbox = Mailbox(latest=LATEST_ORDERS)
        self._leaders = Leaders(proc_root)

    def control(self, effect: Effect) -> None:
        if isinstance(effect, WatchExit):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def run(self, outlet: Outlet) -> None:
        with open_taskstats(self._sys_root) as sock, select.epoll() as poll:
            poll.register(self._mailbox.fd, select.EPOLLIN)
            poll.register(sock.fileno(), select.EPOLLIN)
            narrow(sock, taskstats_filter, self._leaders.pids)
            self._leaders.drop_unless_still(tuple(self._leaders.pids))
            outlet.emit(SourceState(datetime.now(UTC), self.name, True))
            self._listen(sock, poll, outlet)

    def _listen(self, sock: socket.socket, poll: select.epoll, outlet: Outlet) -> None:
        while not outlet.stopping.is_set():
            ready = dict(poll.poll(self._timeout_s()))
            outlet.tick()
            if sock.fileno() in ready:
                self._read(sock, outlet)
            if self._mailbox.fd in ready:
                self._take_orders(sock)
            for learned in self._leaders.proven(time.monotonic()):
                outlet.emit(learned)

    def _take_orders(self, sock: socket.socket) -> None:
        keys = [order.key for order in self._mailbox.drain() if isinstance(order, WatchExit)]
        for key in keys:
            self._leaders.add(key)
        if keys:
            narrow(sock, taskstats_filter, self._leaders.pids)
            self._leaders.drop_unless_still([key.pid for key in keys])

    def _read(self, sock: socket.socket, outlet: Outlet) -> None:
        messages, overflowed = receive(sock)
        for message in messages:
            self._task_ended(message)
        if overflowed:
            reason = "its buffer was full: peaks of memory were missed"
            outlet.emit(SourceLost(datetime.now(UTC), self.name, None, reason))
            self._leaders.drop_unless_still(tuple(self._leaders.pids))

    def _task_ended(self, message: Message) -> None:
        end = parse_task_end(message.payload)
        key = self._leaders.key_of(end.tid) if end else None
        if end is None or key is None:
            return
        reading = ExitReading(how=ExitHow.TASKSTATS, status_raw=end.status_raw, at=datetime.now(UTC))
        peak = None
        if end.peak_bytes:
            how, vm_bytes = PeakHow.TASKSTATS, end.vm_peak_bytes
            peak = PeakReading(how=how, peak_bytes=end.peak_bytes, vm_bytes=vm_bytes)
        self._leaders.claim(ExitLearned(key, reading, peak), time.monotonic())

    def _timeout_s(self) -> float:
        look_s = self._leaders.next_look_s()
        if look_s is None:
            return beat_s()
        return min(beat_s(), max(0.0, look_s - time.monotonic()))


def open_taskstats(sys_root: str) -> socket.socket:
    """A socket registered for the ends of all tasks, its filter shut. Raises SourceUnavailable."""
    try:
        with open(f"{sys_root}/devices/system/cpu/possible") as possible:
            cpus = possible.read().strip()
        sock = open_netlink(NETLINK_GENERIC, groups=0, program=taskstats_filter(()))
    except OSError as problem:
        raise _unavailable(problem.errno) from problem
    try:
        send_request(sock, GENL_ID_CTRL, family_request())
        family = _answer(sock, lambda message: parse_family(message.payload))
        send_request(sock, family, register_request(cpus))
        _answer(sock, error_of)
    except SourceUnavailable:
        sock.close()
        raise
    except OSError as problem:
        sock.close()
        raise _unavailable(problem.errno) from problem
    return sock


def _answer(sock: socket.socket, read: Callable[[Message], int | None]) -> int:
    """The first answer that `read` understands; a refusal is raised."""
    until_s = time.monotonic() + _ANSWER_S
    while select.select([sock], [], [], max(0.0, until_s - time.monotonic()))[0]:
        for message in receive(sock)[0]:
            refusal = error_of(message)
            if refusal:
                raise _unavailable(refusal)
            value = read(message)
            if value is not None:
                return value
    raise SourceUnavailable("Linux does not answer over generic netlink")


def _unavailable(code: int | None) -> SourceUnavailable:
    reason, remedy = _REFUSALS.get(code or 0, (os.strerror(code or 0), ""))
    return SourceUnavailable(reason, remedy)
