"""What a command asks of the machine, by psutil; the recorder does without its 3 MiB."""

from pathlib import Path

import psutil


def available_bytes() -> int:
    """Memory that can be had without swapping."""
    return int(psutil.virtual_memory().available)


def has_swap() -> bool:
    return bool(psutil.swap_memory().total)


def room_bytes(folder: Path) -> int:
    """What this user may still write there. Raises OSError where the folder can't be asked."""
    return int(psutil.disk_usage(str(folder)).free)


def one_of_each_user() -> dict[int, int]:
    """A process of each effective uid that runs any and can be seen."""
    found: dict[int, int] = {}
    for process in psutil.process_iter():
        try:
            found.setdefault(process.uids().effective, process.pid)
        except psutil.Error:
            continue
    return found
