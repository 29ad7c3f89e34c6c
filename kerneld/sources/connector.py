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
from kerneld.model.facts import (
    ExitLearned,
    ProcessDying,
    ProcessEnded,
    SourceLost,
    SourceState,
    ThreadCrashed,
)
from kerneld.model.process import ProcessKey
from kerneld.model.readings import ExitReading
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
from kerneld.proc.kin import pin_dying, vanished
from kerneld.proc.netlink import (
    NETLINK_CONNECTOR,
    connector_filter,
    handshake_filter,
    open_netlink,
    receive,
    send_request,
)
from kerneld.sources.gates import Allowance, ExecGate
from kerneld.sources.leaders import LATEST_ORDERS, Leaders, narrow
from kerneld.sources.source import Mailbox, Outlet, beat_s

_ANSWER_S = 1.0
_BEGIN, _END = 1, 2
STRANGERS_A_SECOND = 50
"""crashes of others' children that are looked at: 0.1 ms each, for its ancestors"""
MOST_VANISHED = 64
_CAPABILITY = "let the unit keep CAP_NET_ADMIN: AmbientCapabilities=CAP_NET_ADMIN"
_NETWORK = "run kerneld in the host's network namespace: PrivateNetwork=no in its unit"
_REFUSALS = {
    errno.EPERM: ("this Linux tells root only of exits (before 6.6)", _CAPABILITY),
    errno.EACCES: ("a security module forbids netlink sockets", ""),
    errno.ECONNREFUSED: ("the proc connector is not in this network namespace", _NETWORK),
    errno.EPROTONOSUPPORT: ("this Linux, or this network namespace, has no connector", _NETWORK),
    errno.EAFNOSUPPORT: ("netlink is not allowed", "RestrictAddressFamilies=… AF_NETLINK in the unit"),
}


class ConnectorSource:
    """Hears the end of watched processes from Linux itself, with the time of the exit.

    And of every crash on the host, of which those of a kernel's descendants are told.
    """

    name = "proc-connector"

    def __init__(
        self, on_exec: Callable[[Sequence[int]], None], *, boot_id: str, proc_root: str = "/proc"
    ) -> None:
        """on_exec: called at once with the pids that executed, and with none to look at all."""
        self._on_exec = on_exec
        self._of = {"boot_id": boot_id, "proc_root": proc_root}
        self._strangers = Allowance(STRANGERS_A_SECOND)
        self._vanished: dict[int, ProcessDying] = {}
        self._mailbox = Mailbox(latest=LATEST_ORDERS)
        self._leaders = Leaders(proc_root)
        self._gate = ExecGate()
        self.is_listening = False

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
                self.is_listening = True
                self._listen(sock, poll, outlet)
        finally:
            self.is_listening = False
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
                self._exited(event, now_s, outlet)
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

    def _exited(self, event: LeaderExited, now_s: float, outlet: Outlet) -> None:
        age = timedelta(microseconds=(time.monotonic_ns() - event.monotonic_ns) // 1000)
        at = datetime.now(UTC) - age
        reading = ExitReading(how=ExitHow.PROC_CONNECTOR, status_raw=event.status_raw, at=at)
        key, lost = self._leaders.key_of(event.pid), self._vanished.pop(event.pid, None)
        if key is not None:
            self._leaders.claim(ExitLearned(key, reading), now_s)
        elif lost is not None:
            outlet.emit(lost)
            outlet.emit(ProcessEnded(at, datetime.now(UTC), lost.process.key, (reading,)))

    def _crashed(self, event: Crashed, outlet: Outlet) -> None:
        key, at = self._leaders.key_of(event.pid), datetime.now(UTC)
        if key is None:
            key = self._worker_crashed(event, at, outlet)
        if key is not None:
            outlet.emit(ThreadCrashed(at, key, event.tid))

    def _worker_crashed(self, event: Crashed, at: datetime, outlet: Outlet) -> ProcessKey | None:
        """Tell of a descendant of a watched process. The parent alone is in the event.

        A program of 20 KiB that its parent waits for is reaped 0.1 ms later: then its exit event is
        all that is left of it, and the parent says whose it was.
        """
        watched = self._leaders.pids
        if not watched or not (event.parent in watched or self._strangers.take(time.monotonic())):
            return None
        found = pin_dying(event.pid, below=watched, **self._of)
        if found is not None:
            process, pidfd, parents = found
            outlet.emit(ProcessDying(at, process, pidfd, parents, for_memory=False))
            return process.key
        self._remember(event, at)
        return None

    def _remember(self, event: Crashed, at: datetime) -> None:
        pids = self._leaders.pids
        gone = (
            vanished(event.pid, parent=event.parent, below=pids, **self._of) if event.parent else None
        )
        if gone is None:
            return
        while len(self._vanished) >= MOST_VANISHED:
            del self._vanished[next(iter(self._vanished))]
        self._vanished[event.pid] = ProcessDying(at, gone[0], None, gone[1], for_memory=False)

    def _timeout_s(self) -> float:
        times = [t for t in (self._gate.next_s(), self._leaders.next_look_s()) if t is not None]
        if not times:
            return beat_s()
        # epoll counts whole ms, rounded up: too early would be a busy loop
        return min(beat_s(), max(0.0, min(times) - time.monotonic()))


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
