"""Machines for the tests: made in 0.3 s, so each test has one of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import PID_1, ROOTS_OWN, Machine

sys.path.append(str(Path(__file__).parents[1] / "unit"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with PID 1: the service as it is installed, but for the trace: a host has one."""
    with Machine(tmp_path / "machine", PID_1) as made:
        made.trace_nothing()
        yield made


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Machine]:
    """The service's sandbox where Linux's own pids are: every source of evidence can speak."""
    with Machine(tmp_path / "sandbox", ROOTS_OWN) as made:
        yield made
