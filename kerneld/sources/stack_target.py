"""One kernel whose growth is charged to its lines: when it is looked at, when a stack is due."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.growth.account import Account
from kerneld.growth.budget import BURST_GAP_S, Pace, is_fast
from kerneld.model.growth import Grown, GrowthAccount, SeenThread, StackPart
from kerneld.model.process import Process
from kerneld.model.wire import StackParsed
from kerneld.proc.memory import ProcessMemory

DUMP_LOOK_S, FAST_LOOK_S, LOOK_S = 0.001, 0.005, 0.05
"""between two looks at its memory, while a dump is at work, it grows fast, else: 30 µs with the wake"""
LOOKS = 8
JUST_NOW_S, AGO_S = 0.004, 0.001
"""py-spy reads the main thread last, 0.5 ms before it ends"""
RATE_S = 0.2
COOL_S = 2.0
"""of no growth: then the memory sampler keeps watch again"""
MIN_STEP_BYTES, MAX_STEP_BYTES, STEPS = 1 << 20, 16 << 20, 400
"""a stack is due for each 400th of its headroom"""
REFUSED_S = 60.0
_GOLDEN = 0.618
NOT_PYTHON = "it is no Python kernel: only Python has stacks that py-spy can read"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a dump was over, and how the kernel was then.

    still: its memory was seen not to move meanwhile; False also where it was not looked at enough.
    """

    at_s: float
    at: datetime
    main_runs: bool
    still: bool


