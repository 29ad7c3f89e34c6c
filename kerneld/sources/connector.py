"""Linux's proc connector into exits and crashes of watched processes, and a nudge at every exec."""

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect, WatchExit
from kerneld.model.facts import ExitLearned, ExitReading, SourceLost, SourceState, ThreadCrashed
from kerneld.model.vocabulary import ExitHow
from kerneld.parse.netlink import (
    CN_IDX_PROC,
    NLMSG_DONE,
    Crashed,
    Executed,
    LeaderExited,
    ListenReply,
    Message,
    connector_request,
    parse_proc_event,
)
from kerneld.proc.netlink import (
    NETLINK_CONNECTOR,
    connector_filter,
    handshake_filter,
    open_netlink,
    receive,
    send_request,
)
from kerneld.sources.leaders import LATEST_ORDERS, Leaders, narrow
from kerneld.sources.source import Mailbox, Outlet

_TICK_S = 4.0
_ANSWER_S = 1.0
_BEGIN, _END = 1, 2
_CAPABILITY = "let the unit keep CAP_NET_ADMIN: AmbientCapabilities=CAP_NET_ADMIN"
_NETWORK = "run kerneld in the host's network namespace: PrivateNetwork=no in its unit"
_REFUSALS = {
    errno.EPERM: ("this Linux tells root only of exits (before 6.6)", _CAPABILITY),
    errno.EACCES: ("a security module forbids netlink sockets", ""),
    errno.ECONNREFUSED: ("the proc connector is not in this network namespace", _NETWORK),
    errno.EPROTONOSUPPORT: ("this Linux, or this network namespace, has no connector", _NETWORK),
    errno.EAFNOSUPPORT: ("netlink is not allowed", "RestrictAddressFamilies=… AF_NETLINK in the unit"),
}


class ExecGate:
    """When to look at all processes, and whether Linux is to tell of execs at all.

    Looks are 20 ms apart at least, and up to 160 while execs go on (150 execs a second were 46 looks,
    each through all of /proc). Above 200 execs a second the events stop for half a second, at
    whose end one look covers them all: 2 looks a second however many execs there are.
    """

    GAP_S, LONGEST_GAP_S = 0.020, 0.160
    PAUSE_S = 0.5
    CALM_WINDOW_S, CALM_EXECS = 0.25, 50
    PROBE_WINDOW_S, PROBE_EXECS = 0.02, 4

    def __init__(self) -> None:
        self._called_s = float("-inf")
        self._gap_s = self.GAP_S
        self._pending = False
        self._window_s = float("-inf")
        self._count = 0
        self._probing = False
        self._reopen_s: float | None = None

    @property
    def open(self) -> bool:
        return self._reopen_s is None

    def saw(self, execs: int, now_s: float) -> None:
        if not self.open or not execs:
            return
        window_s, limit = self.CALM_WINDOW_S, self.CALM_EXECS
        if self._probing:
            window_s, limit = self.PROBE_WINDOW_S, self.PROBE_EXECS
        if now_s - self._window_s > window_s:
            self._probing, self._window_s, self._count = False, now_s, 0
        self._pending = True
        self._count += execs
        if self._count >= limit:
            self._reopen_s = now_s + self.PAUSE_S
            self._pending = False

    def due(self, now_s: float) -> bool:
        """Whether to look now."""
        if self._reopen_s is not None and now_s >= self._reopen_s:
            self._reopen_s = None
            self._probing, self._window_s, self._count = True, now_s, 0
            self._pending = True
        since_s = now_s - self._called_s
        if not self._pending or since_s < self._gap_s:
            return False
        busy = since_s < 2 * self._gap_s
        self._gap_s = min(2 * self._gap_s, self.LONGEST_GAP_S) if busy else self.GAP_S
        self._pending, self._called_s = False, now_s
        return True

    def next_s(self) -> float | None:
        if self._reopen_s is not None:
            return self._reopen_s
        return self._called_s + self._gap_s if self._pending else None


