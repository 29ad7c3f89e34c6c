"""py-spy's JSON of one process into its threads, each at the line of the user's that it serves.

`py-spy dump --json` (https://github.com/benfred/py-spy) prints a list of threads, each with its
frames, innermost first.
"""

import json
import re
from dataclasses import dataclass

from kerneld.model.growth import Frame, SeenThread
from kerneld.parse.cellname import is_cell

MAX_TEXT_BYTES = 2 << 20
"""a kernel's 13 threads are 22 KB, a recursion of 1,000 frames 300"""
MAX_FRAMES, MAX_THREADS = 24, 8
MAX_NAME_CHARS, MAX_FILE_CHARS = 120, 240
_MAX_LINE = 1 << 31

_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python3(?:\.\d+)?t?/|\.zip/|^<frozen ")
_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"})
_RUN_CODE = ("run_code", "IPython/core/interactiveshell.py")
_THREADING = re.compile(r"/(?:threading|concurrent/futures/(?:thread|process))\.py\Z")

_NOT_PYTHON = ("Failed to find python version", "Failed to find a python interpreter")
_REASONS = (
    (("Permission Denied", "Permission denied", "Operation not permitted"),
     "py-spy may not read this kernel's memory"),
    (("No such process", "No such file"), "the kernel was gone before its stack was read"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stacks:
    """threads: the running ones, and those in the user's code. frames: outermost first."""

    threads: tuple[SeenThread, ...] = ()
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class NoStacks:
    """Why py-spy printed none; no_python: it never will."""

    reason: str
    no_python: bool = False


@dataclass(frozen=True, slots=True)
class _Thread:
    active: bool
    main: bool
    stack: tuple[Frame, ...]
    """the user's part, innermost first"""
    place: Frame | None


def parse_stacks(text: bytes) -> Stacks | NoStacks:
    """What py-spy wrote, its errors included."""
    if len(text) >= MAX_TEXT_BYTES:
        return NoStacks("its stacks are too long to be read")
    start = 0 if text.startswith(b"[") else text.find(b"\n[") + 1
    if not text[start:].startswith(b"["):
        return _failure(text)
    try:
        told = json.loads(text[start:].decode("utf-8", "replace"))
        threads = [_thread(one) for one in told]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return NoStacks("py-spy printed what nobody can understand")
    return _weighed(threads)


def _failure(text: bytes) -> NoStacks:
    said = text[-2000:].decode("utf-8", "replace")
    if any(words in said for words in _NOT_PYTHON):
        return NoStacks("it is no Python process", no_python=True)
    for words, reason in _REASONS:
        if any(word in said for word in words):
            return NoStacks(reason)
    return NoStacks("py-spy could not read its stacks")


def _weighed(threads: list[_Thread]) -> Stacks:
    """The running threads in the user's code first, the main thread (it comes last) before others."""
    of_user = [thread for thread in reversed(threads) if thread.place]
    of_user.sort(key=lambda thread: not thread.active)
    first = of_user[0] if of_user else None
    return Stacks(
        threads=tuple(
            SeenThread(
                active=one.active,
                main=one.main,
                place=one.place,
                innermost=not is_library(one.stack[0].file),
            )
            for one in of_user[:MAX_THREADS]
        ),
        frames=tuple(reversed(first.stack[:MAX_FRAMES])) if first else (),
    )


def _thread(told: dict[str, object]) -> _Thread:
    raw = told["frames"]
    if not isinstance(raw, list):
        raise ValueError("no frames")
    stack = users_part([_frame(one) for one in raw[:10_000]])
    active = told.get("active") is True or told.get("owns_gil") is True
    main = told.get("os_thread_id") == told.get("pid")
    return _Thread(active, main, stack, place_of(stack))


def _frame(told: dict[str, object]) -> Frame:
    line = told.get("line")
    return Frame(
        function=_clean(told["name"], MAX_NAME_CHARS),
        file=_clean(told["filename"], MAX_FILE_CHARS),
        line=line if type(line) is int and 0 < line < _MAX_LINE else None,
    )


def _clean(text: object, most: int) -> str:
    if not isinstance(text, str):
        raise ValueError("no text")
    return text[-most:].encode("utf-8", "replace").decode("utf-8", "replace")


def users_part(frames: list[Frame]) -> tuple[Frame, ...]:
    """Innermost first, up to IPython's run_code, or to what starts a thread."""
    for index, frame in enumerate(frames):
        if _name(frame) == _RUN_CODE[0] and frame.file.endswith(_RUN_CODE[1]):
            return tuple(frames[:index])
    while frames and (_THREADING.search(frames[-1].file)):
        frames = frames[:-1]
    return tuple(frames)


def place_of(stack: tuple[Frame, ...]) -> Frame | None:
    """The innermost line that is neither the standard library's nor a package's; None: there is none.

    Memory that numpy takes is charged to the line that called numpy. A comprehension's line is named
    by the function around it.
    """
    for index, frame in enumerate(stack):
        if is_library(frame.file):
            continue
        if _name(frame) not in _COMPREHENSIONS:
            return frame
        around = next((f for f in stack[index + 1 :] if f.file == frame.file), frame)
        return frame.model_copy(update={"function": around.function})
    return None


def _name(frame: Frame) -> str:
    return (frame.function or "").rpartition(".")[2]


def is_library(file: str) -> bool:
    """Not the user's: packages, the standard library, and code that was made from strings."""
    if is_cell(file):
        return False
    if file.startswith("<") or not file.endswith(".py"):
        return True
    return bool(_LIBRARY.search(file))
