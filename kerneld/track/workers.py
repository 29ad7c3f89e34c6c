"""Children of kernels that end: which of their ends is an incident of the kernel.

A pool ends its workers by SIGTERM or SIGKILL, programs leave with any status: none of that is told.
A crash is, by its signal; an OOM kill is, where the Linux log says so.
"""

import signal
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kerneld.model.death import Death
from kerneld.model.evidence import FAULT_SIGNALS, LIMIT_SIGNALS
from kerneld.model.exits import believed_exit
from kerneld.model.facts import ProcessDying, ProcessEnded
from kerneld.model.living import TrackedLife
from kerneld.model.oom import LOG_SLACK, OOM_WINDOW
from kerneld.model.process import Kernel, Process, ProcessKey
from kerneld.model.records import LogRecord
from kerneld.model.session import Session
from kerneld.model.vocabulary import Scope
from kerneld.track.identity import kernel_of
from kerneld.track.roles import ConnectionFile, kernel_above

CRASHES = FAULT_SIGNALS | LIMIT_SIGNALS
NAMED_FOR = timedelta(seconds=10)
"""from a crash to the exit; a core dump may be written between"""
ONE_PID_FOR = timedelta(seconds=1)
"""two words of a worker's death are milliseconds apart; until its pid is another's, 32,768 are given"""
MOST_DYING = 512
KEPT_ENDS = 256
KEPT_KILLS = 64
SHARE_WINDOW = timedelta(seconds=60)
SHARE_OF_KERNEL, SHARE_OF_USER = 16, 64
"""worker incidents a minute: a loop that crashes 500 children a second would be 500 commits"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process below a kernel, perhaps. parents: nearest first, when it was seen."""

    process: Process
    parents: tuple[int, ...]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    worker: Worker
    ended: ProcessEnded


class Workers:
    """Who is dying, who ended by a signal that is not explained yet, and who was killed for memory."""

    def __init__(self) -> None:
        self._dying: dict[ProcessKey, ProcessDying] = {}
        self._unexplained: deque[WorkerEnd] = deque(maxlen=KEPT_ENDS)
        self._gone: deque[tuple[ProcessKey, datetime]] = deque(maxlen=KEPT_ENDS)
        self._kills: deque[LogRecord] = deque(maxlen=KEPT_KILLS)
        self._told: deque[tuple[WorkerEnd, Process]] = deque()

    def __contains__(self, key: object) -> bool:
        return key in self._dying

    def wants(self, dying: ProcessDying, files: Iterable[ConnectionFile]) -> bool:
        """One below a kernel, whose end was not told already: of two sources one may be late."""
        known = any(_is_of(dying, key, at) for key, at in self._gone) or any(
            _is_of(dying, key, one.at) for key, one in self._dying.items() if key != dying.process.key
        )
        if known or len(self._dying) >= MOST_DYING:
            return False
        return kernel_above(files, dying.parents) is not None

    def is_dying(self, fact: ProcessDying) -> None:
        """It is watched from now on; what is told of it by another source is told once."""
        before = self._dying.setdefault(fact.process.key, fact)
        if fact.for_memory and not before.for_memory:
            self._dying[fact.process.key] = fact

    def killed(self, record: LogRecord) -> WorkerEnd | None:
        """A line of an OOM kill: the end that it explains, where that came first."""
        self._kills.append(record)
        found = next((end for end in self._unexplained if _explains(record, end)), None)
        if found is not None:
            self._unexplained.remove(found)
        return found

    def ended(self, ended: ProcessEnded, fork: Worker | None) -> WorkerEnd | None:
        """The end of a dying process, or of a fork of a kernel; None where it is no incident."""
        dying = self._dying.pop(ended.key, None)
        self._gone.append((ended.key, ended.at))
        worker = fork
        if dying is not None:
            worker = Worker(dying.process, dying.parents, dying.at)
        if worker is None:
            return None
        end = WorkerEnd(worker, ended)
        if _is_incident(end, dying) or any(_explains(record, end) for record in self._kills):
            return end
        if believed_exit(ended.readings).signal in (signal.SIGKILL, None):
            self._unexplained.append(end)
        return None

    def death(
        self, end: WorkerEnd | None, files: Iterable[ConnectionFile], *, boot_id: str
    ) -> list[Death]:
        """The incident of the kernel above, while that lives and has its share of them left."""
        above = None if end is None else kernel_above(files, end.worker.parents)
        if end is None or above is None:
            return []
        life, file = above
        kernel = kernel_of(boot_id, life, file)
        told = self._has_share(end, kernel.process)
        return [worker_death(end, kernel, file.session)] if told else []

    def _has_share(self, end: WorkerEnd, kernel: Process) -> bool:
        """Whether it is told first, and one more may be of this kernel and its user; counts it."""
        while self._told and end.ended.at - self._told[0][0].ended.at > SHARE_WINDOW:
            self._told.popleft()
        if any(_is_same(end, other) for other, _ in self._told):
            return False
        of_kernel = sum(above.key == kernel.key for _, above in self._told)
        of_user = sum(above.uid == kernel.uid for _, above in self._told)
        if of_kernel >= SHARE_OF_KERNEL or of_user >= SHARE_OF_USER:
            return False
        self._told.append((end, kernel))
        return True


def _is_of(dying: ProcessDying, key: ProcessKey, at: datetime) -> bool:
    """Whether it is this process. One that was reaped before that was read has no start of its own."""
    mine = dying.process.key
    return key == mine or (key.pid == mine.pid and abs(at - dying.at) < ONE_PID_FOR)


def _is_same(end: WorkerEnd, other: WorkerEnd) -> bool:
    """Two words of one end: a fork has a pidfd of its own, and the proc connector names it, too."""
    one, another = end.ended, other.ended
    return one.key.pid == another.key.pid and abs(one.at - another.at) < ONE_PID_FOR


def _is_incident(end: WorkerEnd, dying: ProcessDying | None) -> bool:
    """The status decides where there is one; a lost one leaves it to what named the process."""
    status = believed_exit(end.ended.readings)
    if status.code is not None or dying is None or end.ended.at - dying.at > NAMED_FOR:
        return status.signal in CRASHES
    if status.signal is None:
        return True
    return status.signal in CRASHES or (dying.for_memory and status.signal == signal.SIGKILL)


def _explains(record: LogRecord, end: WorkerEnd) -> bool:
    """Whether this line says that Linux killed this very process for memory."""
    process, after = end.worker.process, end.ended.at - record.at
    if process.pid not in (record.event.pid, record.tgid):
        return False
    status = believed_exit(end.ended.readings)
    if status.code is not None or status.signal not in (signal.SIGKILL, None):
        return False
    return -LOG_SLACK <= after <= OOM_WINDOW and record.at >= process.started_at - LOG_SLACK


def worker_death(end: WorkerEnd, kernel: Kernel, session: Session) -> Death:
    life = TrackedLife(
        scope=Scope.WORKER,
        process=worker_of(end.worker.process, kernel.process),
        kernel=kernel,
        server=kernel.server,
        watched_since=end.worker.seen_at,
    )
    return Death(scope=Scope.WORKER, ended=end.ended, life=life, answered=True, session=session)


def worker_of(worker: Process, kernel: Process) -> Process:
    """A worker with what it shares with its kernel, and a dying process does not show any more.

    Past its memory a process has no environment; past its end it is in v1's root cgroup.
    """
    changes: dict[str, object] = {"environ": kernel.environ}
    left = worker.cgroup is None or (worker.cgroup.version == 1 and worker.cgroup.path == "/")
    if left:
        changes |= {"cgroup": kernel.cgroup, "limits": kernel.limits}
    return worker.model_copy(update=changes)