class ConnectorSource:
    """Hears the end of watched processes from Linux itself, with the time of the exit."""

    name = "proc-connector"

    def __init__(self, on_exec: Callable[[Sequence[int]], None], *, proc_root: str = "/proc") -> None:
        """on_exec: called at once with the pids that executed, and with none to look at all."""
        self._on_exec = on_exec
        self._mailbox = Mailbox(latest=LATEST_ORDERS)
        self._leaders = Leaders(proc_root)
        self._gate = ExecGate()

    def control(self, effect: Effect) -> None:
        if isinstance(effect, WatchExit):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def run(self, outlet: Outlet) -> None:
        self._gate = ExecGate()
        sock = open_connector()
        try:
            with select.epoll() as poll:
                poll.register(self._mailbox.fd, select.EPOLLIN)
                poll.register(sock.fileno(), select.EPOLLIN)
                self._narrow(sock)
                self._leaders.drop_unless_still(tuple(self._leaders.pids))
                outlet.emit(SourceState(datetime.now(UTC), self.name, True))
                self._on_exec(())
                self._listen(sock, poll, outlet)
        finally:
            _end(sock)

    def _listen(self, sock: socket.socket, poll: select.epoll, outlet: Outlet) -> None:
        while not outlet.stopping.is_set():
            ready = dict(poll.poll(self._timeout_s()))
            outlet.tick()
            was_open = self._gate.open
            if sock.fileno() in ready:
                self._read(sock, outlet)
            now_s = time.monotonic()
            look = self._gate.due(now_s)
            if self._gate.open != was_open:
                self._narrow(sock)
            if look:
                self._on_exec(())
            if self._mailbox.fd in ready:
                self._take_orders(sock)
            for learned in self._leaders.proven(now_s):
                outlet.emit(learned)

    def _take_orders(self, sock: socket.socket) -> None:
        keys = [order.key for order in self._mailbox.drain() if isinstance(order, WatchExit)]
        for key in keys:
            self._leaders.add(key)
        if keys:
            self._narrow(sock)
            self._leaders.drop_unless_still([key.pid for key in keys])

    def _narrow(self, sock: socket.socket) -> None:
        execs = self._gate.open
        narrow(sock, lambda pids: connector_filter(pids, execs=execs), self._leaders.pids)

    def _read(self, sock: socket.socket, outlet: Outlet) -> None:
        messages, overflowed = receive(sock)
        now_s = time.monotonic()
        executed: list[int] = []
        for message in messages:
            event = _event(message)
            if isinstance(event, Executed):
                executed.append(event.pid)
            elif isinstance(event, LeaderExited):
                self._exited(event, now_s)
            elif isinstance(event, Crashed):
                self._crashed(event, outlet)
        if executed and self._gate.open:
            self._on_exec(executed)
        self._gate.saw(len(executed), now_s)
        if overflowed:
            reason = "its buffer was full: exits and new programs were missed"
            outlet.emit(SourceLost(datetime.now(UTC), self.name, None, reason))
            self._leaders.drop_unless_still(tuple(self._leaders.pids))
            self._on_exec(())

    def _exited(self, event: LeaderExited, now_s: float) -> None:
        key = self._leaders.key_of(event.pid)
        if key is None:
            return
        age = timedelta(microseconds=(time.monotonic_ns() - event.monotonic_ns) // 1000)
        reading = ExitReading(
            how=ExitHow.PROC_CONNECTOR, status_raw=event.status_raw, at=datetime.now(UTC) - age
        )
        self._leaders.claim(ExitLearned(key, reading), now_s)

    def _crashed(self, event: Crashed, outlet: Outlet) -> None:
        key = self._leaders.key_of(event.pid)
        if key is not None:
            outlet.emit(ThreadCrashed(datetime.now(UTC), key, event.tid))

    def _timeout_s(self) -> float:
        times = [t for t in (self._gate.next_s(), self._leaders.next_look_s()) if t is not None]
        if not times:
            return _TICK_S
        # epoll counts whole ms, rounded up: too early would be a busy loop
        return min(_TICK_S, max(0.0, min(times) - time.monotonic()))


def open_connector() -> socket.socket:
    """A socket that Linux has agreed to send process events to. Raises SourceUnavailable."""
    try:
        sock = open_netlink(NETLINK_CONNECTOR, groups=CN_IDX_PROC, program=handshake_filter())
    except OSError as problem:
        raise _unavailable(problem.errno) from problem
    try:
        send_request(sock, NLMSG_DONE, connector_request(_BEGIN, _port(sock)))
        code = _answer(sock)
    except OSError as problem:
        sock.close()
        raise _unavailable(problem.errno) from problem
    if code == 0:
        return sock
    sock.close()
    if code is None:
        reason = "Linux does not answer: a pid or user namespace of one's own (a container)"
        raise SourceUnavailable(reason, "run kerneld on the host")
    raise _unavailable(code)


def _answer(sock: socket.socket) -> int | None:
    until_s = time.monotonic() + _ANSWER_S
    while select.select([sock], [], [], max(0.0, until_s - time.monotonic()))[0]:
        messages, _ = receive(sock)
        for event in map(_event, messages):
            if isinstance(event, ListenReply) and event.number == _port(sock):
                return event.code
    return None


def _port(sock: socket.socket) -> int:
    """The socket's netlink address: no other socket of this network namespace has the same."""
    port: int = sock.getsockname()[0]
    return port


def _event(message: Message) -> ListenReply | Executed | Crashed | LeaderExited | None:
    return parse_proc_event(message.payload) if message.kind == NLMSG_DONE else None


def _unavailable(code: int | None) -> SourceUnavailable:
    reason, remedy = _REFUSALS.get(code or 0, (os.strerror(code or 0), ""))
    return SourceUnavailable(reason, remedy)


def _end(sock: socket.socket) -> None:
    """Older Linux goes on making events for a listener that left without a word."""
    try:
        send_request(sock, NLMSG_DONE, connector_request(_END))
    except OSError:
        pass
    sock.close()
