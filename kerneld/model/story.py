"""A case's facts in order of time: what happened around the death, for people."""

from collections.abc import Iterable

from kerneld.model.case import Case
from kerneld.model.cells import MOVED_BYTES, FinishedCell
from kerneld.model.exceptions import public_name
from kerneld.model.incident import TimelineEntry
from kerneld.model.said import CellFailed, CellStarted, KernelStatus, SessionFact, ShutdownAnnounced
from kerneld.model.sizes import gib
from kerneld.model.vocabulary import Shortage
from kerneld.model.wording import (
    act_quote,
    cell_name,
    duration,
    exit_quote,
    sender_quote,
    server_quote,
    subject,
)

MAX_ENTRIES = 40


def timeline(case: Case) -> tuple[TimelineEntry, ...]:
    """At most 40 entries, oldest first; of a long session the latest part is kept."""
    fixed = [*_around(case)][:MAX_ENTRIES]
    told = [entry for fact in case.session if not _is_in_end(case, fact) for entry in _told(fact)]
    session = sorted((*told, *map(_ended, case.cells)), key=lambda entry: entry.at)
    room = MAX_ENTRIES - len(fixed)
    kept = session[-room:] if room else []
    return tuple(sorted((*fixed, *kept), key=lambda entry: entry.at))


def _around(case: Case) -> Iterable[TimelineEntry]:
    who, started = subject(case), case.process.started_at
    yield TimelineEntry(at=started, source="process", text=f"{who} started, pid {case.process.pid}")
    yield TimelineEntry(at=case.died_at, source="exit", text=exit_quote(case).text)
    if case.file_removed:
        text = "the connection file was removed"
        yield TimelineEntry(at=case.file_removed.at, source="file", text=text)
    if case.succession:
        text = f"a new process, pid {case.succession.pid}, serves the same kernel"
        yield TimelineEntry(at=case.succession.at, source="server", text=text)
    if case.server_end:
        text = server_quote(case.server_end).text
        yield TimelineEntry(at=case.server_end.at, source="server", text=text)
    for sent in case.signals:
        yield TimelineEntry(at=sent.at, source="signal-trace", text=sender_quote(sent).text)
    for act in case.acts:
        yield TimelineEntry(at=act.at, source=act_quote(act).source, text=act_quote(act).text)
    for record in case.log:
        yield TimelineEntry(at=record.at, source="linux-log", text=record.event.line)
    for record in case.neighbours:
        yield TimelineEntry(
            at=record.at,
            source="linux-log",
            text=record.event.line,
            about_pid=record.event.pid or 0,
            about_uid=record.event.uid,
        )


def _is_in_end(case: Case, fact: SessionFact) -> bool:
    """An error that the end of its cell tells of."""
    if not isinstance(fact, CellFailed):
        return False
    failed = (cell for cell in case.cells if cell.failed)
    return any(cell.started_at <= fact.at <= cell.started_at + cell.took for cell in failed)


def _ended(cell: FinishedCell) -> TimelineEntry:
    """`Cell [5] ended after 3.2 s: +1.2 GiB, at most 4.0 GiB`: its memory where that moved."""
    how = _failure(cell.error, cell.shortage) if cell.failed else "ended"
    text = f"{cell_name(cell.execution_count)} {how} after {duration(cell.took)}"
    change, peak = cell.change_bytes, cell.peak_bytes
    if change is not None and peak is not None and cell.moved_memory:
        sign = "-" if change < 0 else "+"
        moved = f"{sign}{gib(abs(change))}, " if abs(change) >= MOVED_BYTES else ""
        text += f": {moved}at most {gib(peak)}"
    return TimelineEntry(at=cell.started_at + cell.took, source="iopub", text=text)


_SHORT_OF = {Shortage.MEMORY: " for want of memory", Shortage.GPU_MEMORY: " for want of GPU memory"}


def _failure(name: str | None, shortage: Shortage | None) -> str:
    want = _SHORT_OF[shortage] if shortage else ""
    return f"failed{want} ({public_name(name) or 'an exception'})"


def _told(fact: SessionFact) -> Iterable[TimelineEntry]:
    """A cell's error by its class alone, if that is well known: all else may hold a user's words."""
    text = None
    match fact:
        case CellStarted():
            text = f"{cell_name(fact.execution_count)} started"
        case CellFailed():
            text = f"a cell {_failure(fact.name, fact.shortage)}"
        case ShutdownAnnounced():
            text = "the kernel said that it restarts" if fact.restart else "the kernel said goodbye"
        case KernelStatus(state="starting"):
            text = "the kernel came up"
    if text is not None:
        yield TimelineEntry(at=fact.at, source="iopub", text=text)
