"""One fault to its function and its package: what is opened for that, and what is asked of it.

A generator that yields questions, which the reader process answers: files are only opened here.
"""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from kerneld.errors import UnsafeFile
from kerneld.model.effects import PlaceFault
from kerneld.model.place import CrashTrace, FaultPlace, MappedFile, WrittenFile
from kerneld.model.wire import LibraryParsed
from kerneld.parse.packages import Package, conda_metas, dist_infos
from kerneld.parse.procfs import storable
from kerneld.proc.dpkg import dpkg_owner
from kerneld.proc.files import names_in, open_below, open_folder, open_mapped
from kerneld.sources.rpm import rpm_owner

MOST_PAPERS, MOST_NAMES = 3000, 20_000
AT_ONCE = 16
MAX_PAPER_BYTES = 16 << 20
MAX_PATH_BYTES = 1024
TRACE_WINDOW = timedelta(seconds=2)
"""between its last line and the end of the process a core may be dumped"""
_PYTHON_FOLDERS = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Question:
    """What the reader is asked about a file; fd: whoever gets the question closes it."""

    asks: Literal["symbol", "record", "metadata", "conda", "trace"]
    fd: int
    handle: int | None = None
    offset: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Traces:
    """Files that faulthandler may have written to; handle: of the kernel's cells."""

    files: tuple[WrittenFile, ...] = ()
    handle: int | None = None


Answers = tuple[LibraryParsed | None, ...]
"""one for each question, None where none came in time"""
Steps = Generator[tuple[Question, ...], Answers, FaultPlace]
Search = Generator[tuple[Question, ...], Answers, Package | None]


def placed(order: PlaceFault, mapped: MappedFile | str | None, traces: Traces) -> Steps:
    """Everything that can be found out, and what can't.

    mapped: the file that the address was in, or why that is not known; None: there is no address.
    """
    place = FaultPlace(ip=order.ip)
    if isinstance(mapped, str):
        place = _with(place, unknown=(mapped,))
    elif mapped is not None:
        place = yield from _placed(order, mapped)
    trace = yield from _trace(order, traces)
    return _with(place, trace=trace)


def _placed(order: PlaceFault, mapped: MappedFile) -> Steps:
    offset = int(order.ip or "", 16) - mapped.start + mapped.offset
    found = FaultPlace(ip=order.ip, path=storable(mapped.path), offset=offset)
    try:
        if mapped.is_deleted:
            raise UnsafeFile("it was deleted or replaced while it was mapped")
        fd = open_mapped(mapped.path, inode=mapped.inode, user_uid=order.uid)
    except (UnsafeFile, OSError) as problem:
        return _with(found, unknown=(f"{order.object}: {_words(problem)}",))
    is_roots = os.fstat(fd).st_uid == 0
    (symbol,) = yield (Question("symbol", fd, offset=offset),)
    package = yield from _package(mapped.path, order.uid, is_roots)
    name = order.object or mapped.name
    return _with(
        found,
        symbol=symbol.symbol if symbol else None,
        package=package[0] if package else None,
        version=package[1] if package else None,
        unknown=tuple(_unknown(name, symbol, package)),
    )


def _with(place: FaultPlace, **fields: object) -> FaultPlace:
    return place.model_copy(update=fields)


def _words(problem: UnsafeFile | OSError) -> str:
    if isinstance(problem, UnsafeFile):
        return str(problem)
    return os.strerror(problem.errno) if problem.errno else type(problem).__name__


def _unknown(name: str, symbol: LibraryParsed | None, package: Package | None) -> Iterator[str]:
    if symbol is None:
        yield f"the function in {name}: the reader process did not answer"
    elif symbol.problem:
        yield f"the function in {name}: {symbol.problem}"
    if package is None:
        yield f"the package of {name}: no list of pip, conda, dpkg or rpm has the file"


# ---------------------------------------------------------------- faulthandler's file


