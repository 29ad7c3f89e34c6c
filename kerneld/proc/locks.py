"""/proc/locks and a lock file's own word into the process that holds it."""

import os
from pathlib import Path

from kerneld.parse.locks import flock_holders

_LONGEST_PID = 32


def lock_holder(path: Path, *, proc_root: str = "/proc") -> int | None:
    """The pid that stands in the file, where Linux says that this process holds it by flock(2) now.

    The lock is not tried: a daemon that starts at that moment would find it taken.
    """
    try:
        with open(path, "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            said = file.read(_LONGEST_PID).strip()
        with open(f"{proc_root}/locks", "rb") as locks:
            holders = flock_holders(locks.read(), inode)
    except OSError:
        return None
    return int(said) if said.isdigit() and int(said) in holders else None
