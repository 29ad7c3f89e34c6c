"""Cases to compressed evidence of a bounded size, and back."""

import zlib
from collections.abc import Callable

from kerneld.model.case import Case

_NONE, _FAST = 0, 1
"""a case of 10 kB: level 1 takes 0.26 ms; level 6 takes 1.0 ms and saves 5 %"""


def pack(
    case: Case, limit_bytes: int, *, soon_replaced: bool = False
) -> tuple[bytes | None, str | None]:
    """The case compressed, and what had to be left out for its size, in words (None: nothing).

    The least telling goes first: old samples, old words of the session, neighbours' log lines,
    tables, at last the source of cells. (None, words): nothing could be kept. soon_replaced: only what
    is too large as it is gets compressed: of a thousand deaths at once each waits for those before it.
    """
    packed = _compress(case, _NONE) if soon_replaced else _compress(case)
    if len(packed) > limit_bytes:
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


def _compress(case: Case, level: int = _FAST) -> bytes:
    return zlib.compress(case.model_dump_json().encode(), level)


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
