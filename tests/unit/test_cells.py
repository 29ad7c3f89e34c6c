"""Cells that ended: whose end a status is, what of them is kept, and what they did to the memory."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from kerneld.daemon.turns import measured
from kerneld.model.cells import KEPT_CELLS, FinishedCell, Held
from kerneld.model.process import ProcessKey
from kerneld.model.said import CellFailed, CellStarted, KernelStatus, ListenState, SessionFact
from kerneld.model.session import EXECUTE, KEPT_RUNNING, Session
from kerneld.model.vocabulary import Shortage
from kerneld.parse.shortage import class_name, shortage_of
from kerneld.sources.memory_track import Track
from kerneld.sources.ring import UNIT_BYTES, Ring

AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = ProcessKey(boot_id="b", pid=1, start_ticks=1)
MIB = 1 << 20


def at(second: float) -> datetime:
    return AT + timedelta(seconds=second)


def status(state: str, parent: str, second: float) -> KernelStatus:
    return KernelStatus(at=at(second), handle=1, state=state, parent=parent, parent_type=EXECUTE)


def begun(parent: str, count: int, second: float, source: str = "x = 1") -> CellStarted:
    return CellStarted(
        at=at(second), handle=1, parent=parent, execution_count=count, source=source, sha256=parent
    )


def heard(*facts: SessionFact) -> Session:
    session = Session(listening=True)
    for fact in facts:
        session = session.heard_of(fact)
    return session


# ---------------------------------------------------------------- whose end


def test_a_cell_ends_with_its_own_requests_idle() -> None:
    failed = CellFailed(at=at(2), handle=1, parent="b", name="MemoryError", shortage=Shortage.MEMORY)
    session = heard(
        status("busy", "a", 0), begun("a", 1, 0.1), status("idle", "a", 1),
        status("busy", "b", 1.1), begun("b", 2, 1.2), failed, status("idle", "b", 3.2),
    )  # fmt: skip
    first, second = session.finished
    assert (first.execution_count, first.duration_s, first.failed, first.error) == (1, 0.9, False, None)
    assert (second.duration_s, second.failed, second.error) == (2.0, True, "MemoryError")
    assert second.shortage is Shortage.MEMORY
    assert (session.running, session.busy) == ((), False)


def test_of_cells_side_by_side_the_one_that_runs_on_is_the_cell() -> None:
    """A subshell's cell came and went while the main shell's runs: that is what died, if it dies."""
    session = heard(
        status("busy", "main", 0), begun("main", 1, 0.1), status("busy", "sub", 5),
        begun("sub", 2, 5.1), status("idle", "sub", 6),
    )  # fmt: skip
    assert session.busy
    assert session.cell is not None
    assert session.cell.execution_count == 1
    assert session.cell.source == "x = 1"
    assert [cell.execution_count for cell in session.finished] == [2]
    assert heard(*session.facts, status("idle", "main", 9)).busy is False


def test_what_was_missed_ends_no_cell_with_a_time() -> None:
    deaf = ListenState(at=at(1), handle=1, listening=False, reason="r")
    session = heard(
        status("busy", "a", 0), begun("a", 1, 0.1), deaf, status("busy", "b", 9), begun("b", 2, 9.1),
        status("idle", "a", 9.5),
    )  # fmt: skip
    assert session.finished == ()
    assert [cell.execution_count for cell in session.running] == [2]


def test_few_are_kept_and_of_the_earlier_ones_no_source() -> None:
    session = Session()
    for number in range(40):
        parent = f"m{number}"
        for fact in (status("busy", parent, number), begun(parent, number, number, "y" * 60_000),
                     status("idle", parent, number + 0.5)):  # fmt: skip
            session = session.heard_of(fact)
    assert [cell.execution_count for cell in session.finished] == list(range(40))[-KEPT_CELLS:]
    kept = [f.source for f in session.facts if isinstance(f, CellStarted) and f.source]
    assert len(kept) == 1
    assert len(session.cell.source or "") == 60_000 if session.cell else False
    assert all(len(cell.code or "") <= 100 for cell in session.finished)


def test_cells_that_never_end_are_few() -> None:
    facts = [begun(f"m{number}", number, number) for number in range(40)]
    assert len(heard(*facts).running) == KEPT_RUNNING


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", None),
        ("\n\n  x = 1 \ny", "x = 1"),
        ("# load\nimport numpy as np\n%matplotlib inline\ndata = load()", "data = load()"),
        ("import numpy", "import numpy"),
    ],
)
def test_a_cells_first_words(source: str, code: str | None) -> None:
    ended = heard(begun("a", 1, 0, source), status("busy", "a", 0), status("idle", "a", 1)).finished
    assert [cell.code for cell in ended] == [code]


# ---------------------------------------------------------------- memory


class Samples:
    """A memory source of which only `held` is asked; the ring is the real one."""

    def __init__(self, *samples: tuple[float, int]) -> None:
        self._track = Track(KEY, None, None, 0.0)
        for second, pages in samples:
            self._track.ring.append(second, pages * UNIT_BYTES)

    def held(self, key: ProcessKey, since: datetime, until: datetime) -> Held | None:
        return self._track.held((since - AT).total_seconds(), (until - AT).total_seconds())

    account = tree_account = cgroup_delta = mark_busy = lambda self, *_: None  # type: ignore[assignment]


def cell(second: float, duration_s: float) -> FinishedCell:
    return FinishedCell(started_at=at(second), duration_s=duration_s)


def did(memory: Samples, *cells: FinishedCell) -> list[tuple[int | None, ...]]:
    """In pages, as the samples."""
    told = measured(memory, KEY, cells)  # type: ignore[arg-type]
    every = [(one.before_bytes, one.change_bytes, one.peak_bytes) for one in told]
    return [tuple(None if x is None else x // UNIT_BYTES for x in one) for one in every]


def test_a_cells_memory_is_from_before_its_first_to_its_end() -> None:
    memory = Samples((1, 50), (2, 50), (3.04, 70), (3.5, 300), (4.01, 90), (5, 95))
    assert did(memory, cell(3, 1)) == [(50, 40, 300)]


def test_where_cells_follow_at_once_nothing_is_counted_twice_or_lost() -> None:
    memory = Samples((1, 50), (2.05, 100), (2.1, 200), (3.05, 300), (3.5, 320))
    told = did(memory, cell(1, 1), cell(2.001, 1))
    assert told == [(50, 50, 100), (100, 200, 300)]


def test_what_was_measured_stays() -> None:
    once = cell(1, 1).model_copy(
        update={
            "before_bytes": UNIT_BYTES,
            "change_bytes": 2 * UNIT_BYTES,
            "peak_bytes": 3 * UNIT_BYTES,
        }
    )
    assert did(Samples((0, 9)), once) == [(1, 2, 3)]


def test_before_the_first_sample_nothing_is_known() -> None:
    assert did(Samples((100, 9)), cell(1, 1)) == [(None, None, None)]


def test_a_moment_has_the_value_that_was_seen_then() -> None:
    """Each tick of a real ring, against the list that it was made of."""
    dice = random.Random(7)
    ring, values = Ring(0.0), [dice.randrange(1 << 30) * UNIT_BYTES for _ in range(300)]
    for index, value in enumerate(values):
        ring.append(index * 0.05, value)
    for index in range(1, 299):
        assert ring.last_at(index * 0.05 + 0.02) == values[index]
        assert ring.first_at(index * 0.05 + 0.001, within_s=1.5) == values[index]
        assert ring.first_at(index * 0.05 + 0.02, within_s=1.5) == values[index + 1]
    assert ring.first_at(99, within_s=1.5) == values[-1]
    assert ring.last_at(-1) is None


# ---------------------------------------------------------------- what it was short of


@pytest.mark.parametrize(
    ("name", "value", "shortage"),
    [
        ("MemoryError", "", Shortage.MEMORY),
        ("_ArrayMemoryError", "Unable to allocate 745. GiB for an array with shape", Shortage.MEMORY),
        ("RuntimeError", "[enforce fail] DefaultCPUAllocator: can't allocate memory", Shortage.MEMORY),
        ("OSError", "[Errno 12] Cannot allocate memory", Shortage.MEMORY),
        ("ERROR", "Error: cannot allocate vector of size 74.5 Gb", Shortage.MEMORY),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 MiB.", Shortage.GPU_MEMORY),
        ("RuntimeError", "CUDA error: out of memory", Shortage.GPU_MEMORY),
        ("OutOfMemoryError", "Out of memory allocating 8,000,000,000 bytes", Shortage.GPU_MEMORY),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying", Shortage.GPU_MEMORY),
        ("ValueError", "memory", None),
        ("", "", None),
    ],
)
def test_an_error_says_what_it_was_short_of(name: str, value: str, shortage: Shortage | None) -> None:
    """The texts of Python, numpy, torch, cupy, jax and R."""
    assert shortage_of(name, value) is shortage


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("<class 'ZeroDivisionError'>", "ZeroDivisionError"),
        ("<class 'numpy._core._exceptions._ArrayMemoryError'>", "_ArrayMemoryError"),
        ("<class '", "<class '"),
        ("KeyError", "KeyError"),
    ],
)
def test_xeus_names_an_exception_as_python_does(said: str, name: str) -> None:
    assert class_name(said) == name
