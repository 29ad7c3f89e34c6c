"""py-spy's words, captured from real kernels, into the user's line of each thread; and its refusals."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.model.growth import Frame, SeenThread
from kerneld.model.said import CellStarted, KernelStatus
from kerneld.model.wire import MAX_DATAGRAM_BYTES, StackParsed, Told
from kerneld.parse.cellname import cell_hash, count_in, hash_in
from kerneld.parse.stacks import (
    MAX_FILE_CHARS,
    MAX_FRAMES,
    MAX_NAME_CHARS,
    MAX_TEXT_BYTES,
    MAX_THREADS,
    NoStacks,
    Stacks,
    is_library,
    parse_stacks,
)
from kerneld.reader.cells import (
    MAX_BYTES,
    MAX_BYTES_OF_ALL,
    MAX_CELLS,
    MAX_CODE_CHARS,
    Cells,
    make_room,
)
from kerneld.reader.outbox import datagram_of

CAPTURED = Path(__file__).parent.parent / "captured" / "pyspy"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def captured(name: str) -> tuple[list[str], bytes]:
    document = json.loads((CAPTURED / f"{name}.json").read_text())
    return document["cells"], document["text"].encode()


def started(source: str, count: int) -> CellStarted:
    return CellStarted(
        at=AT, handle=1, execution_count=count, source=source, sha256=f"{cell_hash(source)}"
    )


def explained(name: str) -> Stacks:
    """What the reader makes of a captured stack, having heard the kernel's cells."""
    sources, text = captured(name)
    told = parse_stacks(text)
    assert isinstance(told, Stacks), told
    cells = Cells()
    for count, source in enumerate(sources, 1):
        cells.hear(started(source, count))
    return cells.explained(told)


def places(stacks: Stacks) -> list[tuple[bool, str, int | None, int | None, str | None]]:
    return [
        (t.active, t.place.function, t.place.line, t.place.execution_count, t.place.code)
        for t in stacks.threads
        if t.place
    ]


