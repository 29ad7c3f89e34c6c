"""What a kernel said on iopub, as far as a death needs it: its last words, its last cell, its state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kerneld.model.base import Timestamp, slim
from kerneld.model.cells import KEPT_CELLS, FinishedCell
from kerneld.model.said import (
    CellFailed,
    CellStarted,
    KernelStatus,
    ListenState,
    SessionFact,
    ShutdownAnnounced,
)

KEPT_FACTS = 16
"""a fact takes 1 KiB; the last words of a kernel are three or four"""
KEPT_RUNNING = 8
"""subshells run side by side; each cell's source may be 64 KiB"""
EXECUTE = "execute_request"
MAX_CODE_CHARS = 100


@dataclass(frozen=True, slots=True)
class Session:
    """The recent facts of one life, oldest first.

    serving: the requests whose busy was heard and whose idle was not: a kernel with subshells
    serves several at once. running: the cells of those requests, in order of their starts.
    last_cell: the latest that started; recalled: the last before the listening began, by IPython's
    history. heard: iopub said anything in this life.
    """

    facts: tuple[SessionFact, ...] = ()
    serving: frozenset[str] = frozenset()
    running: tuple[CellStarted, ...] = ()
    finished: tuple[FinishedCell, ...] = ()
    last_cell: CellStarted | None = None
    recalled: CellStarted | None = None
    listening: bool = False
    heard: bool = False
    deaf: bool = False

    def heard_of(self, fact: SessionFact) -> "Session":
        """This session with one more fact."""
        facts = (*self.facts, fact)[-KEPT_FACTS:]
        match fact:
            case ListenState():
                deaf = self.deaf or not fact.listening
                return replace(self, facts=facts, listening=fact.listening, deaf=deaf)
            case KernelStatus(state="starting"):
                return Session(facts=(fact,), listening=True, heard=True)
            case KernelStatus():
                deaf = self.deaf and fact.parent_type != EXECUTE
                before = replace(self, serving=frozenset(), running=()) if self.deaf else self
                return replace(before._served(fact), facts=facts, heard=True, deaf=deaf)
            case CellStarted(recalled=True):
                return self if self.last_cell else replace(self, recalled=fact)
            case CellStarted():
                running = (*self.running, fact)[-KEPT_RUNNING:]
                facts = (*map(_without_source, facts[:-1]), fact)
                return replace(self, facts=facts, running=running, last_cell=fact, heard=True)
            case CellFailed() | ShutdownAnnounced():
                return replace(self, facts=facts, heard=True)

    def _served(self, status: KernelStatus) -> "Session":
        """A request begins, or ends with its cell."""
        parent = status.parent
        if parent is None or status.parent_type != EXECUTE:
            return self
        if status.state == "busy":
            return replace(self, serving=self.serving | {parent})
        mine = [cell for cell in self.running if cell.parent == parent]
        ended = [finished(cell, status.at, self._failure(parent)) for cell in mine]
        return replace(
            self,
            serving=self.serving - {parent},
            running=tuple(cell for cell in self.running if cell.parent != parent),
            finished=(*self.finished, *ended)[-KEPT_CELLS:],
        )

    def _failure(self, parent: str) -> CellFailed | None:
        failures = (f for f in reversed(self.facts) if isinstance(f, CellFailed))
        return next((failure for failure in failures if failure.parent == parent), None)

    @property
    def cell(self) -> CellStarted | None:
        """The one that runs; of several the latest; else the last that ran."""
        return self.running[-1] if self.running else self.last_cell

    @property
    def busy(self) -> bool | None:
        """None while iopub was not heard, or not heard again since it was missed: nothing is known."""
        if not self.heard or self.deaf:
            return None
        return bool(self.serving)


def _without_source(fact: SessionFact) -> SessionFact:
    """Of an earlier cell its digest and what its code does are enough: 16 sources may be 1 MiB."""
    if not isinstance(fact, CellStarted) or fact.source is None:
        return fact
    return slim(fact.model_copy(update={"source": None}))


def finished(cell: CellStarted, ended_at: Timestamp, failure: CellFailed | None) -> FinishedCell:
    """The cell without its text; its memory is filled in later."""
    told = FinishedCell(
        execution_count=cell.execution_count,
        code=_first_words(cell.source or ""),
        sha256=cell.sha256,
        started_at=cell.at,
        duration_s=round(max(0.0, (ended_at - cell.at).total_seconds()), 6),
        failed=failure is not None,
        error=failure.name if failure else None,
        shortage=failure.shortage if failure else None,
    )
    return slim(told)


def _first_words(source: str) -> str | None:
    """The first line that is no comment, no magic of IPython and no import."""
    lines: Sequence[str] = [line for line in source[:4096].splitlines() if line.strip()]
    dull = ("#", "%", "import ", "from ")
    said = [line for line in lines if not line.startswith(dull)] or lines
    return said[0].strip()[:MAX_CODE_CHARS] if said else None
