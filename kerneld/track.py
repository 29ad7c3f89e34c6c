"""Facts about the living into their roles, and into deaths when they end.

Among the processes that name one connection file, the kernel is the one that listens on its ports
and has no ancestor that does. Before anybody listens: a process with the command line of its own
ancestor is a fork of it (a worker); one with another command line makes that ancestor a wrapper.
"""

import re
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kerneld.model.death import Death, Successor
from kerneld.model.effects import (
    CloseFd,
    Effect,
    FindListener,
    ForgetMemory,
    Listen,
    ProbePorts,
    ReadConnection,
    ReleaseFile,
    SampleMemory,
    WatchExit,
    WatchFile,
)
from kerneld.model.facts import (
    CellFailed,
    CellStarted,
    ConnectionRead,
    Fact,
    FileOpened,
    KernelStatus,
    ListenState,
    PortsHeard,
    ProcessChanged,
    ProcessEnded,
    ProcessSeen,
    ServerSeen,
    SessionFact,
    ShutdownAnnounced,
)
from kerneld.model.living import TrackedLife
from kerneld.model.process import Connection, Kernel, Process, ProcessKey, Server
from kerneld.model.session import Session
from kerneld.model.vocabulary import Scope, ServerKind

FILE_KEPT = timedelta(seconds=60)
KERNEL_ROLE, WRAPPER_ROLE, WORKER_ROLE = "kernel", "wrapper", "worker"
_FILE_UUID = re.compile(
    r"/kernel-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.json$"
)


@dataclass(slots=True)
class Moves:
    """What one fact led to. tracked: lives to be kept in the database; gone: to be dropped."""

    effects: list[Effect] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    successors: list[Successor] = field(default_factory=list)
    tracked: list[TrackedLife] = field(default_factory=list)
    gone: list[ProcessKey] = field(default_factory=list)


@dataclass(slots=True)
class _Life:
    """One process that names a connection file."""

    seen: ProcessSeen
    role: str
    watched_since: datetime
    confirmed: bool = False

    @property
    def pid(self) -> int:
        return self.seen.process.pid


@dataclass(slots=True)
class _File:
    """One connection file: what it says, who names it, what its kernel last said."""

    owner_uid: int
    path: str
    connection: Connection | None = None
    problem: str = ""
    listening: bool = False
    lives: dict[ProcessKey, _Life] = field(default_factory=dict)
    confirmed_pids: deque[int] = field(default_factory=lambda: deque(maxlen=8))
    ended_kernels: int = 0
    session: Session = field(default_factory=Session)
    empty_since: datetime | None = None