# capture: (active, function, line, cell, code) of each thread in the user's code
LINES = {
    "idle": [],
    "loop": [
        (True, "<module>", 3, 2, "    kept = [np.random.rand(1000) for i in range(1000)]"),
    ],
    "library": [(True, "<module>", 2, 2, "    total = np.full(5_000_000, 2.0)")],
    "comprehension": [(True, "<module>", 3, 2, "        os.urandom(20_000)")],
    "earlier-cell": [(True, "fill", 5, 1, "        kept.append(os.urandom(20_000))")],
    "module": [(True, "load", 7, None, None)],
    "timed": [(True, "<module>", 4, 1, "    x = [os.urandom(20_000) for i in range(100)]")],
    "threads": [
        (True, "grow_a", 4, 1, "        a = np.random.rand(3_000_000)"),
        (True, "grow_b", 7, 1, "        b = np.random.rand(3_000_000)"),
        (False, "<module>", 5, 2, "    t.join()"),
    ],
    "asleep": [(False, "<module>", 2, 1, "time.sleep(600)")],
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_thread_stands_at_the_innermost_line_of_the_users(name: str) -> None:
    stacks = explained(name)
    assert sorted(places(stacks), key=str) == sorted(LINES[name], key=str)
    assert [t.active for t in stacks.threads] == sorted(
        (t.active for t in stacks.threads), reverse=True
    )


def test_the_stack_is_the_users_part_outermost_first() -> None:
    frames = explained("module").frames
    assert [(f.function, f.file.rpartition("/")[2]) for f in frames[1:]] == [
        ("load", "loading.py"),
        ("ones", "numeric.py"),
    ]
    assert (frames[0].execution_count, frames[0].code) == (2, "loading.load(10**9)")


def test_what_a_library_was_called_for_is_not_between_two_lines() -> None:
    assert [t.innermost for t in explained("library").threads] == [False]
    assert [t.innermost for t in explained("loop").threads] == [True]


REFUSALS = {
    "no-python": NoStacks("it is no Python process", no_python=True),
    "gone": NoStacks("the kernel was gone before its stack was read"),
    "refused": NoStacks("py-spy may not read this kernel's memory"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_why(name: str) -> None:
    assert parse_stacks(captured(name)[1]) == REFUSALS[name]


def thread(frames: object, **more: object) -> bytes:
    told = {"pid": 1, "os_thread_id": 1, "active": True, "owns_gil": False, "frames": frames} | more
    return json.dumps([told]).encode()


def frame(name: object = "f", filename: object = "/home/a/x.py", line: object = 3) -> dict[str, object]:
    return {"name": name, "filename": filename, "line": line}


HOSTILE = [
    b"", b"[", b"[]]", b"{}", b"null", b"[1]", b"[null]", b'[{"frames": 1}]', b'[{"frames": [1]}]',
    b"[" * 100_000, b"\xff\xfe[]", b"[NaN]", b"Error: \x1b[2J",
    thread([frame(name=1)]), thread([frame(filename=None)]), thread("x"),
    b"[" + b" " * MAX_TEXT_BYTES,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text[:20]) for text in HOSTILE])
def test_hostile_words_are_no_stack(text: bytes) -> None:
    assert isinstance(parse_stacks(text), NoStacks)


@given(st.binary(max_size=200))
def test_no_words_raise(text: bytes) -> None:
    assert isinstance(parse_stacks(text), Stacks | NoStacks)
    assert isinstance(parse_stacks(b"[" + text), Stacks | NoStacks)


def test_a_deep_stack_of_long_names_fits_a_datagram() -> None:
    """Control characters grow sixfold in JSON."""
    deep = [frame("\x01" * 5000, "/" + "\x02" * 5000 + ".py") for _ in range(150)]
    one = json.loads(thread(deep))[0]
    told = parse_stacks(json.dumps([one]).encode())
    assert isinstance(told, Stacks | NoStacks)
    longest = Frame(function="\x01" * MAX_NAME_CHARS, file="\x02" * MAX_FILE_CHARS, line=1 << 30,
                    code="\x03" * MAX_CODE_CHARS, execution_count=1 << 50)  # fmt: skip
    threads = (SeenThread(active=True, place=longest),) * MAX_THREADS
    parsed = StackParsed(number=1 << 60, threads=threads, frames=(longest,) * MAX_FRAMES)
    data = datagram_of(parsed)
    assert len(data) <= MAX_DATAGRAM_BYTES
    assert Told.model_validate_json(data, strict=True).said == parsed


@pytest.mark.parametrize(
    ("file", "library"),
    [
        ("/home/a/x.py", False),
        ("/tmp/ipykernel_1/2.py", False),
        ("<ipython-input-7-0123456789ab>", False),
        ("<timed exec>", False),
        ("/usr/lib/python3.11/json/decoder.py", True),
        ("/opt/conda/lib/python3.12/site-packages/pandas/core/frame.py", True),
        ("/usr/lib/python3/dist-packages/numpy/core/numeric.py", True),
        ("/usr/lib64/python3.13t/threading.py", True),
        ("/home/a/lib/loading.py", False),
        ("<frozen importlib._bootstrap>", True),
        ("<string>", True),
        ("<__array_function__ internals>", True),
        ("numpy/random/mtrand.pyx", True),
        ("script.py", False),
    ],
)
def test_whose_a_file_is(file: str, library: bool) -> None:
    assert is_library(file) is library


def test_a_cells_file_name_is_its_sources_hash() -> None:
    """The names that the captured kernels gave to their own cells."""
    for name in LINES:
        sources, text = captured(name)
        hashes = {cell_hash(source) for source in sources}
        files = {hash_in(f["filename"]) for t in json.loads(text) for f in t["frames"]} - {None}
        assert files <= hashes, name
    assert count_in("<ipython-input-7-0123456789ab>") == 7
    assert hash_in("/tmp/ipykernel_1/load.py") is None


@pytest.mark.parametrize("tail", range(4))
def test_a_source_of_any_length_has_a_hash(tail: int) -> None:
    assert 0 <= cell_hash("ä" * 7 + "x" * tail) < 1 << 32


# ---------------------------------------------------------------- the reader's memory of cells


def test_the_same_cell_again_has_its_new_number() -> None:
    cells = Cells()
    for count, source in ((1, "a = 1"), (2, "b = 2"), (3, "a = 1")):
        cells.hear(started(source, count))
    file = f"/tmp/ipykernel_9/{cell_hash('a = 1')}.py"
    seen = Stacks(frames=(Frame(function="<module>", file=file, line=1),))
    assert cells.explained(seen).frames[0].execution_count == 3
    assert len(cells) == 2


def test_a_new_life_knows_no_cell() -> None:
    cells = Cells()
    cells.hear(started("a = 1", 1))
    cells.hear(KernelStatus(at=AT, handle=1, state="starting"))
    assert (len(cells), cells.size_bytes) == (0, 0)


def test_a_line_beyond_the_cell_has_no_code() -> None:
    """A file name is what its user makes it: the number is looked up, never trusted."""
    cells = Cells()
    cells.hear(started("a = 1", 1))
    file = f"/tmp/ipykernel_9/{cell_hash('a = 1')}.py"
    seen = Stacks(frames=(Frame(function="f", file=file, line=99),))
    assert cells.explained(seen).frames[0].code is None


def test_cells_are_kept_within_bounds() -> None:
    kernels = [Cells() for _ in range(300)]
    noise = random.Random(1)
    for cells in kernels:
        for _ in range(40):
            source = noise.randbytes(2000).hex()
            cells.hear(CellStarted(at=AT, handle=1, source=source, sha256=source[:64]))
        assert cells.size_bytes <= MAX_BYTES
    for count in range(MAX_CELLS + 20):
        kernels[0].hear(started(f"x = {count}", count))
        assert len(kernels[0]) <= MAX_CELLS
    make_room(kernels)
    assert sum(cells.size_bytes for cells in kernels) <= MAX_BYTES_OF_ALL
