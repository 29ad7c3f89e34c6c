"""The daemon's log: no flood of facts is a flood of lines."""

import logging
from types import SimpleNamespace

import pytest

from kerneld.daemon import stderr
from kerneld.daemon.stderr import MAX_TEXTS, Seldom


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> tuple[logging.Logger, list[str], list[float]]:
    """A logger behind the filter, what it told, and its clock."""
    told: list[str] = []
    clock = [5.0]
    monkeypatch.setattr(stderr, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    handler = logging.Handler()
    handler.addFilter(Seldom())
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.Logger("of this test")
    logger.addHandler(handler)
    return logger, told, clock


def test_an_equal_line_is_told_once_a_minute_with_its_number(
    lines: tuple[logging.Logger, list[str], list[float]],
) -> None:
    logger, told, clock = lines
    for _ in range(500):
        logger.warning("%s: %s", "iopub", "too fast")
    logger.warning("another")
    clock[0] += 61
    logger.warning("iopub: too fast")
    logger.warning("another")
    assert told == [
        "iopub: too fast",
        "another",
        "iopub: too fast (500 times since it was said last)",
        "another",
    ]


def test_what_was_told_is_kept_for_so_many_lines_only(
    lines: tuple[logging.Logger, list[str], list[float]],
) -> None:
    logger, told, _ = lines
    for number in range(MAX_TEXTS + 1):
        logger.warning("line %d", number)
    logger.warning("line %d", 0)
    assert told[-1] == "line 0"