class Target:
    """Owned by the stacks source's thread; `told` is everybody's."""

    def __init__(self, process: Process, handle: int, language: str | None, *, now_s: float) -> None:
        self.process = process
        self.handle = handle
        self._language = language
        self.never = NOT_PYTHON if language not in (None, "python") else ""
        self.blind = self.never
        self.account: Account | None = None
        self.stack: StackPart | None = None
        self.pace = Pace(now_s)
        self.heard = self._is_trial = False
        self.fast = False
        self.hot_since_s = self.grew_s = self.refused_until_s = 0.0
        self.urgency = 0.0
        self._lock = threading.Lock()
        self._memory: ProcessMemory | None = None
        self._looks: tuple[tuple[float, int], ...] = ()
        self._limit_bytes: int | None = None
        self._low_bytes = self._dumps = 0
        self._due_s: float | None = None
        self._rate: tuple[float, int] = (now_s, 0)
        self._step_bytes = MAX_STEP_BYTES

    # ------------------------------------------------------------------ hot and cold

    def begin(self, at_s: float, rss_bytes: int) -> None:
        """The account starts with the first cell: what the kernel's own start took is not counted."""
        if rss_bytes and (self.account is None or self._is_trial):
            self.account, self._is_trial = Account(at_s, rss_bytes), False

    def try_out(self, at_s: float, rss_bytes: int) -> None:
        """No cell was heard: it begins here, and anew as long as no line of the user's is seen."""
        if self.account is None:
            self.account, self._is_trial = Account(at_s, rss_bytes), True

    def warm(self, grown: Grown) -> bool:
        """It grew: look closely from now on. False: it may not, or it is gone."""
        if self.account is None:
            return False
        with self._lock:
            self.account.hold(grown.before_s, grown.before_bytes)
            self.account.hold(grown.at_s, grown.now_bytes)
        self.grew_s = grown.at_s
        headroom = self._headroom(grown)
        self._limit_bytes = None if headroom is None else grown.now_bytes + headroom
        elapsed_s = max(0.01, grown.at_s - grown.before_s)
        self._judge((grown.now_bytes - grown.before_bytes) / elapsed_s, grown.now_bytes)
        if self._memory is None:
            try:
                self._memory = ProcessMemory(self.process.key)
            except OSError:
                return False
            self.hot_since_s = grown.at_s
            self._low_bytes, self._rate = grown.before_bytes, (grown.at_s, grown.now_bytes)
        return True

    def _headroom(self, grown: Grown) -> int | None:
        """To the tightest of the limits over it: its cgroup's, the host's, its own."""
        own = [limit.limit_bytes - grown.now_bytes for limit in self.process.limits]
        told = [grown.headroom_bytes] if grown.headroom_bytes is not None else []
        return max(0, min((*own, *told))) if own or told else None

    def cool(self) -> None:
        if self._memory is not None:
            self._memory.close()
        self._memory = None
        self.fast = False

    @property
    def pause_s(self) -> float:
        return FAST_LOOK_S if self.fast else LOOK_S

    def hold(self, now_s: float) -> bool:
        """One moment of a hot kernel; False: it is gone.

        Its descriptor never follows a reused pid: what was read before this was this process.
        """
        rss_bytes = self._memory.resident.read_bytes() if self._memory else 0
        if not rss_bytes or self.account is None:
            self.grew_s = 0.0
            return False
        with self._lock:
            self.account.hold(now_s, rss_bytes)
        self._looks = (*self._looks, (now_s, rss_bytes))[-LOOKS:]
        self._low_bytes = min(self._low_bytes, rss_bytes)
        since_s, before_bytes = self._rate
        if now_s - since_s >= RATE_S:
            self._judge((rss_bytes - before_bytes) / (now_s - since_s), rss_bytes)
            self._rate = (now_s, rss_bytes)
        if rss_bytes - self._low_bytes < self._step_bytes:
            self._due_s = None
        elif self._due_s is None:
            self._due_s = now_s + self._delay_s()
        if self._due_s is not None:
            self.grew_s = now_s
        return True

    def is_due(self, now_s: float) -> bool:
        """It has grown so much that a stack is wanted."""
        if self._due_s is None or self.never or now_s < self.refused_until_s:
            return False
        return now_s >= self._due_s

    def _delay_s(self) -> float:
        """Every other stack waits, evenly spread: at once after it is seen, a short growth is over."""
        return self._dumps % 2 * (self._dumps * _GOLDEN % 1.0) * BURST_GAP_S

    def _judge(self, bytes_per_s: float, rss_bytes: int) -> None:
        room = None if self._limit_bytes is None else max(0, self._limit_bytes - rss_bytes)
        self.fast = is_fast(bytes_per_s, room) and not self._is_trial
        self.urgency = bytes_per_s / max(1, room if room is not None else 1 << 40)
        step = MAX_STEP_BYTES if room is None else room // STEPS
        self._step_bytes = min(MAX_STEP_BYTES, max(MIN_STEP_BYTES, step))

    def moment(self, now_s: float) -> Moment:
        lately = [(now_s - at_s, held) for at_s, held in self._looks if now_s - at_s <= JUST_NOW_S]
        long_enough = any(ago_s >= AGO_S for ago_s, _ in lately)
        main_runs = self._memory is not None and self._memory.main_runs()
        still = long_enough and len({held for _, held in lately}) == 1
        return Moment(now_s, datetime.now(UTC), main_runs, still)

    def is_cold(self, now_s: float) -> bool:
        return self._memory is None or now_s - self.grew_s > COOL_S

    def dumped(self, now_s: float) -> None:
        self.pace.dumped(now_s)
        self._dumps += 1
        self._due_s = None
        if self.account is not None:
            self._low_bytes = self.account.rss_bytes

    # ------------------------------------------------------------------ what a stack tells

    def take(self, parsed: StackParsed, moment: Moment) -> None:
        """The answer to a dump that was over at that moment."""
        if parsed.no_python:
            known = self._language == "python"
            self.never = self.blind = "py-spy does not know its Python" if known else NOT_PYTHON
        elif parsed.problem:
            self.blind, self.refused_until_s = parsed.problem, moment.at_s + REFUSED_S
        elif self.account is not None:
            self.blind = ""
            if self._is_trial and not parsed.threads:
                self.account = Account(moment.at_s, self.account.rss_bytes)
                return
            self._is_trial = False
            with self._lock:
                threads = _confirmed(parsed.threads, moment)
                self.account.see(moment.at_s, threads, still=moment.still)
            if parsed.frames:
                self.stack = StackPart(at=moment.at, frames=parsed.frames)

    def told(self) -> GrowthAccount:
        account = self.account
        if account is None:
            return GrowthAccount(blind=self.blind)
        with self._lock:
            lines, dumps = account.lines(), account.dumps
        return GrowthAccount(lines=lines, dumps=dumps, stack=self.stack, blind=self.blind)


def _confirmed(threads: Sequence[SeenThread], moment: Moment) -> list[SeenThread]:
    """py-spy reads what runs before it reads the frames: who fell asleep between grew nothing there."""
    return [
        one.model_copy(update={"active": one.active and (moment.main_runs or not one.main)})
        for one in threads
    ]
