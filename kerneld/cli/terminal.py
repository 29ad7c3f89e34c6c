"""This terminal: how wide, which zone, whether in colour; and the two ways to speak to it."""

import errno
import os
import shutil
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from io import TextIOWrapper
from zoneinfo import ZoneInfo

from kerneld.outputs.safe import safe_text
from kerneld.outputs.view import View

LEAST_WIDTH = 40


def view() -> View:
    """How this reader looks now."""
    width = max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns)
    return View(datetime.now(UTC), local_zone(), width, _has_colour())


def _has_colour() -> bool:
    """On a terminal, unless https://no-color.org is asked for."""
    if sys.stdout is None:  # it was closed before the start
        return False
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def local_zone() -> tzinfo:
    """The machine's zone with its rules: an offset of today would tell last summer's hours wrong."""
    name = os.environ.get("TZ")
    try:
        if name:
            return ZoneInfo(name.lstrip(":"))
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError, KeyError):
        return datetime.now().astimezone().tzinfo or UTC


def say(text: str | Iterable[str]) -> None:
    """Write to stdout; what its encoding lacks is shown escaped."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for piece in [text] if isinstance(text, str) else text:
        sys.stdout.write(piece)
    sys.stdout.flush()


def complain(text: str) -> None:
    """To stderr; each line says who speaks."""
    if sys.stderr is None:  # it was closed before the start
        return
    sys.stderr.writelines(f"kerneld: {safe_text(line)}\n" for line in text.splitlines())
