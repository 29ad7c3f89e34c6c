"""Pidfds of watched processes into ProcessEnded at once, and ExitLearned after the reap."""

import os
import select
import signal
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.model.effects import Effect, WatchExit
from kerneld.model.facts import ExitLearned, ProcessEnded, SourceState
from kerneld.model.process import ProcessKey, Rlimits
from kerneld.model.readings import ExitReading
from kerneld.model.vocabulary import ExitHow
from kerneld.proc.pidfd import ZombieStatus, exit_info, is_reaped, tells_exit, zombie_status
from kerneld.proc.process import read_rlimits
from kerneld.sources.source import Mailbox, Outlet, beat_s

LIMITED_ENDS = (signal.SIGABRT, signal.SIGSEGV)
"""those that a limit on memory or on the stack may be behind"""
_REAP_WAIT_S = 10.0
"""how long a zombie is waited for where its status is known already, or Linux will not tell more;
Jupyter reaps within 3 s"""


@dataclass(slots=True)
class _Watched:
    key: ProcessKey
    pidfd: int


class ExitSource:
    """Owns the pidfd of every watched process, from WatchExit until its end is told.

    A pidfd becomes readable when the process is dead, and hangs up when it is reaped. A zombie
    tells its status only to those who may ptrace it; the pidfd tells anybody, but after the reap.
    """

    name = "exits"

    def __init__(self, *, proc_root: str = "/proc") -> None:
        self._proc_root = proc_root
        self._mailbox = Mailbox()
        self._poll = select.epoll()
        self._poll.register(self._mailbox.fd, select.EPOLLIN)
        self._living: dict[int, _Watched] = {}
        self._zombies: dict[int, _Watched] = {}
        self._given_up_at: deque[tuple[float, int, ProcessKey]] = deque()

    def control(self, effect: Effect) -> None:
        if isinstance(effect, WatchExit):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def run(self, outlet: Outlet) -> None:
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        while not outlet.stopping.is_set():
            ready = self._poll.poll(self._timeout_s())
            woke_at = datetime.now(UTC)
            outlet.tick()
            for fd, events in ready:
                if fd == self._mailbox.fd:
                    self._take_orders()
                else:
                    self._look(fd, events, woke_at, outlet)
            self._give_up()
        self._close()

    def _take_orders(self) -> None:
        for order in self._mailbox.drain():
            if isinstance(order, WatchExit):
                self._poll.register(order.pidfd, select.EPOLLIN)
                self._living[order.pidfd] = _Watched(order.key, order.pidfd)

    def _look(self, fd: int, events: int, woke_at: datetime, outlet: Outlet) -> None:
        zombie = self._zombies.get(fd)
        if zombie is not None:
            if events & select.EPOLLHUP:
                self._reaped(zombie, outlet)
            return
        watched = self._living.get(fd)
        if watched is not None:
            self._ended(watched, woke_at, outlet)

    def _ended(self, watched: _Watched, woke_at: datetime, outlet: Outlet) -> None:
        """Tell the death with what can be had this instant; keep the pidfd for the rest."""
        zombie = zombie_status(self._proc_root, watched.key, watched.pidfd)
        reading = self._reading(watched) if zombie is None else None
        if zombie is not None:
            reading = ExitReading(
                how=ExitHow.PROCFS, status_raw=zombie.status_raw, proven=zombie.proven, at=woke_at
            )
        readings = () if reading is None else (reading,)
        rlimits = self._rlimits(watched, zombie) if zombie is not None else None
        outlet.emit(ProcessEnded(woke_at, woke_at, watched.key, readings, rlimits=rlimits))
        if reading is not None and zombie is None:
            self._release(watched)
            return
        del self._living[watched.pidfd]
        self._zombies[watched.pidfd] = watched
        self._poll.modify(watched.pidfd, 0)  # a hang-up is told all the same
        if (zombie is not None and zombie.proven) or not tells_exit(watched.pidfd):
            give_up_at = time.monotonic() + _REAP_WAIT_S
            self._given_up_at.append((give_up_at, watched.pidfd, watched.key))

    def _rlimits(self, watched: _Watched, zombie: ZombieStatus) -> Rlimits | None:
        """As the process itself may have set them; the pidfd is asked last whether it was its pid."""
        if zombie.status_raw & 0x7F not in LIMITED_ENDS:
            return None
        rlimits = read_rlimits(watched.key.pid, proc_root=self._proc_root)
        return None if is_reaped(watched.pidfd) else rlimits

    def _reaped(self, watched: _Watched, outlet: Outlet) -> None:
        reading = self._reading(watched)
        if reading is not None:
            outlet.emit(ExitLearned(watched.key, reading))
        self._release(watched)

    def _reading(self, watched: _Watched) -> ExitReading | None:
        info = exit_info(watched.pidfd)
        if info is None:
            return None
        return ExitReading(how=ExitHow.PIDFD, status_raw=info.status_raw, at=datetime.now(UTC))

    def _timeout_s(self) -> float:
        if not self._given_up_at:
            return beat_s()
        return min(beat_s(), max(0.0, self._given_up_at[0][0] - time.monotonic()))

    def _give_up(self) -> None:
        """Close what nothing more is to be had of. A number may be another pidfd's by now."""
        while self._given_up_at and self._given_up_at[0][0] <= time.monotonic():
            _, fd, key = self._given_up_at.popleft()
            zombie = self._zombies.get(fd)
            if zombie is not None and zombie.key == key:
                self._release(zombie)

    def _release(self, watched: _Watched) -> None:
        self._living.pop(watched.pidfd, None)
        self._zombies.pop(watched.pidfd, None)
        self._poll.unregister(watched.pidfd)
        os.close(watched.pidfd)

    def _close(self) -> None:
        """The daemon stops: the pidfds go, those still in the mailbox too."""
        self._take_orders()
        for watched in [*self._living.values(), *self._zombies.values()]:
            self._release(watched)
        self._given_up_at.clear()
