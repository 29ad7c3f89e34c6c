"""An incident into its row and a case into its compressed evidence, trimmed to size; and back."""

import zlib
from collections.abc import Callable
from typing import TypeVar

from kerneld.model.base import Record, to_us
from kerneld.model.case import Case
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Category, State

R = TypeVar("R", bound=Record)

EVIDENCE_BYTES = 262_144
COMPRESSION = 1
"""a case of 10 kB: level 1 takes 0.26 ms; level 6 takes 1.0 ms and saves 5 %"""

COLUMNS = (
    "id", "uuid", "scope", "category", "cause", "confidence", "state", "revision", "died_at",
    "settled_at", "kernel_id", "pid", "uid", "user_name", "notebook", "caused_by", "is_incident",
    "settled_seq", "document_bytes", "document", "hub_name", "container_id", "place",
)  # fmt: skip
UPSERT = (
    f"INSERT INTO ends ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    f"ON CONFLICT(uuid) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in COLUMNS[2:])}"
)

COUNT = "INSERT INTO tallies VALUES (?, ?, 1) ON CONFLICT(uid, cause) DO UPDATE SET count = count + 1"


def row_of(incident: Incident, settled_seq: int | None) -> tuple[object, ...]:
    """The scalar columns beside the document: the one place that writes them."""
    document = incident.model_dump_json()
    return (
        incident.id,
        incident.uuid,
        incident.scope.value,
        incident.category.value,
        incident.cause.value,
        incident.confidence.value,
        incident.state.value,
        incident.revision,
        to_us(incident.died_at),
        None if incident.settled_at is None else to_us(incident.settled_at),
        incident.kernel.id if incident.kernel else None,
        incident.process.pid,
        incident.user.uid,
        incident.user.name,
        incident.notebook.path if incident.notebook else None,
        incident.caused_by,
        int(incident.is_incident),
        settled_seq,
        len(document),
        document,
        incident.user.hub_name,
        incident.container.id if incident.container else None,
        _place(incident),
    )


def _place(incident: Incident) -> str | None:
    """The line to blame, by what stays the same over runs: the cell's digest, or the file's path."""
    cell = incident.cell
    if cell is not None and cell.line is not None and cell.sha256 is not None:
        return f"{cell.sha256}:{cell.line}"
    grown = incident.growth_lines[0] if incident.growth_lines else None
    return f"{grown.file}:{grown.line}" if grown and grown.file and grown.line is not None else None


def keeps_evidence(incident: Incident) -> bool:
    """A requested end keeps none once it is settled: nobody will judge it again."""
    return incident.state is State.PROVISIONAL or incident.category is not Category.REQUESTED


# ---------------------------------------------------------------- evidence


def pack(case: Case, limit_bytes: int) -> tuple[bytes | None, str | None]:
    """The case compressed, and what had to be left out for its size, in words (None: nothing).

    The least telling goes first: old samples, old words of the session, neighbours' log lines,
    tables, at last the source of cells. (None, words): nothing could be kept.
    """
    packed = _compress(case)
    dropped: list[str] = []
    for words, trim in _TRIMS:
        while len(packed) > limit_bytes:
            smaller = trim(case)
            if smaller is None:
                break
            case, packed = smaller, _compress(smaller)
            if words not in dropped:
                dropped.append(words)
    if len(packed) > limit_bytes:
        return None, f"the evidence was larger than {limit_bytes} bytes, and none of it was kept"
    if not dropped:
        return packed, None
    return packed, f"larger than {limit_bytes} bytes: {', '.join(dropped)} left out"


def unpack(packed: bytes) -> Case:
    return Case.model_validate_json(zlib.decompress(packed))


def _compress(case: Case) -> bytes:
    return zlib.compress(case.model_dump_json().encode(), COMPRESSION)


def _older_samples(case: Case) -> Case | None:
    samples = case.memory.samples
    if len(samples) < 20:
        return None
    memory = case.memory.model_copy(update={"samples": samples[len(samples) // 2 :]})
    return case.model_copy(update={"memory": memory})


def _older_session(case: Case) -> Case | None:
    if len(case.session) < 2:
        return None
    return case.model_copy(update={"session": case.session[(len(case.session) + 1) // 2 :]})


def _neighbours(case: Case) -> Case | None:
    return case.model_copy(update={"neighbours": ()}) if case.neighbours else None


def _tables(case: Case) -> Case | None:
    if not any(record.event.top for record in case.log):
        return None
    log = tuple(
        record.model_copy(update={"event": record.event.model_copy(update={"top": ()})})
        for record in case.log
    )
    return case.model_copy(update={"log": log})


def _sources(case: Case) -> Case | None:
    if case.last_cell is None or case.last_cell.source is None:
        return None
    cell = case.last_cell.model_copy(update={"source": None})
    return case.model_copy(update={"session": (), "last_cell": cell, "recalled_cell": None})


_TRIMS: tuple[tuple[str, Callable[[Case], Case | None]], ...] = (
    ("older memory samples", _older_samples),
    ("older words of the kernel", _older_session),
    ("log lines about others", _neighbours),
    ("tables of processes", _tables),
    ("the source of cells", _sources),
)


# ---------------------------------------------------------------- text that no JSON can hold


def clean(record: R) -> R:
    """The record with the odd bytes replaced of every text that is no UTF-8, such as a user's path."""
    return record.model_copy(
        update={name: _clean(getattr(record, name)) for name in type(record).model_fields}
    )


def _clean(value: object) -> object:
    if isinstance(value, Record):
        return clean(value)
    if type(value) is str:
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, tuple):
        return tuple(_clean(item) for item in value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value
