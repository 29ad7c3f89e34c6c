"""A record into what this reader may see of it: others' processes are no names, others' code is none.

The one filter of whatever hands records to people: the command line, the socket, the page.
"""

from dataclasses import dataclass
from typing import TypeVar

from kerneld.model.base import Record
from kerneld.model.case import Case
from kerneld.model.incident import Bystander, Incident, TimelineEntry
from kerneld.model.readings import ProcessSize, Surroundings
from kerneld.model.records import LogRecord, TaskRow
from kerneld.model.vocabulary import CodePolicy
from kerneld.privacy import withhold

R = TypeVar("R", bound=Record)
OTHERS = "another user's process"
NOBODY = -1
"""no user has it"""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads. is_admin: sees every process by name. sees_code: others' code, too."""

    uid: int
    is_admin: bool = False
    sees_code: bool = False


def seen_by(reader: Reader, record: R, *, owner_uid: int) -> R:
    """The record as this reader may see it; owner_uid: of the user whom it is about.

    Whether the reader may have it at all is asked before: rows are for their owner and the admin.
    The sender of a deadly signal stays: Linux tells it to the process itself (siginfo), and none but
    root's and one's own can send one.
    """
    if not reader.is_admin:
        record = _without_others(reader.uid, record)
    if reader.sees_code or owner_uid == reader.uid:
        return record
    hidden = withhold(record, CodePolicy.HASH)
    cell, stored = getattr(hidden, "cell", None), getattr(record, "cell", None)
    if cell is None or stored is None:
        return hidden
    # the policy told is the one it was stored under: what is hidden here is still kept
    kept = cell.model_copy(update={"code_policy": stored.code_policy})
    return hidden.model_copy(update={"cell": kept})


def _without_others(uid: int, record: R) -> R:
    if isinstance(record, Incident):
        bystanders = tuple(_bystander(uid, one) for one in record.bystanders)
        timeline = tuple(_entry(uid, one) for one in record.timeline)
        return record.model_copy(update={"bystanders": bystanders, "timeline": timeline})
    if isinstance(record, Case):
        log = tuple(_report(uid, one) for one in record.log)
        own = tuple(_report(uid, one) for one in record.neighbours if one.event.uid == uid)
        looks = tuple(_look(uid, one) for one in record.surroundings)
        return record.model_copy(update={"log": log, "neighbours": own, "surroundings": looks})
    return record


def _bystander(uid: int, one: Bystander) -> Bystander:
    return one if one.uid == uid else Bystander(role=one.role, rss_bytes=one.rss_bytes)


def _entry(uid: int, entry: TimelineEntry) -> TimelineEntry:
    """The time stays: that something else died then may matter."""
    if entry.about_pid is None or entry.about_uid == uid:
        return entry
    return TimelineEntry(at=entry.at, source=entry.source, text=f"about {OTHERS}")


def _report(uid: int, record: LogRecord) -> LogRecord:
    """An OOM report's rows of others keep their sizes; another who asked for memory is not told."""
    rows = tuple(
        row if row.uid == uid else TaskRow(pid=0, comm="", rss_kb=row.rss_kb)
        for row in record.event.top
    )
    asker = record.event.invoker
    if asker is not None and asker.uid == uid:
        changes: dict[str, object] = {"top": rows}
    else:
        changes = {"top": rows, "invoker_comm": None, "invoker_pid": None, "invoker": None}
    return record.model_copy(update={"event": record.event.model_copy(update=changes)})


def _look(uid: int, look: Surroundings) -> Surroundings:
    sizes = tuple(
        one if one.uid == uid else ProcessSize(pid=0, comm="", uid=NOBODY, rss_bytes=one.rss_bytes)
        for one in look.largest
    )
    return look.model_copy(update={"largest": sizes})
