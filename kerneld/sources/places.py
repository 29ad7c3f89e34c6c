"""Faults into their places: what the living execute from is kept, and looked up after a crash."""

import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kerneld.model.effects import (
    Effect,
    ForgetMemory,
    PlaceFault,
    ReadLibrary,
    SampleMemory,
    WatchStacks,
)
from kerneld.model.facts import FaultPlaced, SourceState
from kerneld.model.process import ProcessKey
from kerneld.model.wire import LibraryOrder, LibraryParsed
from kerneld.proc.capabilities import limit_children
from kerneld.sources.executed import Executed
from kerneld.sources.placing import Question, Steps, Traces, placed
from kerneld.sources.source import Mailbox, Outlet, beat_s

ANSWER_S = 1.5
"""for a step's questions, 16 at most; one takes 0.1 ms, a library with a million symbols 0.2 s"""


@dataclass(slots=True)
class _Work:
    """A fault that is being placed, and what the reader was asked last, by number."""

    uuid: str
    steps: Steps
    asked: list[int] = field(default_factory=list)
    answers: dict[int, LibraryParsed] = field(default_factory=dict)
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Busy:
    key: ProcessKey
    busy: bool


class PlacesSource:
    """Which function of which package crashed. parsed: for the reader's thread; mark_busy: the owner's.

    ask: hands a question and a descriptor to the reader process. mapped_pages: the sampler's. One
    fault is placed at a time.
    """

    name = "fault-place"

    def __init__(
        self,
        *,
        ask: Callable[[ReadLibrary], None],
        mapped_pages: Callable[[ProcessKey], int | None],
        proc_root: str = "/proc",
    ) -> None:
        self._ask = ask
        self._mailbox = Mailbox()
        self._poll = select.poll()
        self._poll.register(self._mailbox.fd, select.POLLIN)
        self._inbox: deque[LibraryParsed | _Busy] = deque(maxlen=4096)
        self._executed = Executed(proc_root, mapped_pages=mapped_pages)
        self._waiting: deque[PlaceFault] = deque()
        self._work: _Work | None = None
        self._number = 0

    @property
    def kept_bytes(self) -> int:
        """Of maps, compressed."""
        return self._executed.size_bytes

    # ------------------------------------------------------------------ from other threads

    def control(self, effect: Effect) -> None:
        if isinstance(effect, SampleMemory | WatchStacks | ForgetMemory | PlaceFault):
            self._mailbox.put(effect)

    def wake(self) -> None:
        self._mailbox.wake()

    def parsed(self, parsed: LibraryParsed) -> None:
        self._inbox.append(parsed)
        self._mailbox.wake()

    def mark_busy(self, key: ProcessKey, busy: bool) -> None:
        self._inbox.append(_Busy(key, busy))
        self._mailbox.wake()

    # ------------------------------------------------------------------ the thread

    def run(self, outlet: Outlet) -> None:
        self._work = None  # what failed is not tried again
        limit_children(())
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        while not outlet.stopping.is_set():
            outlet.tick()
            for effect in self._mailbox.drain():
                self._obey(effect)
            while self._inbox:
                self._hear(self._inbox.popleft())
            self._executed.look(time.monotonic())
            self._go_on(outlet)
            self._wait()

    def _obey(self, effect: Effect) -> None:
        match effect:
            case SampleMemory(process=process):
                self._executed.add(process, time.monotonic())
            case WatchStacks(process=process, handle=handle):
                self._executed.hear(process.key, handle)
            case ForgetMemory(key=key):
                self._executed.forget(key)
            case PlaceFault():
                self._waiting.append(effect)

    def _hear(self, word: LibraryParsed | _Busy) -> None:
        if isinstance(word, _Busy):
            self._executed.mark_busy(word.key, word.busy, time.monotonic())
        elif self._work is not None and word.number in self._work.asked:
            self._work.answers[word.number] = word

    def _wait(self) -> None:
        """Until a word, the next look, or the end of patience with the reader."""
        now_s = time.monotonic()
        dues = [self._executed.next_look_s(), self._work.until_s if self._work else None]
        pauses = [due_s - now_s for due_s in dues if due_s is not None]
        self._poll.poll(1000 * max(0.0, min([*pauses, beat_s()])))

    # ------------------------------------------------------------------ placing

    def _go_on(self, outlet: Outlet) -> None:
        """As far as it goes without an answer that is not there yet."""
        while self._waiting or self._work is not None:
            if self._work is None:
                self._work = self._begin(self._waiting.popleft())
            work, late = self._work, time.monotonic() >= self._work.until_s
            if len(work.answers) < len(work.asked) and not late:
                return
            self._step(work, outlet)
            outlet.tick()

    def _begin(self, order: PlaceFault) -> _Work:
        mapped = None
        if order.ip is not None and order.object is not None:
            mapped = self._executed.find(order.key, int(order.ip, 16), order.object)
        return _Work(order.uuid, placed(order, mapped, Traces(*self._executed.written(order.key))))

    def _step(self, work: _Work, outlet: Outlet) -> None:
        answers = tuple(work.answers.get(number) for number in work.asked)
        try:
            questions = work.steps.send(answers) if work.until_s else next(work.steps)
        except StopIteration as end:
            self._work = None
            outlet.emit(FaultPlaced(work.uuid, end.value))
            return
        work.asked = [self._put(question) for question in questions]
        work.answers.clear()
        work.until_s = time.monotonic() + ANSWER_S

    def _put(self, question: Question) -> int:
        self._number += 1
        order = LibraryOrder(
            number=self._number,
            asks=question.asks,
            handle=question.handle,
            offset=question.offset,
            path=question.path,
        )
        self._ask(ReadLibrary(order, question.fd))
        return self._number
