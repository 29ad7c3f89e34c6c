"""An incident, or a life that is watched, into its row."""

from typing import TYPE_CHECKING, TypeVar

from kerneld.model.base import Record, to_us
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Category, State

if TYPE_CHECKING:  # what only lists incidents needs no life
    from kerneld.model.living import TrackedLife
    from kerneld.model.process import ProcessKey

R = TypeVar("R", bound=Record)

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


def row_of_life(life: "TrackedLife") -> tuple[object, ...]:
    return (*key_of(life.process.key), life.scope.value, life.model_dump_json())


def key_of(key: "ProcessKey") -> tuple[str, int, int, int]:
    """As SQLite can hold it unique: it takes every null for another one."""
    return (key.boot_id, key.pid, key.start_ticks, key.pidfd_inode or 0)
