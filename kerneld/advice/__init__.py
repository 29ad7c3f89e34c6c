"""The pieces of advice, in the order in which they are given."""

from typing import Protocol

from kerneld.advice import (
    abort,
    allocation_failure,
    exit_in_cell,
    hard_exit,
    hardware,
    memory_limit,
    native_crash,
    neighbour_hog,
    parent_died,
    shm_full,
    stack_overflow,
    startup_failure,
    unknown_sender,
    workers,
)
from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict


class Piece(Protocol):
    """One piece of advice: a module of this room; None where it does not apply."""

    def advise(self, case: Case, verdict: Verdict) -> Advice | None: ...


PIECES: tuple[Piece, ...] = (
    neighbour_hog,
    workers,
    memory_limit,
    allocation_failure,
    hardware,
    native_crash,
    stack_overflow,
    shm_full,
    abort,
    unknown_sender,
    exit_in_cell,
    hard_exit,
    startup_failure,
    parent_died,
)
