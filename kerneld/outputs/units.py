"""Times, durations and sizes as people read them."""

import signal
from datetime import datetime, timedelta

from kerneld.model.sizes import gib
from kerneld.outputs.view import View


def when(at: datetime, view: View) -> str:
    """`today 14:03`, `Nov 21 09:12`, `Nov 21 2025`: at most 12 columns."""
    local, today = at.astimezone(view.zone), view.now.astimezone(view.zone)
    if local.date() == today.date():
        return f"today {local:%H:%M}"
    return f"{local:%b %d %H:%M}" if local.year == today.year else f"{local:%b %d %Y}"


def when_exactly(at: datetime, view: View) -> str:
    """`today 14:03:22.118`, `Nov 21 09:12:00.000`, `2025-11-21 09:12:00.000`."""
    local, today = at.astimezone(view.zone), view.now.astimezone(view.zone)
    if local.date() == today.date():
        return f"today {clock(at, view)}"
    day = f"{local:%b %d}" if local.year == today.year else f"{local:%Y-%m-%d}"
    return f"{day} {clock(at, view)}"


def clock(at: datetime, view: View) -> str:
    """`14:03:22.118`, in the reader's zone."""
    return at.astimezone(view.zone).isoformat(sep=" ", timespec="milliseconds")[11:23]


def duration(span: float | timedelta) -> str:
    """Seconds for people: `0.4 s`, `42 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 0.95:
        return "0 s" if seconds <= 0 else f"{max(seconds, 0.001):.1g} s"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def size(size_bytes: int | None) -> str:
    """`4.0 GiB`; an unknown is an empty string."""
    return "" if size_bytes is None else gib(size_bytes)


def growth(size_bytes: float) -> str:
    """A change of size with its sign: `+3.6 GiB`, `-12 MiB`."""
    return f"{'-' if size_bytes < 0 else '+'}{gib(abs(round(size_bytes)))}"


def of_limit(size_bytes: int | None, limit_bytes: int | None, joint: str = " / ") -> str:
    """`4.0 / 4.0 GiB`, `410 MiB / 4.0 GiB`, `410 MiB` without a limit."""
    if size_bytes is None or limit_bytes is None:
        return size(size_bytes)
    value, limit = gib(size_bytes), gib(limit_bytes)
    number, _, unit = value.partition(" ")
    return f"{number}{joint}{limit}" if limit.endswith(unit) else f"{value}{joint}{limit}"


def signal_name(number: int) -> str:
    """9 to `SIGKILL`; a number without a name stays a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
