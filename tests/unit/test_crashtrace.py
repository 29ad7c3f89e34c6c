"""What faulthandler writes, by a Python that crashes here, into its stack; and files of any text."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.model.place import TRACE_KINDS
from kerneld.parse.crashtrace import MAX_NATIVE_CHARS, parse_trace
from kerneld.parse.stacks import MAX_FRAMES, MAX_NAME_CHARS

CRASH = """
import ctypes, faulthandler, os, signal, sys, threading, time
faulthandler.enable(open(sys.argv[1], "a"))
def inner(number):
    os.kill(os.getpid(), number)
    time.sleep(9)
def outer(number):
    inner(number)
threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
outer(int(sys.argv[2]))
"""
HEAD = (
    b"Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f00 (most recent call first):\n"
)
# as Python 3.14 writes it, shortened: none is at hand here
NATIVE = (
    HEAD
    + b"""  File "a.py", line 3 in f

Current thread's C stack trace (most recent call first):
  Binary file "/lib/libfoo.so", at boom+0x1c [0x7f00]
  Binary file "python3.14", at _PyEval_EvalFrameDefault+0x8 [0x55]

Extension modules: numpy (total: 1)
"""
)


@pytest.mark.parametrize("number", [11, 7, 4, 8, 6])
def test_a_python_that_crashes_tells_its_line(tmp_path: Path, number: int) -> None:
    """Of the thread that crashed, and of the last crash in the file."""
    log = tmp_path / "fault.log"
    log.write_text("Fatal Python error: Aborted\n\nCurrent thread 0x0 (most recent call first):\n")
    subprocess.run([sys.executable, "-c", CRASH, str(log), str(number)], check=False)
    told = parse_trace(log.read_bytes())
    assert told is not None
    assert TRACE_KINDS[told.said]
    frames = [(frame.function, frame.line) for frame in told.frames]
    assert frames == [("<module>", 10), ("outer", 8), ("inner", 5)]
    assert told.native_stack is None


def test_a_c_stack_is_kept() -> None:
    told = parse_trace(NATIVE)
    assert told is not None
    assert told.native_stack is not None
    assert [line.split(" at ")[1].split("+")[0] for line in told.native_stack.splitlines()] == [
        "boom",
        "_PyEval_EvalFrameDefault",
    ]
    assert [frame.function for frame in told.frames] == ["f"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Segmentation fault\n",
        b"Fatal Python error: my token is abc\n\nCurrent thread 0x0 (most recent call first):\n",
        b"Fatal Python error: Segmentation fault and more\n",
        HEAD + b"Fatal Python error: ",
    ],
    ids=repr,
)
def test_what_faulthandler_would_not_say_is_no_trace(data: bytes) -> None:
    assert parse_trace(data) is None


def test_a_trace_without_frames_is_one() -> None:
    for data in (HEAD + b"  <no Python frame>\n", HEAD[:40], HEAD[:-10]):
        told = parse_trace(data)
        assert told is not None
        assert told.frames == ()


def test_frames_without_end_and_names_without_end_are_cut() -> None:
    line = b'  File "' + b"x" * 900 + b'.py", line 1 in ' + b"n" * 900 + b"\n"
    told = parse_trace(HEAD + line * 5000)
    assert told is not None
    assert len(told.frames) == MAX_FRAMES
    assert {len(frame.function or "") for frame in told.frames} == {MAX_NAME_CHARS}
    native = parse_trace(NATIVE.replace(b"boom", b"b" * 100_000))
    assert native is not None
    assert native.native_stack is not None
    assert len(native.native_stack) <= MAX_NATIVE_CHARS


def test_a_line_number_that_is_none_is_none() -> None:
    data = (
        b'  File "a.py", line ??? in f\n  File "b.py", line 0 in g\n  File "c.py", line 9999999999 in h'
    )
    told = parse_trace(HEAD + data)
    assert told is not None
    assert [(frame.function, frame.line) for frame in told.frames] == [("g", None), ("f", None)]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_trace_or_none(data: bytes) -> None:
    parse_trace(data)
    parse_trace(HEAD + data)
    parse_trace(NATIVE[:150] + data + NATIVE[150:])