class Tracker:
    """Who lives, and as what. Pure: facts in, moves out."""

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._files: dict[int, _File] = {}
        self._handle_of: dict[ProcessKey, int] = {}
        self._servers: dict[ProcessKey, TrackedLife] = {}

    def feed(self, fact: Fact) -> Moves:
        moves = Moves()
        match fact:
            case ProcessSeen():
                self._process_seen(fact, moves)
            case ProcessChanged():
                self._process_changed(fact, moves)
            case FileOpened():
                self._file_opened(fact, moves)
            case ConnectionRead():
                self._connection_read(fact, moves)
            case PortsHeard():
                self._ports_heard(fact, moves)
            case ProcessEnded():
                self._process_ended(fact, moves)
            case KernelStatus() | CellStarted() | CellFailed() | ShutdownAnnounced() | ListenState():
                self._session_fact(fact)
        return moves

    def kernels(self) -> list[tuple[Kernel, Session]]:
        """The living kernels with what they last said."""
        return [
            (self._kernel(life, file), file.session)
            for file in self._files.values()
            for life in file.lives.values()
            if life.role == KERNEL_ROLE
        ]

    def kernel_of(self, handle: int) -> tuple[ProcessKey, Session] | None:
        """The kernel that serves this file now, and what it last said."""
        file = self._files.get(handle)
        if file is None:
            return None
        for key, life in file.lives.items():
            if life.role == KERNEL_ROLE:
                return key, file.session
        return None

    # ------------------------------------------------------------------ processes

    def _process_seen(self, seen: ProcessSeen, moves: Moves) -> None:
        process = seen.process
        file = self._files.setdefault(seen.handle, _File(process.uid, seen.connection_file or ""))
        file.problem = file.problem or seen.file_problem
        file.empty_since = None
        known = file.lives.get(process.key)
        if known is not None:
            moves.effects.append(CloseFd(seen.pidfd))
            known.seen = seen
            known.role = self._role_of(seen, file, moves)
        else:
            moves.effects.append(WatchExit(process.key, seen.pidfd))
            known = _Life(seen, self._role_of(seen, file, moves), seen.at)
            file.lives[process.key] = known
            self._handle_of[process.key] = seen.handle
        if seen.server is not None:
            self._server_seen(seen.server, seen.at, moves)
        if known.role == KERNEL_ROLE:
            self._kernel_seen(known, file, moves)

    def _process_changed(self, changed: ProcessChanged, moves: Moves) -> None:
        handle = self._handle_of.get(changed.process.key)
        if handle is None:
            return
        file = self._files[handle]
        life = file.lives[changed.process.key]
        life.seen = replace(life.seen, process=changed.process)
        if life.role == KERNEL_ROLE:
            moves.effects.append(SampleMemory(changed.process))
            moves.tracked.append(self._tracked(life, file))

    def _role_of(self, seen: ProcessSeen, file: _File, moves: Moves) -> str:
        """The role of a process among those that name its file; ancestors may become wrappers."""
        if seen.orphaned_fork:
            return WORKER_ROLE
        if seen.process.pgid in file.confirmed_pids and seen.process.pgid != seen.process.pid:
            return WORKER_ROLE
        ancestors = [life for life in file.lives.values() if life.pid in seen.parents]
        if any(
            life.confirmed or life.role == WORKER_ROLE or life.seen.argv_digest == seen.argv_digest
            for life in ancestors
        ):
            return WORKER_ROLE
        for life in ancestors:
            life.role = WRAPPER_ROLE
            moves.effects.append(ForgetMemory(life.seen.process.key))
            moves.gone.append(life.seen.process.key)
        return KERNEL_ROLE

    def _kernel_seen(self, life: _Life, file: _File, moves: Moves) -> None:
        kernel = self._kernel(life, file)
        moves.effects.append(SampleMemory(life.seen.process))
        if file.connection is not None:
            moves.effects.append(ProbePorts(life.seen.process.key, file.connection))
        if life.watched_since == life.seen.at:
            file.session = Session(listening=file.session.listening)
            if file.ended_kernels:
                started_at = life.seen.process.started_at
                moves.successors.append(Successor(started_at, kernel.id, life.pid))
        moves.tracked.append(self._tracked(life, file))

    def _server_seen(self, server: ServerSeen, at: datetime, moves: Moves) -> None:
        key = server.process.key
        if key in self._servers:
            moves.effects.append(CloseFd(server.pidfd))
            return
        moves.effects.append(WatchExit(key, server.pidfd))
        life = TrackedLife(
            scope=Scope.SERVER,
            process=server.process,
            server=_server_of(server),
            watched_since=at,
        )
        self._servers[key] = life
        moves.tracked.append(life)

    def _process_ended(self, ended: ProcessEnded, moves: Moves) -> None:
        server = self._servers.pop(ended.key, None)
        if server is not None:
            ids = tuple(k.id for k, _ in self.kernels() if k.server and k.server.key == ended.key)
            moves.deaths.append(Death(Scope.SERVER, ended, server, kernels=ids))
            moves.gone.append(ended.key)
        handle = self._handle_of.pop(ended.key, None)
        if handle is None:
            return
        file = self._files[handle]
        life = file.lives.pop(ended.key)
        if life.role == KERNEL_ROLE:
            self._kernel_ended(life, file, ended, moves)
        if not file.lives:
            file.empty_since = ended.at

    def _kernel_ended(self, life: _Life, file: _File, ended: ProcessEnded, moves: Moves) -> None:
        handle = life.seen.handle
        file.ended_kernels += 1
        moves.effects.append(WatchFile(handle))
        moves.deaths.append(
            Death(
                scope=Scope.KERNEL,
                ended=ended,
                life=self._tracked(life, file),
                handle=handle,
                answered=life.confirmed or file.session.heard,
                session=file.session,
                file_problem=file.problem,
            )
        )
        moves.gone.append(ended.key)

    # ------------------------------------------------------------------ files and ports

    def _file_opened(self, opened: FileOpened, moves: Moves) -> None:
        file = self._files.get(opened.handle)
        if file is None:
            file = _File(opened.owner_uid, opened.path, empty_since=opened.at)
            self._files[opened.handle] = file
        file.problem = ""
        moves.effects.append(ReadConnection(opened.handle, opened.fd, opened.owner_uid))

    def _connection_read(self, read: ConnectionRead, moves: Moves) -> None:
        file = self._files.get(read.handle)
        if file is None:
            return
        file.problem = read.problem
        if read.connection is None:
            return
        if read.connection != file.connection:
            file.listening = False
        file.connection = read.connection
        kernels = [life for life in file.lives.values() if life.role == KERNEL_ROLE]
        for life in kernels:
            moves.effects.append(ProbePorts(life.seen.process.key, read.connection))
            moves.tracked.append(self._tracked(life, file))
        if not kernels:
            moves.effects.append(FindListener(read.handle, read.connection, file.owner_uid))

    def _ports_heard(self, heard: PortsHeard, moves: Moves) -> None:
        handle = self._handle_of.get(heard.key)
        if handle is None:
            return
        file = self._files[handle]
        life = file.lives[heard.key]
        if any(o.confirmed and o.pid in life.seen.parents for o in file.lives.values()):
            life.role = WORKER_ROLE
            moves.effects.append(ForgetMemory(heard.key))
            return
        life.confirmed = True
        file.confirmed_pids.append(life.pid)
        life.role = KERNEL_ROLE
        moves.tracked.append(self._tracked(life, file))
        if not life.seen.process.same_network_namespace:
            reason = "its ports are in another network namespace"
            deaf = ListenState(at=heard.at, handle=handle, listening=False, reason=reason)
            file.session = file.session.heard_of(deaf)
        elif not file.listening:
            file.listening = True
            moves.effects.append(Listen(handle, life.seen.implementation))

    def _session_fact(self, fact: SessionFact) -> None:
        file = self._files.get(fact.handle)
        if file is not None:
            file.session = file.session.heard_of(fact)

    def sweep(self, now: datetime) -> list[Effect]:
        """Let go of files that nobody has named for a while; a restart comes within seconds."""
        idle = [
            handle
            for handle, file in self._files.items()
            if file.empty_since is not None and now - file.empty_since > FILE_KEPT
        ]
        for handle in idle:
            del self._files[handle]
        return [ReleaseFile(handle) for handle in idle]

    # ------------------------------------------------------------------ records

    def _tracked(self, life: _Life, file: _File) -> TrackedLife:
        kernel = self._kernel(life, file)
        return TrackedLife(
            scope=Scope.KERNEL,
            process=life.seen.process,
            kernel=kernel,
            server=kernel.server,
            watched_since=life.watched_since,
        )

    def _kernel(self, life: _Life, file: _File) -> Kernel:
        seen = life.seen
        server = _server_of(seen.server) if seen.server else None
        connection = file.connection
        notebook, how = notebook_of(seen.process, connection, server)
        return Kernel(
            id=kernel_id(self._boot_id, seen, connection),
            process=seen.process,
            connection_file=seen.connection_file,
            connection=connection,
            server=server,
            name=(connection.kernel_name if connection else None) or None,
            language=seen.language,
            confirmed=life.confirmed,
            found_at=life.watched_since,
            notebook_path=notebook,
            notebook_how=how,
        )


def kernel_id(boot_id: str, seen: ProcessSeen, connection: Connection | None) -> str:
    """The uuid in the file's name, else a uuid5 that joins the lives behind one connection file."""
    path = seen.connection_file or ""
    found = _FILE_UUID.search(path)
    if found:
        return found[1]
    digest = connection.key_digest if connection else ""
    owner = seen.process.uid
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"kerneld:{boot_id}:{owner}:{path}:{digest}"))


def notebook_of(
    process: Process, connection: Connection | None, server: Server | None
) -> tuple[str | None, str | None]:
    """The notebook and how it is known: the file, the environment, the parent's command line."""
    if connection is not None and connection.notebook:
        return connection.notebook, "connection-file"
    if process.environ.get("JPY_SESSION_NAME"):
        return process.environ["JPY_SESSION_NAME"], "environ"
    if server is not None and server.argv_notebook:
        return server.argv_notebook, "parent-argv"
    return None, None


def _server_of(seen: ServerSeen) -> Server:
    return Server(
        key=seen.process.key,
        kind=ServerKind(seen.kind),
        comm=seen.process.comm,
        uid=seen.process.uid,
        started_at=seen.process.started_at,
        unit=seen.process.unit,
        argv_notebook=seen.argv_notebook,
    )
