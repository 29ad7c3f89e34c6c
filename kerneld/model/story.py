"""A case's facts in order of time: what happened around the death, for people."""

from collections.abc import Iterable

from kerneld.model.case import Case
from kerneld.model.exceptions import public_name
from kerneld.model.facts import (
    CellFailed,
    CellStarted,
    KernelStatus,
    SessionFact,
    ShutdownAnnounced,
)
from kerneld.model.incident import TimelineEntry
from kerneld.model.wording import cell_name, exit_quote, sender_quote, server_quote, subject

MAX_ENTRIES = 40


def timeline(case: Case) -> tuple[TimelineEntry, ...]:
    """At most 40 entries, oldest first; of a long session the latest part is kept."""
    fixed = [*_around(case)][:MAX_ENTRIES]
    session = [entry for fact in case.session for entry in _told(case, fact)]
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


def _told(case: Case, fact: SessionFact) -> Iterable[TimelineEntry]:
    """A cell's error by its class alone, if that is well known: all else may hold a user's words."""
    text = None
    match fact:
        case CellStarted():
            text = f"{cell_name(fact.execution_count)} started"
        case CellFailed():
            text = f"the cell failed: {public_name(fact.name) or 'an exception'}"
        case ShutdownAnnounced():
            text = "the kernel said that it restarts" if fact.restart else "the kernel said goodbye"
        case KernelStatus(state="starting"):
            text = "the kernel came up"
        case KernelStatus(state="idle", parent=str() as parent) if (
            case.last_cell and parent == case.last_cell.parent
        ):
            text = f"{cell_name(case.last_cell.execution_count)} had finished"
    if text is not None:
        yield TimelineEntry(at=fact.at, source="iopub", text=text)
