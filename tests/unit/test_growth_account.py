"""The account of growth: which line is charged, what is given back, and what looking may cost."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.growth.account import GROWING_REACH_S, MAX_MARKS, MAX_ROWS, REACH_S, Account
from kerneld.growth.budget import (
    BURST_DUMPS,
    BURST_GAP_S,
    SHARE,
    STEADY_GAP_S,
    WINDOW_S,
    Budget,
    Pace,
    is_fast,
    starved,
)
from kerneld.growth.ledger import MAX_LINES, MAX_SEGMENTS, UNCHARGED, Ledger
from kerneld.model.growth import Frame, GrowthLine, SeenThread

MIB = 1 << 20


def at_line(line: int, *, active: bool = True, code: str | None = None) -> SeenThread:
    place = Frame(function="f", file="/home/a/x.py", line=line, code=code)
    return SeenThread(active=active, main=True, place=place, innermost=True)


NOBODY = SeenThread(active=True)


def charged(lines: Iterable[GrowthLine]) -> dict[int | None, int]:
    """MiB by line; None: unattributed."""
    return {row.line: round(row.bytes / MIB) for row in lines}


Step = tuple[float, int] | tuple[float, list[SeenThread]] | tuple[float, list[SeenThread], bool]


def account_of(*steps: Step) -> Account:
    """(seconds, MiB held), (seconds, threads of a stack[, True: memory stood still])."""
    account = Account(0.0, 0)
    for step in steps:
        if isinstance(step[1], int):
            account.hold(step[0], step[1] * MIB)
        else:
            account.see(step[0], step[1], still=len(step) == 3)
    return account


BREATHS: list[tuple[float, int]] = [(2 + n / 9, 100 + n % 2 * 200) for n in range(9)]
CHARGES = {
    "between two stacks of one line": (
        [(0.1, [at_line(4)]), (0.15, 50), (0.2, [at_line(4)])],
        {4: 50},
    ),
    "between two lines each has its half": (
        [(0.1, [at_line(4)]), (0.12, 30), (0.18, 100), (0.2, [at_line(5)])],
        {4: 30, 5: 70},
    ),
    "what grew before the first stack": ([(0.1, 80), (0.11, [at_line(4)]), (0.2, 100)], {4: 100}),
    "what grew after the last one": ([(0.1, [at_line(4)]), (0.9, 100)], {4: 100}),
    "out of everyone's reach": (
        [(0.1, 10), (20.0, 20), (20.0, [at_line(4)]), (40.0, 70)],
        {4: 10, None: 60},
    ),
    "who sleeps is not asked while somebody ran": (
        [(0.1, [at_line(4)]), (0.5, 50), (0.5, [at_line(6, active=False)]), (0.6, 60)],
        {4: 60},
    ),
    "who waits for a CPU grows nothing": (
        [(0.1, [at_line(4)]), (0.5, 50), (0.5, [at_line(6)], True)],
        {4: 50},
    ),
    "who ran is asked where nobody else is": ([(0.5, 50), (0.5, [at_line(6)], True)], {6: 50}),
    "a read waits while it grows": ([(0.5, 50), (0.5, [at_line(6, active=False)])], {6: 50}),
    "a loop's head is between two lines": (
        [(0.1, [at_line(3, code="for i in range(9):")]), (0.1, 80), (0.2, [at_line(4)]), (0.2, 90)],
        {4: 90},
    ),
    "a loop's head alone": ([(0.1, [at_line(3, code="for line in file:")]), (0.1, 80)], {3: 80}),
    "two running threads share": ([(0.1, [at_line(4), at_line(7)]), (0.2, 100)], {4: 50, 7: 50}),
    "one thread runs, one waits": (
        [(0.1, [at_line(4), at_line(7, active=False)]), (0.2, 100)],
        {4: 100},
    ),
    "no line of the user's": ([(0.1, [NOBODY]), (0.2, 100)], {None: 100}),
    "temporaries net to nothing": (
        [(0.1, [at_line(4)]), (0.1, 100), (2.0, [at_line(7)]), *BREATHS],
        {4: 100},
    ),
    "what came last is given back first": (
        [(0.1, [at_line(4)]), (0.1, 100), (2.0, [at_line(7)]), (2.0, 150), (2.1, 120)],
        {4: 100, 7: 20},
    ),
    "less than it began with": ([(0.1, [at_line(4)]), (0.1, 100), (0.2, 0)], {}),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "expected"), CHARGES.values(), ids=CHARGES)
def test_who_is_charged(steps: list[Step], expected: dict[int | None, int]) -> None:
    assert charged(account_of(*steps).lines()) == expected


def test_telling_changes_nothing() -> None:
    """A death asks before the last stack's answer came, and again afterwards."""
    account = account_of((0.1, [at_line(4)]), (0.2, 50), (0.4, 100))
    before = charged(account.lines())
    account.see(0.4, [at_line(5)])
    assert (before, charged(account.lines())) == ({4: 100}, {4: 50, 5: 50})


def test_a_witness_of_growth_is_not_asked_beyond_its_reach() -> None:
    late = 0.1 + GROWING_REACH_S + 0.5
    account = account_of((0.1, [at_line(4)]), (late, 50), (late, [at_line(6)], True))
    assert charged(account.lines()) == {6: 50}


