"""The model to JSON text: one document, an array, or a line each; safe on a terminal."""

import json
from collections.abc import Iterable, Iterator

from kerneld.model.base import Record
from kerneld.outputs.safe import safe_json


def document(record: Record) -> str:
    """One record, indented."""
    return safe_json(record.model_dump_json(indent=2)) + "\n"


def line(record: Record) -> str:
    """One record on a line."""
    return safe_json(record.model_dump_json()) + "\n"


def array(records: Iterable[Record]) -> Iterator[str]:
    """The pieces of an array with one record a line; `[]` where there are none."""
    started = False
    for record in records:
        yield ("," if started else "[") + "\n" + safe_json(record.model_dump_json())
        started = True
    yield "\n]\n" if started else "[]\n"


def plain(value: object) -> str:
    """Lists and dicts of plain values, indented."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=2)) + "\n"
