"""Pieces of a message that a terminal, a mail or a pager broke to the message; nothing is guessed.

Pieces are joined only where the whole is a line that Linux prints and the first piece is not, or
tells less. So is a file name that holds newlines, by which a crash could be made to look like a kill.
"""

import re
from functools import lru_cache

from kerneld.parse import killers, oom_lines
from kerneld.parse.fault_table import TABLE
from kerneld.parse.kmsg_text import HEX

MAX_MESSAGE = 4096
"""characters of a message that is looked at: PRINTK_MESSAGE_MAX is 2048"""
MAX_NAME = 255 + len(" (deleted)")
"""NAME_MAX, and what d_path() adds"""
MAX_PIECES = 6

SEAM = 60
"""characters before a break: a needle may be cut there, or the head of a message stand there whole"""

NEEDLES = (
    "rocess ", "oom-kill", "segfault", "ip:", "unhandled ", "undefined instruction", "SIG",
    "fatal signal", "corrupt", "Xid (", "auid=", "lowmemorykiller", "dumped core", "Killed /",
    "bad frame", "killed as a", "victim", "Kill",
)  # fmt: skip
"""of these each line that tells of a death has one"""

_LINES = (
    ("illed process ", oom_lines.KILLED),
    ("oom-kill:", oom_lines.SUMMARY),
    ("ill process ", oom_lines.SCORED),
    ("invoked oom-k", oom_lines.INVOKED),
    ("Task in ", oom_lines.TASK_IN),
    ("Tasks in ", oom_lines.GROUP),
    ("Killed /", killers.OOMD[0]),
    *((" badness ", pattern) for pattern in killers.EARLYOOM[:2]),
    ("ending ", killers.EARLYOOM[3]),
    *(("Process ", pattern) for pattern in killers.COREDUMP),
    *((row.needle, row.pattern) for row in TABLE),
)
_ROW = re.compile(r"\[ *[0-9]{1,10}\](?: +-?[0-9]{1,18}){6,12} [^ ].{0,14}")
_NAMED = re.compile(
    r".{1,40}\](?:: segfault (?:at|\()| trap | general protection| control protection| bad frame in "
    r"|: unhandled |: (?:bus error|illegal instruction|floating point exception|unknown signal) \()"
    rf".{{1,300}}? in .{{1,{MAX_NAME + 40}}}",
    re.DOTALL,
)
_NAME_END = re.compile(rf".*\[(?:{HEX},)?{HEX}\+{HEX}\](?: likely on CPU.{{0,60}})?", re.DOTALL)
_BEGUN = re.compile(
    r"(?:Out of [Mm]emory|Memory cgroup out|Killed process|oom-kill:|Killed /|audit: type=1[37]"
    r"|NVRM: Xid|Memory failure: |.{1,30}\](?:: segfault| trap | general pro|: unhandled))"
)


@lru_cache(maxsize=64)
def told(text: str) -> int:
    """How much a message tells by itself: 0 for one that is none of a death."""
    if len(text) > MAX_MESSAGE or not any(needle in text for needle in NEEDLES):
        return 1 if text.startswith("[") and _ROW.fullmatch(text) else 0
    matches = [pattern.fullmatch(text) for needle, pattern in _LINES if needle in text]
    return max((_groups(found) for found in matches if found is not None), default=0)


def _groups(found: re.Match[str]) -> int:
    return 1 + sum(group is not None for group in found.groups())


def joined(pieces: list[str]) -> str | None:
    """The whole of the pieces, where it tells more than the first; blanks at a break may be lost."""
    if not _may_tell(pieces):
        return None
    first, last = told(pieces[0]), told(pieces[-1])
    if first and last:
        return None
    least = max(first, last)
    best: str | None = None
    for joint in ("", " "):
        whole = pieces[0]
        for piece in pieces[1:]:
            piece = piece.lstrip()
            whole = f"{whole.rstrip()} {piece}" if joint else f"{whole}{piece}"
        tells = told(whole)
        if tells > least:
            least, best = tells, whole
    return best


def _may_tell(pieces: list[str]) -> bool:
    """The last piece or the break before it holds a needle, or the first is a row or begins a death.

    A piece that itself begins a message does not go on with another.

    Nearly all pairs of lines are none: this costs 2 µs, a look at the whole 30.
    """
    first, last = pieces[0], pieces[-1]
    if _BEGUN.match(last) and not last.startswith("Killed"):
        return False
    if is_begun(first) or first.startswith("["):
        return True
    near = f"{pieces[-2][-SEAM:]}{last}" if len(last) < MAX_MESSAGE else ""
    return any(needle in near for needle in NEEDLES)


def may_tell(text: str) -> bool:
    """It may be a line of a death, or of an OOM report's table: nearly every other line is none."""
    return text.startswith("[") or any(needle in text for needle in NEEDLES)


@lru_cache(maxsize=64)
def names_object(text: str) -> bool:
    """A crash that names the file it happened in, as its user named it."""
    return " in " in text and "]" in text and _NAMED.fullmatch(text) is not None


def is_torn_name(text: str) -> bool:
    """A crash whose file's name is not closed by the addresses of its map: it may hold a newline."""
    return text[-1:] not in (">", "…") and names_object(text) and not ends_name(text)


def ends_name(text: str) -> bool:
    """The end of such a name."""
    return "+" in text and len(text) < MAX_MESSAGE and _NAME_END.fullmatch(text) is not None


def is_begun(text: str) -> bool:
    """It begins like a line of a death: more than one further piece may belong to it."""
    return _BEGUN.match(text) is not None
