"""Runtime directories into the connection files that appear in them (inotify, by watchdog)."""

import logging
import os
import pwd
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from watchdog.events import (
    DirDeletedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from kerneld.model.process import Process
from kerneld.proc.files import is_own_folder

MAX_WATCHES, MAX_WATCHES_OF_USER = 64, 4
"""each costs two threads; a user's folders beyond are only listed"""
MAX_FOLDERS_OF_USER = 16
MAX_PENDING = 1024
"""of one user"""
MAX_FILES_LISTED = 4096
FLOOD_EVENTS = 8192
"""inotify's queue of 16,384 is one for all folders: after so many events some may be lost"""
_EVENTS = [DirDeletedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileMovedEvent]
log = logging.getLogger(__name__)

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


def folders_of(process: Process) -> list[str]:
    """The same for a process, by its own environment."""
    home = process.environ.get("HOME") or _home(process.uid)
    return runtime_folders(process.environ, home, process.uid)


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/nonexistent"


def homes_of_people() -> list[tuple[int, str]]:
    """(uid, home) of root and of every account that a person may log in to."""
    return [(p.pw_uid, p.pw_dir) for p in pwd.getpwall() if p.pw_uid == 0 or 1000 <= p.pw_uid < 60000]


class Folders(FileSystemEventHandler):
    """Watched folders, each with its owner. New names are collected; the wake is cheap and repeated."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._observer = Observer()
        self._owners: dict[str, int] = {}
        self._watches: dict[str, ObservedWatch] = {}
        self._changed: dict[int, deque[str]] = {}
        self._events = 0
        self._gone: deque[str] = deque(maxlen=MAX_PENDING)

    def start(self) -> None:
        self._observer.start()

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join(timeout=2)

    def add(self, folder: str, uid: int) -> None:
        """Watch a folder of this user, if it is one: no link, and the user's own."""
        if folder in self._owners or self._count(self._owners, uid) >= MAX_FOLDERS_OF_USER:
            return
        if not is_own_folder(folder, uid):
            return
        self._owners[folder] = uid
        if len(self._watches) < MAX_WATCHES and self._count(self._watches, uid) < MAX_WATCHES_OF_USER:
            try:
                self._watches[folder] = self._observer.schedule(self, folder, event_filter=_EVENTS)
            except OSError as problem:  # it went away this instant, or inotify has no room
                log.info("%s is listed, not watched: %s", folder, problem.strerror)
        self._list(folder)

    def _count(self, folders: Iterable[str], uid: int) -> int:
        return sum(self._owners[folder] == uid for folder in folders)

    def missed(self) -> None:
        """What was told found no room: the next look lists everything again."""
        self._events = FLOOD_EVENTS + 1

    def look(self, only_uid: int | None, extra: Iterable[str]) -> None:
        """The folders of everybody who may run kernels; new users and new folders are noticed."""
        self._forget_missing()
        self._list_unwatched()
        if only_uid is not None:
            own = runtime_folders(os.environ, os.path.expanduser("~"), only_uid)
            for folder in (*own, *extra):
                self.add(folder, only_uid)
            return
        for uid, home in homes_of_people():
            for folder in runtime_folders({}, home, uid):
                self.add(folder, uid)
        for folder in extra:
            if os.path.isdir(folder):
                self.add(folder, os.lstat(folder).st_uid)

    def _forget_missing(self) -> None:
        """Folders that went away are watched again when they come back, as others under their names."""
        gone = {self._gone.popleft() for _ in range(len(self._gone))}
        for folder, uid in list(self._owners.items()):
            if folder in gone or not is_own_folder(folder, uid):
                del self._owners[folder]
                watch = self._watches.pop(folder, None)
                if watch is not None:
                    self._observer.unschedule(watch)

    def _list_unwatched(self) -> None:
        """The folders beyond the limit of watches, by listing; all of them after a flood."""
        flood, self._events = self._events > FLOOD_EVENTS, 0
        for folder in list(self._owners):
            if flood or folder not in self._watches:
                self._list(folder)

    def _list(self, folder: str) -> None:
        for path in _listed(folder):
            self._note(path)
        self._wake()

    def _note(self, path: str) -> None:
        """Called by the observer's thread as well: a user's flood pushes out that user's own news."""
        uid = self._owners.get(os.path.dirname(path))
        if uid is not None:
            self._changed.setdefault(uid, deque(maxlen=MAX_PENDING)).append(path)

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._events += 1
        if event.is_directory and os.fsdecode(event.src_path) in self._owners:
            self._gone.append(os.fsdecode(event.src_path))
        for path in map(os.fsdecode, (event.src_path, event.dest_path)):
            if not event.is_directory and _NAME.fullmatch(os.path.basename(path)):
                self._note(path)
                self._wake()

    def changed(self) -> Iterable[tuple[int, str]]:
        """(owner, path) of every file that appeared, was written or removed since the last call."""
        for uid, paths in list(self._changed.items()):
            fresh = dict.fromkeys(paths.popleft() for _ in range(len(paths)))
            for path in fresh:
                yield uid, path


def _listed(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, n) for n in names[:MAX_FILES_LISTED] if _NAME.fullmatch(n)]
