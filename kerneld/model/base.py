"""Frozen pydantic base, and how times are written: aware UTC in memory, ISO 8601 with Z in JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer

SCHEMA = 1


def iso(at: datetime) -> str:
    """An aware datetime as `2026-01-02T03:04:05.000006Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_us(microseconds: int) -> datetime:
    """Integer µs since the epoch, as the store keeps them, to an aware datetime."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def to_us(at: datetime) -> int:
    """An aware datetime to integer µs since the epoch, without passing a float."""
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _as_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time needs a zone")
    return at.astimezone(UTC)


Timestamp = Annotated[datetime, AfterValidator(_as_utc), PlainSerializer(iso, when_used="json")]


class Record(BaseModel):
    """Frozen data that is stored: readers ignore fields that they do not know.

    Validators are made at a record's first use: all of them cost every command 60 ms.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="ignore",
        ser_json_inf_nan="null",
        populate_by_name=True,
        serialize_by_alias=True,
    )


R = TypeVar("R", bound=Record)


def make_ready(record: type[Record] = Record) -> None:
    """Make the validators of every record that is imported now, not at the first death."""
    for each in record.__subclasses__():
        each.model_rebuild()
        make_ready(each)


_UNTOLD: set[str] = set()


def slim(record: R) -> R:
    """The same record, for who keeps many: without pydantic's account of which fields were given.

    That is a set of 0.2 to 2 KiB for each, and nobody asks for it.
    """
    object.__setattr__(record, "__pydantic_fields_set__", _UNTOLD)
    return record


@dataclass(frozen=True, slots=True)
class Withheld:
    """Marks a field that holds user code or data: `kerneld.privacy` decides whether it is stored.

    source: a whole cell. line: one line of code. digest: a hash of code. value: an error's text.
    name: an exception's class, which is kept under every policy where it is a well-known one.
    """

    kind: Literal["source", "line", "digest", "value", "name"]


CellSource = Annotated[str, Withheld("source")]
CodeLine = Annotated[str, Withheld("line")]
CodeDigest = Annotated[str, Withheld("digest")]
ErrorValue = Annotated[str, Withheld("value")]
ErrorName = Annotated[str, Withheld("name")]
