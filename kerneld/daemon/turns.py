"""Turns of a kernel, at work and at rest, to the sampler; what its cells did to its memory, back."""

from dataclasses import replace
from datetime import timedelta

from kerneld.daemon.memory import Memory
from kerneld.model.base import slim
from kerneld.model.cells import FinishedCell
from kerneld.model.death import Death
from kerneld.model.process import ProcessKey
from kerneld.track import Tracker

Cells = tuple[FinishedCell, ...]
AT_ONCE = timedelta(seconds=0.2)


class Turns:
    """The owner's. A cell that ended is measured within 2 s: by then its end has been sampled."""

    def __init__(self, tracker: Tracker, memory: Memory) -> None:
        self._tracker = tracker
        self._memory = memory
        self._ended: set[int] = set()

    def heard(self, handle: int) -> None:
        """The kernel behind this connection file said that it began or ended something."""
        kernel = self._tracker.kernel_of(handle)
        if kernel is None:
            return
        key, session = kernel
        self._memory.mark_busy(key, bool(session.busy))
        self._ended.add(handle)

    def measure(self) -> None:
        """The cells that ended since the last call."""
        for handle in self._ended:
            if kernel := self._tracker.kernel_of(handle):
                key, session = kernel
                self._tracker.measure(handle, measured(self._memory, key, session.finished))
        self._ended.clear()

    def of(self, death: Death) -> Death:
        """The same death, all its cells measured: a worker's are its kernel's."""
        kernel = death.life.kernel
        key = kernel.process.key if kernel else death.life.process.key
        cells = measured(self._memory, key, death.session.finished)
        return replace(death, session=replace(death.session, finished=cells))


def measured(memory: Memory, key: ProcessKey, cells: Cells) -> Cells:
    """The cells with what they did to the process's memory, as far as that was sampled."""
    done: list[FinishedCell] = []
    for cell in cells:
        done.append(cell if cell.change_bytes is not None else _measured(memory, key, cell, done[-1:]))
    return tuple(done)


def _measured(
    memory: Memory, key: ProcessKey, cell: FinishedCell, last: list[FinishedCell]
) -> FinishedCell:
    """Where one cell follows another at once, the one's growth ends where the other's begins."""
    held = memory.held(key, cell.started_at, cell.started_at + cell.took)
    if held is None:
        return cell
    before = held.before_bytes
    for one in last:
        at_once = cell.started_at - (one.started_at + one.took) < AT_ONCE
        if at_once and one.before_bytes is not None and one.change_bytes is not None:
            before = one.before_bytes + one.change_bytes
    change, peak = held.after_bytes - before, held.peak_bytes
    known = {"before_bytes": before, "change_bytes": change, "peak_bytes": max(before, peak)}
    return slim(cell.model_copy(update=known))
