"""The files of a database: private from their first byte, one daemon's at a time, never lost."""

import fcntl
import os
import stat
import time
from pathlib import Path

from kerneld.errors import AlreadyRunning, StoreError

SIBLINGS = ("", "-wal", "-shm")
RESERVE_BYTES = 1 << 20
"""given up on a full disk: with 256 KiB SQLite could not even delete, with 1 MiB it recovered"""


def is_there(path: Path) -> bool:
    """Whether a database is there; StoreError for what is no file and can never be one.

    A pipe in its place would hang whoever opens it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise StoreError(f"{path}: {problem.strerror}; name another one with --db") from None
    if stat.S_ISREG(status.st_mode):
        return True
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
    raise StoreError(f"{path}: it is {kind}; name a database's file with --db")


Identity = tuple[tuple[int, int] | None, ...]


def identity(path: Path) -> Identity:
    """Which files lie at a database's place and beside it: (device, inode), None where none does."""
    found: list[tuple[int, int] | None] = []
    for suffix in SIBLINGS:
        try:
            status = os.stat(f"{path}{suffix}")
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return tuple(found)


def is_barred(path: Path) -> bool:
    """Whether its folder lets nobody look; what was opened before takes commits all the same."""
    try:
        os.stat(path)
    except OSError as problem:
        return isinstance(problem, PermissionError)
    return False


def log_stamp(path: Path) -> tuple[int, int] | None:
    """The size and time of a database's log: of a database that is written to, they change."""
    try:
        status = os.stat(f"{path}-wal")
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def drop_orphans(path: Path, known: Identity) -> None:
    """Take away the log and index of a database that is no longer there.

    SQLite would read them into whatever database lies there now.
    """
    database, *siblings = identity(path)
    if not known or database == known[0]:
        return
    for suffix, before, now in zip(SIBLINGS[1:], known[1:], siblings, strict=True):
        if now is not None and now == before:
            os.unlink(f"{path}{suffix}")


def private_folder(folder: Path) -> None:
    """Make the folder 0700; refuse one in which others could plant the database's side files.

    A folder of kerneld's own is made with all above it; that of a database named by hand must be there.
    """
    try:
        missing = not folder.exists()
        if missing and folder.name != "kerneld":
            raise StoreError(f"{folder}: no such folder; make it, or name another place with --db")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.geteuid() and (missing or folder.name == "kerneld"):
            os.chmod(folder, 0o700)
            return
    except OSError as problem:
        raise StoreError(f"{folder}: {problem.strerror}; name another place with --db") from None
    others = stat.S_IWOTH | (stat.S_IWGRP if os.geteuid() == 0 else 0)
    if status.st_mode & others or status.st_uid not in (0, os.geteuid()):
        raise StoreError(
            f"{folder}: others may write there, and could put a link in the database's place; "
            "name a folder of your own with --db"
        )


def private_file(path: Path, flags: int = 0) -> int:
    """Open a file, made 0600 whatever the umask; never through a link. The caller closes it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError as problem:
        raise StoreError(f"{path}: {problem.strerror}") from None
    if stat.S_IMODE(os.fstat(fd).st_mode) != 0o600 and os.fstat(fd).st_uid == os.geteuid():
        os.fchmod(fd, 0o600)
    return fd


def lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def take_lock(path: Path) -> int:
    """The descriptor that holds this database for one daemon; closing it, or death, frees it."""
    fd = private_file(lock_of(path))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise AlreadyRunning(
            f"{path}: another kerneld daemon (pid {holder}) holds this database; "
            "stop it, or name another one with --db"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def still_locked(path: Path, lock: int) -> bool:
    """Whether this lock is the one that a second daemon would meet."""
    try:
        there = os.stat(lock_of(path))
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(lock))


def set_aside(path: Path) -> Path:
    """Rename a damaged database, with what belongs to it; nothing of it is deleted."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}-{time.monotonic_ns() % 1_000_000:06}")
    for suffix in SIBLINGS:
        try:
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        except FileNotFoundError:
            continue
    return aside


def left_behind(path: Path) -> list[Path]:
    """Databases set aside and backups of older schemas, oldest first: they hold users' code too."""
    found = [
        entry
        for pattern in (f"{path.name}.corrupt-*", f"{path.name}.v*.bak")
        for entry in path.parent.glob(pattern)
    ]
    return sorted(found, key=lambda entry: entry.lstat().st_mtime)


def keep_reserve(path: Path) -> None:
    """Room that a full disk gives back: one more death can then be stored."""
    reserve = path.with_name(f"{path.name}.reserve")
    fd = private_file(reserve)
    try:
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
    except OSError:
        os.unlink(reserve)
    finally:
        os.close(fd)


def give_up_reserve(path: Path) -> bool:
    """Whether there was a reserve, and it is free space now."""
    try:
        os.unlink(path.with_name(f"{path.name}.reserve"))
    except FileNotFoundError:
        return False
    return True
