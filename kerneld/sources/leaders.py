"""Exit events of main threads into ExitLearned, held until the process itself has ended.

A main thread's exit is not its process's: another thread that calls exec takes its pid over (Linux
then sends an exit event with status 0 for a process that lives on), and after pthread_exit the
others run on. So an event counts only once /proc says that the process has gone.
"""

import errno
import heapq
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from kerneld.model.facts import ExitLearned
from kerneld.model.process import ProcessKey
from kerneld.proc.netlink import Instruction, attach_filter
from kerneld.proc.pidfd import Life, is_still, life_of

LATEST_ORDERS = 4096
"""processes to listen for, kept while the source is down: without netlink each life left 0.8 KiB"""

_FIRST_LOOK_S = 0.005
"""the event is sent before the process is a zombie; and what exits tell should come first"""
_AFTER_EACH_S = 0.001
"""where a thousand end at once, what their pidfds tell goes first"""
_LAST_LOOK_S = 2.0
_LINGERED_S = 0.1
"""threads killed with their process follow its main thread within a few ms"""


@dataclass(frozen=True, slots=True)
class _Claim:
    key: ProcessKey
    learned: ExitLearned
    since_s: float
    look_s: float
    wait_s: float = _FIRST_LOOK_S
    lingered: bool = False


class Leaders:
    """The processes whose main thread is listened for. `now_s` is monotonic and passed in."""

    def __init__(self, proc_root: str) -> None:
        self._proc_root = proc_root
        self._keys: dict[int, ProcessKey] = {}
        self._claims: dict[int, _Claim] = {}
        self._looks: list[tuple[float, int]] = []

    @property
    def pids(self) -> Collection[int]:
        return self._keys.keys()

    def add(self, key: ProcessKey) -> None:
        self._keys[key.pid] = key
        self._claims.pop(key.pid, None)

    def drop_unless_still(self, pids: Collection[int]) -> None:
        """Forget those that are gone. Called with the filter in place: the first exit event that
        comes from now on under a pid that is kept is of that very process."""
        for pid in pids:
            key = self._keys.get(pid)
            if key is not None and pid not in self._claims and not is_still(self._proc_root, key):
                del self._keys[pid]

    def key_of(self, pid: int) -> ProcessKey | None:
        return self._keys.get(pid)

    def claim(self, learned: ExitLearned, now_s: float) -> None:
        """An event says that this process ended. A later one replaces an earlier one, not its look.

        A process whose threads exec without end would hold the others' looks up for ever.
        """
        pid = learned.key.pid
        look_s = now_s + _FIRST_LOOK_S + _AFTER_EACH_S * len(self._claims)
        earlier = self._claims.get(pid)
        if earlier is not None and earlier.look_s <= look_s:
            look_s = earlier.look_s
        else:
            heapq.heappush(self._looks, (look_s, pid))
        self._claims[pid] = _Claim(learned.key, learned, now_s, look_s)

    def next_look_s(self) -> float | None:
        return self._looks[0][0] if self._looks else None

    def proven(self, now_s: float) -> list[ExitLearned]:
        """The claims whose process has ended."""
        found: list[ExitLearned] = []
        while self._looks and self._looks[0][0] <= now_s:
            look_s, pid = heapq.heappop(self._looks)
            claim = self._claims.get(pid)
            if claim is not None and claim.look_s == look_s:
                found += self._look(claim, now_s)
        return found

    def _look(self, claim: _Claim, now_s: float) -> list[ExitLearned]:
        pid, age_s = claim.key.pid, now_s - claim.since_s
        life = life_of(self._proc_root, claim.key)
        if life is Life.ENDED:
            del self._claims[pid]
            self._keys.pop(pid, None)
            return [_doubted(claim.learned) if claim.lingered else claim.learned]
        if age_s >= _LAST_LOOK_S:
            del self._claims[pid]
            if life is Life.LINGERING:
                self._keys.pop(pid, None)  # its only event has come and tells nothing of its end
            return []
        lingered = claim.lingered or (life is Life.LINGERING and age_s >= _LINGERED_S)
        wait_s = claim.wait_s * 2
        self._claims[pid] = replace(claim, look_s=now_s + wait_s, wait_s=wait_s, lingered=lingered)
        heapq.heappush(self._looks, (now_s + wait_s, pid))
        return []


def _doubted(learned: ExitLearned) -> ExitLearned:
    if learned.reading is None:
        return learned
    return replace(learned, reading=learned.reading.model_copy(update={"proven": False}))


def narrow(
    sock: socket.socket, make: Callable[[Collection[int]], list[Instruction]], pids: Collection[int]
) -> None:
    """Attach the filter for these pids; where it is too long for Linux, one that lets all come.

    net.core.optmem_max was 20 KiB before Linux 6.7, which is a filter of about 600 pids.
    """
    try:
        attach_filter(sock, make(pids))
    except OSError as problem:
        if problem.errno not in (errno.ENOMEM, errno.ENOBUFS):
            raise
        attach_filter(sock, make(range(1, 1 << 22)))
