"""Runtime directories into the connection files that appear in them (inotify, by watchdog)."""

import os
import pwd
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from kerneld.proc.files import is_slow

MAX_WATCHES = 64
"""each costs an inotify instance, of which a user has 128; folders beyond are only listed"""
MAX_PENDING = 4096
MAX_FILES_LISTED = 4096
_NAME = re.compile(r"(kernel|tmp)[-\w]*\.json")


def runtime_folders(environ: Mapping[str, str], home: str, uid: int) -> list[str]:
    """Where a user's kernels keep their files: jupyter_core's rules, its old place included."""
    data = environ.get("JUPYTER_DATA_DIR")
    if not data:
        data = os.path.join(
            environ.get("XDG_DATA_HOME") or os.path.join(home, ".local/share"), "jupyter"
        )
    runtime = environ.get("JUPYTER_RUNTIME_DIR") or os.path.join(data, "runtime")
    return [path for path in (runtime, f"/run/user/{uid}/jupyter") if os.path.isabs(path)]


def homes_of_people() -> list[tuple[int, str]]:
    """(uid, home) of root and of every account that a person may log in to."""
    return [(p.pw_uid, p.pw_dir) for p in pwd.getpwall() if p.pw_uid == 0 or 1000 <= p.pw_uid < 60000]


class Folders(FileSystemEventHandler):
    """Watched folders, each with its owner. New names are collected; the wake is cheap and repeated."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._observer = Observer()
        self._owners: dict[str, int] = {}
        self._changed: deque[str] = deque(maxlen=MAX_PENDING)
        self._watched: set[str] = set()

    def start(self) -> None:
        self._observer.start()

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join(timeout=2)

    def add(self, folder: str, uid: int) -> None:
        """Watch a folder of this user, if it is one: no link, and the user's own."""
        if folder in self._watched or not _is_own_folder(folder, uid):
            return
        self._owners[folder] = uid
        self._watched.add(folder)
        if len(self._watched) <= MAX_WATCHES:
            self._observer.schedule(self, folder)
        self._changed.extend(_listed(folder))
        self._wake()

    def forget_missing(self) -> None:
        """Folders that went away are watched again when they come back."""
        for folder in [f for f in self._watched if not os.path.isdir(f)]:
            self._watched.discard(folder)

    def list_unwatched(self) -> None:
        """The folders beyond the limit of watches, by listing."""
        if len(self._watched) > MAX_WATCHES:
            for folder in self._watched:
                self._changed.extend(_listed(folder))

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("opened", "closed_no_write") or event.is_directory:
            return
        path = os.fsdecode(event.src_path)
        if _NAME.fullmatch(os.path.basename(path)):
            self._changed.append(path)
            self._wake()

    def changed(self) -> Iterable[tuple[int, str]]:
        """(owner, path) of every file that appeared, was written or removed since the last call."""
        seen = set()
        while self._changed:
            path = self._changed.popleft()
            if path not in seen:
                seen.add(path)
                yield self._owners.get(os.path.dirname(path), -1), path


def _listed(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, n) for n in names[:MAX_FILES_LISTED] if _NAME.fullmatch(n)]


def _is_own_folder(folder: str, uid: int) -> bool:
    if is_slow(folder):
        return False
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid
