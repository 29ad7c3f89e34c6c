"""Jupyter's runtime folders into whether their connection files can be watched and opened."""

import ctypes
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kerneld.discover.folders import homes_of_people, runtime_folders
from kerneld.doctor.check import RUN_AS_ROOT, Check
from kerneld.errors import UnsafeFile
from kerneld.model.vocabulary import Mode
from kerneld.proc.files import is_slow, open_connection_file

NAME = "connection files"
LOST_FILES = "Kernels are found by their processes, without notebook and cell."
_IN_CREATE = 0x100
_IN_CLOEXEC = os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    uid: int


def connection_files(mode: Mode, extra_folders: Iterable[str]) -> Check:
    """Each folder is watched for a moment, each file in it opened as the daemon would."""
    folders = list(_folders(mode, extra_folders))
    slow = [folder.path for folder in folders if is_slow(folder.path)]
    if slow:
        return Check(
            name=NAME,
            works=False,
            says=f"{slow[0]} is on a network filesystem, where opening can hang",
            costs=LOST_FILES,
            remedy="export JUPYTER_RUNTIME_DIR=/run/user/$(id -u)/jupyter",
        )
    there = [folder for folder in folders if os.path.isdir(folder.path)]
    if not there:
        says = f"no Jupyter has run here yet (no {folders[0].path})"
        return Check(name=NAME, works=None, says=says)
    problem = _watch_problem(there)
    if problem:
        return problem
    return _opened(there)


def _folders(mode: Mode, extra_folders: Iterable[str]) -> Iterable[_Folder]:
    own = os.geteuid()
    for path in runtime_folders(os.environ, str(Path.home()), own):
        yield _Folder(path, own)
    for path in extra_folders:
        yield _Folder(path, own)
    if mode is Mode.SYSTEM:
        for uid, home in homes_of_people():
            for path in runtime_folders({}, home, uid) if uid != own else ():
                yield _Folder(path, uid)


def _watch_problem(folders: list[_Folder]) -> Check | None:
    fd = _libc.inotify_init1(_IN_CLOEXEC)
    if fd < 0:
        return Check(
            name=NAME,
            works=False,
            says=f"no folder can be watched: {os.strerror(ctypes.get_errno())}",
            costs="A kernel's file is seen late.",
            remedy="sudo sysctl fs.inotify.max_user_instances=512",
        )
    try:
        for folder in folders:
            if _libc.inotify_add_watch(fd, os.fsencode(folder.path), _IN_CREATE) < 0:
                says = f"{folder.path} can't be watched: {os.strerror(ctypes.get_errno())}"
                return Check(name=NAME, works=False, says=says, costs=LOST_FILES, remedy=_as_root())
    finally:
        os.close(fd)
    return None


def _opened(folders: list[_Folder]) -> Check:
    files = refused = 0
    reason = ""
    for folder in folders:
        try:
            names = os.listdir(folder.path)
        except OSError as problem:
            says = f"{folder.path}: {problem.strerror}"
            return Check(name=NAME, works=False, says=says, costs=LOST_FILES, remedy=_as_root())
        for name in names:
            if not (name.startswith("kernel-") and name.endswith(".json")):
                continue
            files += 1
            try:
                os.close(open_connection_file(f"{folder.path}/{name}", owner_uid=folder.uid))
            except (OSError, UnsafeFile) as problem:
                refused += 1
                reason = reason or f"{folder.path}/{name}: {problem}"
    if refused:
        says = f"{refused} of {files} can't be opened, such as {reason}"
        return Check(name=NAME, works=False, says=says, costs=LOST_FILES)
    places = folders[0].path if len(folders) == 1 else f"{len(folders)} folders"
    return Check(name=NAME, works=True, says=f"{places}, {files} opened" if files else places)


def _as_root() -> str:
    return "" if os.geteuid() == 0 else RUN_AS_ROOT
