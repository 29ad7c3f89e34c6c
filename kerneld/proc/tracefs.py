"""Tracing instances below tracefs: one is made to tell who sends deadly signals, opened and removed.

Source: https://docs.kernel.org/trace/ftrace.html#instances. An instance has a buffer, a clock and a
filter of its own, so nobody else's tracing is touched. Making one takes root, reading it root or
CAP_DAC_READ_SEARCH: the folder above is 0700.
"""

import contextlib
import os

ROOTS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
SHARED = "kerneld"
"""the instance that the unit's privileged pre-start makes for the service"""
_EVENT = "events/signal/signal_generate"
_SETTINGS = (
    # SIGKILL by Linux itself (code 128), all others only from system calls: faults are in the log
    (
        f"{_EVENT}/filter",
        "sig==9 || (code<=0 && (sig<=8 || sig==11 || sig==15 || sig==24 || sig==25 || sig==31))",
    ),
    ("trace_clock", "mono"),
    ("buffer_size_kb", "64"),
    ("buffer_percent", "0"),  # from 5.0: a reader wakes at the first record, not at a half-full buffer
    (f"{_EVENT}/enable", "1"),
)
_OPTIONAL = frozenset({"buffer_percent"})


def tracefs_root() -> str | None:
    """Where tracefs is mounted, None where it is not."""
    return next((root for root in ROOTS if os.path.isdir(f"{root}/instances")), None)


def make_instance(root: str, name: str) -> str:
    """Make the instance, or set up the one that is there; its folder. Raises OSError."""
    folder = f"{root}/instances/{name}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o750)
    for file, value in _SETTINGS:
        try:
            _write(f"{folder}/{file}", value)
        except FileNotFoundError:
            if file not in _OPTIONAL:
                raise
    return folder


def remove_instance(root: str, name: str) -> None:
    """Remove it, if it is there and nobody has its pipe open. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(f"{root}/instances/{name}")


def instances(root: str) -> list[str]:
    """The names of all instances, anybody's; empty where they may not be listed."""
    try:
        return sorted(os.listdir(f"{root}/instances"))
    except OSError:
        return []


def open_pipe(folder: str) -> int:
    """A descriptor whose reads take records out of the buffer; it never blocks. Raises OSError."""
    return os.open(f"{folder}/trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