def test_shares_are_of_all_that_grew() -> None:
    rows = account_of((0.1, [at_line(4)]), (0.1, 75), (30.0, 100)).lines()
    assert [(row.line, row.share) for row in rows] == [(4, 0.75), (None, 0.25)]


def test_the_latest_frame_names_the_line() -> None:
    """The same cell run again has a new number."""
    account = Account(0.0, 0)
    for count in (3, 8):
        place = Frame(function="f", file="/tmp/ipykernel_1/2.py", line=1, execution_count=count)
        account.see(count / 10, [SeenThread(active=True, place=place)])
        account.hold(count / 10, count * MIB)
    assert [row.execution_count for row in account.lines()] == [8]


moments = st.lists(
    st.tuples(
        st.floats(0.001, 2.0),
        st.integers(0, 400),
        st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=3),
        st.booleans(),
    ),
    max_size=80,
)


@given(moments)
def test_rows_add_up_to_what_it_grew(
    told: list[tuple[float, int, list[tuple[int, bool]], bool]],
) -> None:
    """All that is held beyond the lowest since, whatever was seen."""
    account, now_s, held = Account(0.0, 200 * MIB), 0.0, [200]
    for pause_s, size, seen, still in told:
        now_s += pause_s
        account.see(now_s, [at_line(line, active=active) for line, active in seen], still=still)
        account.hold(now_s, size * MIB)
        held.append(size)
    total = sum(row.bytes for row in account.lines())
    assert total == (held[-1] - min(held)) * MIB
    assert all(row.bytes > 0 for row in account.lines())
    assert len(account.lines()) <= MAX_ROWS + 1


def test_an_account_is_bounded() -> None:
    account = Account(0.0, 0)
    for n in range(3_000):
        account.see(n * 0.001, [at_line(n % 1000)])
        account.hold(n * 0.001, n * MIB)
    assert len(account._marks) <= MAX_MARKS
    assert len(account._frames) <= MAX_LINES
    assert sum(row.bytes for row in account.lines()) == 2_999 * MIB
    assert sum(len(rank._times) for rank in account._ranks) <= 1000 * (REACH_S + GROWING_REACH_S + 1)


def test_a_ledger_is_bounded_and_loses_nothing() -> None:
    ledger = Ledger()
    for n in range(50_000):
        ledger.grow(n % 200, 10)
        if n % 3 == 0:
            ledger.give_back(7)
    sums = ledger.sums()
    assert len(ledger._lines) <= MAX_SEGMENTS
    assert sum(sums.values()) == 50_000 * 10 - 16_667 * 7
    ledger.uncharge(5)
    assert ledger.sums()[UNCHARGED] == sums[UNCHARGED] + sums[5]


# ---------------------------------------------------------------- what it may cost


def test_no_ten_minutes_cost_more_than_the_share() -> None:
    """Every window of an hour in which a stack is taken whenever it may be."""
    budget, spent = Budget(0.0), []
    for tick in range(3600 * 20):
        now_s = tick / 20
        if budget.may_dump(now_s):
            budget.spend(0.01)
            spent.append(now_s)
    for start in range(0, 3000, 50):
        cpu_s = 0.01 * sum(start <= at < start + WINDOW_S for at in spent)
        assert cpu_s <= SHARE * WINDOW_S + 0.02


def test_a_burst_lasts_five_seconds() -> None:
    pace, taken = Pace(0.0), []
    for tick in range(3000):
        now_s = tick / 100
        if pace.may_dump(now_s, fast=True):
            pace.dumped(now_s)
            taken.append(now_s)
    assert min(b - a for a, b in pairwise(taken)) >= BURST_GAP_S - 1e-9
    assert BURST_DUMPS <= sum(at < 6 for at in taken) <= BURST_DUMPS + 8
    assert sum(at >= 10 for at in taken) <= 22, "then one a second"


def test_a_slow_one_is_looked_at_once_a_second() -> None:
    pace, taken = Pace(0.0), 0
    for tick in range(1000):
        if pace.may_dump(tick / 100, fast=False):
            pace.dumped(tick / 100)
            taken += 1
    assert taken == pytest.approx(10 / STEADY_GAP_S, abs=1)


@pytest.mark.parametrize(
    ("growth", "headroom", "fast"),
    [(6, 100, True), (4, 100, False), (10**9, None, False), (1, 0, True)],
)
def test_fast_is_a_twentieth_of_the_headroom(growth: int, headroom: int | None, fast: bool) -> None:
    assert is_fast(growth, headroom) is fast


@pytest.mark.parametrize(
    ("memory", "cpu", "load", "word"),
    [
        (0.0, 50.0, 1.0, ""),
        (25.0, 50.0, 1.0, "memory"),
        (5.0, 99.0, 3.0, ""),
        (5.0, 99.0, 9.0, "turn"),
        (5.0, 60.0, 9.0, ""),
        (None, None, 9.0, "turn"),
        (None, None, 2.0, ""),
    ],
)
def test_when_the_machine_starves(
    memory: float | None, cpu: float | None, load: float, word: str
) -> None:
    told = starved(memory, cpu, load)
    assert bool(told) is bool(word)
    assert word in told
