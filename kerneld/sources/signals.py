"""The signal trace to SignalSent: who sent a watched process a signal that can end it."""

import errno
import os
import re
import select
import time
from datetime import UTC, datetime, timedelta

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect, ForgetMemory, WatchExit
from kerneld.model.facts import SourceLost, SourceState
from kerneld.model.records import SignalSent
from kerneld.parse.signals import TracedSignal, parse_trace
from kerneld.proc.process import Sender, read_sender
from kerneld.proc.threads import in_initial_pid_namespace
from kerneld.proc.tracefs import (
    ROOTS,
    SHARED,
    instances,
    make_instance,
    open_pipe,
    remove_instance,
    tracefs_root,
)
from kerneld.sources.source import Mailbox, Outlet, beat_s

MAX_WATCHED = 16_384
READ_BYTES = 65_536
MOUNT = f"sudo mount -t tracefs nodev {ROOTS[0]}"
_OWN = re.compile(rf"{SHARED}-([0-9]+)")
"""a root daemon's own instance, by its pid"""
REASONS = {
    errno.EACCES: (
        "the signal trace may not be read without root or CAP_DAC_READ_SEARCH",
        "let the unit keep CAP_DAC_READ_SEARCH",
    ),
    errno.ENOENT: (
        "the signal trace was not set up",
        "sudo systemctl restart kerneld (its pre-start sets the trace up)",
    ),
    errno.EBUSY: ("the signal trace is read by another process", "stop the other reader"),
}


class SignalSource:
    """Owns the pipe of one tracing instance; as root the instance, too, unless the unit made one."""

    name = "signal-trace"

    def __init__(self, *, proc_root: str = "/proc") -> None:
        self._proc_root = proc_root
        self._mailbox = Mailbox(latest=MAX_WATCHED)
        self._watched: dict[int, None] = {}

    def control(self, effect: Effect) -> None:
        if isinstance(effect, WatchExit | ForgetMemory):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def run(self, outlet: Outlet) -> None:
        if not in_initial_pid_namespace(self._proc_root):
            raise SourceUnavailable(
                "the signal trace names pids of the host, which mean others in this pid namespace",
                "run the container with `--pid=host`",
            )
        root = tracefs_root()
        if root is None:
            raise SourceUnavailable("tracefs is not mounted, or may not be entered", MOUNT)
        try:
            self._run(root, outlet)
        except OSError as problem:
            unknown = (f"{problem.filename}: {problem.strerror}", "")
            raise SourceUnavailable(*REASONS.get(problem.errno or 0, unknown)) from problem

    def _run(self, root: str, outlet: Outlet) -> None:
        own = os.geteuid() == 0
        name = f"{SHARED}-{os.getpid()}" if own else SHARED
        if own:
            _remove_left_behind(root)
            make_instance(root, name)
        try:
            fd = open_pipe(f"{root}/instances/{name}")
            try:
                self._follow(fd, outlet)
            finally:
                os.close(fd)
        finally:
            if own:
                remove_instance(root, name)

    def _follow(self, fd: int, outlet: Outlet) -> None:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.register(self._mailbox.fd, select.POLLIN)
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        rest = b""
        while not outlet.stopping.is_set():
            outlet.tick()
            poller.poll(1000 * beat_s())
            self._take_orders()
            parsed = parse_trace(rest + _read(fd))
            rest = parsed.rest
            senders: dict[int, Sender | None] = {}
            for traced in parsed.signals:
                self._tell(traced, senders, outlet)
            if parsed.lost:
                reason = "the signal trace was overwritten before it was read"
                outlet.emit(SourceLost(datetime.now(UTC), self.name, parsed.lost, reason))

    def _take_orders(self) -> None:
        for order in self._mailbox.drain():
            if isinstance(order, WatchExit):
                self._watched[order.key.pid] = None
            elif isinstance(order, ForgetMemory):
                self._watched.pop(order.key.pid, None)
        while len(self._watched) > MAX_WATCHED:
            del self._watched[next(iter(self._watched))]

    def _tell(self, traced: TracedSignal, senders: dict[int, Sender | None], outlet: Outlet) -> None:
        """A signal to a thread of a watched process ends the process as well.

        senders: of this batch: who killed a thousand is looked up once.
        """
        if not traced.delivered:
            return
        pid = traced.pid
        if pid not in self._watched:
            target = read_sender(pid, proc_root=self._proc_root) if self._watched else None
            if target is None or target.pid not in self._watched:
                return
            pid = target.pid
        at = datetime.now(UTC) - timedelta(seconds=max(0.0, time.monotonic() - traced.monotonic_s))
        tid = traced.sender_tid
        if tid not in senders:
            senders[tid] = read_sender(tid, before=at, proc_root=self._proc_root)
        sender = senders[tid]
        outlet.emit(
            SignalSent(
                at=at,
                pid=pid,
                signal=traced.number,
                code=traced.code,
                sender_pid=sender.pid if sender else traced.sender_tid,
                sender_comm=traced.sender_comm or (sender.comm if sender else None),
                sender_uid=sender.uid if sender else None,
                sender_user=sender.user_name if sender else None,
                sender_unit=sender.unit if sender else None,
            )
        )


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, READ_BYTES)
    except (BlockingIOError, InterruptedError):
        return b""


def _remove_left_behind(root: str) -> None:
    """Instances of daemons that were killed with -9."""
    for name in instances(root):
        owner = _OWN.fullmatch(name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            remove_instance(root, name)