def _trace(
    order: PlaceFault, traces: Traces
) -> Generator[tuple[Question, ...], Answers, CrashTrace | None]:
    """Of the files that the process had open, one that was last written to as it died."""
    opened: list[tuple[str, datetime, Question]] = []
    for file in traces.files:
        try:
            fd = open_mapped(file.path, inode=file.inode, user_uid=order.uid)
        except (UnsafeFile, OSError):
            continue
        at = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
        if abs(at - order.died_at) > TRACE_WINDOW:
            os.close(fd)
            continue
        opened.append((file.path, at, Question("trace", fd, handle=traces.handle)))
    answers = (yield tuple(question for _, _, question in opened)) if opened else ()
    for (path, at, _), told in zip(opened, answers, strict=True):
        if told is not None and told.said is not None:
            return CrashTrace(
                at=at,
                file=storable(path),
                said=told.said,
                frames=told.frames,
                native_stack=told.native_stack,
            )
    return None


# ---------------------------------------------------------------- the package


@dataclass(frozen=True, slots=True)
class _Papers:
    """Files below a folder, one a package, each of which may list the path. uid: who may read them."""

    folder: str
    names: list[str]
    asks: Literal["record", "metadata", "conda"]
    path: str
    uid: int


def _package(path: str, uid: int, is_roots: bool) -> Search:
    """dpkg's or rpm's for what root installed, else pip's, else conda's."""
    package = (dpkg_owner(path) or rpm_owner(path)) if is_roots else None
    if package is not None or len(os.fsencode(path)) > MAX_PATH_BYTES:
        return package
    for folder in _python_folders(path):
        package = yield from _wheel(folder, path, uid)
        if package is not None:
            return package
    for prefix in _parents(path):
        package = yield from _conda(prefix, path, uid)
        if package is not None:
            return package
    return None


def _wheel(folder: str, path: str, uid: int) -> Search:
    relative = os.path.relpath(path, folder)
    infos = dist_infos(_names(folder), relative)
    papers = _Papers(folder, [f"{info}/RECORD" for info in infos], "record", relative, uid)
    owner = yield from _owner(papers)
    if owner is None:
        return None
    name = f"{os.path.dirname(owner[0])}/METADATA"
    told = yield from _owner(_Papers(folder, [name], "metadata", relative, uid))
    return told[1] if told else None


def _conda(prefix: str, path: str, uid: int) -> Search:
    folder = os.path.join(prefix, "conda-meta")
    metas = conda_metas(_names(folder), path)
    owner = yield from _owner(_Papers(folder, metas, "conda", os.path.relpath(path, prefix), uid))
    return owner[1] if owner else None


def _owner(
    papers: _Papers,
) -> Generator[tuple[Question, ...], Answers, tuple[str, Package | None] | None]:
    """The first of them that lists the path, and its package where it says that, too."""
    if not papers.names:
        return None
    try:
        folder = open_folder(papers.folder)
    except (UnsafeFile, OSError):
        return None
    path = os.fsencode(papers.path).decode("latin-1")
    names = papers.names[:MOST_PAPERS]
    try:
        for first in range(0, len(names), AT_ONCE):
            opened = [
                (name, Question(papers.asks, fd, path=path))
                for name in names[first : first + AT_ONCE]
                if (fd := _open(folder, name, papers.uid)) is not None
            ]
            answers = (yield tuple(question for _, question in opened)) if opened else ()
            for (name, _), answer in zip(opened, answers, strict=True):
                if answer is not None and answer.owns:
                    package = (answer.package or "", answer.version or "")
                    return name, package if answer.package else None
    finally:
        os.close(folder)
    return None


def _open(folder: int, name: str, uid: int) -> int | None:
    try:
        return open_below(folder, name, user_uid=uid, most_bytes=MAX_PAPER_BYTES)
    except (UnsafeFile, OSError):
        return None


def _parents(path: str) -> Iterator[str]:
    """Every folder above, nearest first, as far as /."""
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _python_folders(path: str) -> Iterator[str]:
    """Where its wheel's metadata may stand: beside its top folder, or beside a lib/ that it is in."""
    for folder in _parents(path):
        name = os.path.basename(folder)
        yield folder
        if name in _PYTHON_FOLDERS:
            return
        if name in ("lib", "lib64"):
            for python in _names(folder):
                if python.startswith("python3."):
                    yield f"{folder}/{python}/site-packages"


def _names(path: str) -> list[str]:
    try:
        folder = open_folder(path)
    except (UnsafeFile, OSError):
        return []
    try:
        return names_in(folder, most=MOST_NAMES)
    except OSError:
        return []
    finally:
        os.close(folder)
