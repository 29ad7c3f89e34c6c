"""What Python's faulthandler writes at a fatal signal, into the crashed thread's stack.

Source: `faulthandler_fatal_error` and `_Py_DumpTracebackThreads` in
https://github.com/python/cpython/blob/3.14/Modules/faulthandler.c and Python/traceback.c
"""

import re
from dataclasses import dataclass

from kerneld.model.growth import Frame
from kerneld.model.place import TRACE_KINDS
from kerneld.parse.stacks import MAX_FILE_CHARS, MAX_FRAMES, MAX_NAME_CHARS, users_part

MAX_TAIL_BYTES = 256 * 1024
"""of a file: 100 threads of 100 frames; faulthandler itself stops there"""
MAX_NATIVE_CHARS = 4000
_HEAD = "Fatal Python error: "
_CURRENT = re.compile(r"Current thread 0x[0-9a-f]{1,16} (?:\[.{0,40}\] )?\(most recent call first\):")
_NATIVE = "Current thread's C stack trace (most recent call first):"
_FRAME = re.compile(
    r'  File "(?P<file>.{1,1000})", line (?P<line>[0-9]{1,9}|\?\?\?) in (?P<name>.{1,1000})'
)


@dataclass(frozen=True, slots=True)
class Trace:
    """said: one of TRACE_KINDS; frames: the user's part, outermost first."""

    said: str
    frames: tuple[Frame, ...]
    native_stack: str | None


def parse_trace(tail: bytes) -> Trace | None:
    """The last one in a file's end; None: there is none. It is a user's file, and may say anything."""
    _, head, text = tail.decode("utf-8", "replace").rpartition(_HEAD)
    lines = text.split("\n")
    if not head or lines[0] not in TRACE_KINDS:
        return None
    begin = next((i for i, line in enumerate(lines, 1) if _CURRENT.fullmatch(line)), len(lines))
    frames: list[Frame] = []
    for line in lines[begin:]:
        found = _FRAME.fullmatch(line)
        if found is None:
            break
        number = int(found["line"]) if found["line"].isdigit() else None
        name, file = found["name"][-MAX_NAME_CHARS:], found["file"][-MAX_FILE_CHARS:]
        frames.append(Frame(function=name, file=file, line=number or None))
    native = _native(lines)
    return Trace(lines[0], tuple(reversed(users_part(frames)[:MAX_FRAMES])), native)


def _native(lines: list[str]) -> str | None:
    if _NATIVE not in lines:
        return None
    rest = lines[lines.index(_NATIVE) + 1 :]
    end = next((i for i, line in enumerate(rest) if not line.startswith("  ")), len(rest))
    return "\n".join(line.strip() for line in rest[:end])[:MAX_NATIVE_CHARS] or None
