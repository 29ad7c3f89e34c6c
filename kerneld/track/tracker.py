"""Facts about the living into moves: who is watched, who is listened to, who died."""

from dataclasses import replace
from datetime import datetime, timedelta

from kerneld.model.cells import FinishedCell
from kerneld.model.death import Death, Successor
from kerneld.model.effects import (
    CloseFd,
    Effect,
    FindListener,
    ForgetMemory,
    ProbePorts,
    ReadConnection,
    ReleaseFile,
    WatchExit,
    WatchFile,
)
from kerneld.model.facts import (
    ConnectionRead,
    Fact,
    FileOpened,
    PortsHeard,
    PortsSilent,
    ProcessChanged,
    ProcessDying,
    ProcessEnded,
    ProcessSeen,
    ServerSeen,
)
from kerneld.model.living import TrackedLife
from kerneld.model.process import ProcessKey
from kerneld.model.records import LogRecord
from kerneld.model.said import CellFailed, CellStarted, KernelStatus, ListenState, ShutdownAnnounced
from kerneld.model.session import Session
from kerneld.model.vocabulary import Scope
from kerneld.track.identity import LivingKernel, kernel_death, listening, tracked_life, watching
from kerneld.track.moves import Moves, fds_of
from kerneld.track.roles import ConnectionFile, Life, Role, is_wrapper, wrappers_of
from kerneld.track.servers import Servers
from kerneld.track.workers import Worker, WorkerEnd, Workers

FILE_KEPT = timedelta(seconds=60)
"""after the last process that named it: a restart comes within seconds"""


class Tracker:
    """Who lives, and as what. Pure: facts in, moves out."""

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._files: dict[int, ConnectionFile] = {}
        self._handle_of: dict[ProcessKey, int] = {}
        self._servers = Servers()
        self._workers = Workers()

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
            case PortsSilent():
                if found := self._find(fact.key):
                    found[1].silent_at = fact.at
            case PortsHeard():
                self._ports_heard(fact, moves)
            case ProcessEnded():
                self._process_ended(fact, moves)
            case ProcessDying():
                self._process_dying(fact, moves)
            case LogRecord() if fact.event.is_oom:
                self._worker_ended(self._workers.killed(fact), moves)
            case KernelStatus() | CellStarted() | CellFailed() | ShutdownAnnounced() | ListenState():
                if file := self._files.get(fact.handle):
                    file.session = file.session.heard_of(fact)
        return moves

    def kernels(self) -> list[LivingKernel]:
        """Those that live, with what they last said."""
        return [LivingKernel(self._boot_id, life, file) for life, file in self._living()]

    def tracked(self) -> list[TrackedLife]:
        """Everybody whose end is a story."""
        kernels = [tracked_life(self._boot_id, life, file) for life, file in self._living()]
        return [*kernels, *self._servers.lives()]

    def _living(self) -> list[tuple[Life, ConnectionFile]]:
        return [(life, file) for file in self._files.values() for life in file.kernels()]

    def kernel_of(self, handle: int) -> tuple[ProcessKey, Session] | None:
        """The kernel that serves this file now, and what it last said."""
        file = self._files.get(handle)
        kernels = file.kernels() if file else []
        return (kernels[0].key, file.session) if file and kernels else None

    def measure(self, handle: int, cells: tuple[FinishedCell, ...]) -> None:
        """The finished cells of this file's kernel, with their memory."""
        self._files[handle].session = replace(self._files[handle].session, finished=cells)

    # ------------------------------------------------------------------ processes

    def _process_seen(self, seen: ProcessSeen, moves: Moves) -> None:
        key = seen.process.key
        if not self._leave_other_file(seen, moves):
            moves.effects += [CloseFd(fd) for fd in fds_of(seen)]
            if seen.handle not in self._files:
                moves.effects.append(ReleaseFile(seen.handle))
            return
        file = self._files.setdefault(seen.handle, ConnectionFile(seen.handle, seen.process.uid))
        file.problem = file.problem or seen.file_problem
        file.empty_since = None
        self._watch(key, seen.pidfd, moves)
        life = file.lives.setdefault(key, Life(seen, seen.at))
        server = (
            self._servers.shared(seen.server) if seen.server else life.seen.server
        )  # an orphan's is gone
        life.seen = replace(seen, server=server)
        self._handle_of[key] = seen.handle
        self._judge_role(life, file, moves)
        if seen.server is not None:
            self._server_seen(seen.server, seen.at, moves)
        if life.role is Role.CANDIDATE and file.connection is not None:
            moves.effects.append(ProbePorts(key, file.connection))
        if life.role is Role.KERNEL:
            self._kernel_seen(life, file, moves)

    def _leave_other_file(self, seen: ProcessSeen, moves: Moves) -> bool:
        """False: it stays the kernel that it is. Else (setpriv) it executes a kernel only now."""
        key = seen.process.key
        handle = self._handle_of.get(key, seen.handle)
        if handle == seen.handle:
            return True
        file = self._files[handle]
        if file.lives[key].confirmed:
            return False
        del file.lives[key]
        file.empty_since = None if file.lives else seen.at
        moves.gone.append(key)
        return True

    def _judge_role(self, life: Life, file: ConnectionFile, moves: Moves) -> None:
        """A new kernel's session begins anew; its ancestors that name its file are its wrappers."""
        files = self._files.values()
        life.role = Role.KERNEL if life.confirmed else file.role_of(life, files)
        if life.role is Role.KERNEL and not life.confirmed and is_wrapper(life, files):
            life.role = Role.WRAPPER
        if life.role is not Role.KERNEL:
            return
        for above in wrappers_of(life, files):
            above.role = Role.WRAPPER
            moves.effects.append(ForgetMemory(above.key))
            moves.gone.append(above.key)
        if life.begun:
            return
        life.begun = True
        file.session = Session(listening=file.session.listening)
        if file.ended_kernels:
            kernel = LivingKernel(self._boot_id, life, file).kernel()
            moves.successors.append(Successor(life.seen.process.started_at, kernel.id, life.pid))

    def _find(self, key: ProcessKey) -> tuple[ConnectionFile, Life] | None:
        handle = self._handle_of.get(key)
        return None if handle is None else (self._files[handle], self._files[handle].lives[key])

    def _watch(self, key: ProcessKey, pidfd: int, moves: Moves) -> None:
        """One pidfd a process: a kernel may be another kernel's server."""
        watched = key in self._handle_of or key in self._servers or key in self._workers
        moves.effects.append(CloseFd(pidfd) if watched else WatchExit(key, pidfd))

    def _process_changed(self, changed: ProcessChanged, moves: Moves) -> None:
        if (found := self._find(changed.process.key)) is None:
            return
        file, life = found
        life.seen = replace(life.seen, process=changed.process)
        if life.role is Role.KERNEL:
            moves.effects += watching(life)
            moves.tracked.append(tracked_life(self._boot_id, life, file))

    def _kernel_seen(self, life: Life, file: ConnectionFile, moves: Moves) -> None:
        moves.effects += watching(life)
        if file.connection is not None:
            moves.effects.append(ProbePorts(life.key, file.connection))
        moves.tracked.append(tracked_life(self._boot_id, life, file))

    def _server_seen(self, server: ServerSeen, at: datetime, moves: Moves) -> None:
        self._watch(server.process.key, server.pidfd, moves)
        life = self._servers.meet(server, at)
        if life is not None:
            moves.tracked.append(life)

    def _process_ended(self, ended: ProcessEnded, moves: Moves) -> None:
        server = self._servers.end(ended.key)
        if server is not None:
            ids = tuple(one.kernel().id for one in self.kernels() if one.server_key == ended.key)
            moves.deaths.append(Death(Scope.SERVER, ended, server, kernels=ids))
            moves.gone.append(ended.key)
        handle = self._handle_of.pop(ended.key, None)
        if handle is None:
            self._worker_ended(self._workers.ended(ended, None), moves)
            return
        file = self._files[handle]
        life = file.lives.pop(ended.key)
        if life.role is Role.KERNEL:
            self._workers.ended(ended, None)
            self._kernel_ended(life, file, ended, moves)
        else:
            fork = Worker(life.seen.process, life.seen.parents, life.watched_since)
            self._worker_ended(self._workers.ended(ended, fork), moves)
        if not file.lives:
            file.empty_since = ended.at

    def _kernel_ended(
        self, life: Life, file: ConnectionFile, ended: ProcessEnded, moves: Moves
    ) -> None:
        file.ended_kernels += 1
        moves.effects.append(WatchFile(life.seen.handle))
        moves.deaths.append(kernel_death(self._boot_id, life, file, ended))
        moves.gone.append(ended.key)
        for life in file.probed():
            self._judge_role(life, file, moves)
            if life.role is Role.KERNEL:
                self._kernel_seen(life, file, moves)

    # ------------------------------------------------------------------ workers

    def _process_dying(self, dying: ProcessDying, moves: Moves) -> None:
        """Watched until it has ended, where it is below a kernel and none itself."""
        key = dying.process.key
        handle = self._handle_of.get(key)
        itself = handle is not None and self._files[handle].lives[key].role is Role.KERNEL
        wanted = not itself and self._workers.wants(dying, self._files.values())
        if wanted and dying.pidfd is not None:
            self._watch(key, dying.pidfd, moves)
        elif dying.pidfd is not None:
            moves.effects.append(CloseFd(dying.pidfd))
        if wanted:
            self._workers.is_dying(dying)

    def _worker_ended(self, end: WorkerEnd | None, moves: Moves) -> None:
        moves.deaths += self._workers.death(end, self._files.values(), boot_id=self._boot_id)

    # ------------------------------------------------------------------ files and ports

    def _file_opened(self, opened: FileOpened, moves: Moves) -> None:
        new = ConnectionFile(opened.handle, opened.owner_uid, empty_since=opened.at)
        self._files.setdefault(opened.handle, new).problem = ""
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
        moves.effects += [ProbePorts(life.key, read.connection) for life in file.probed()]
        moves.tracked += [tracked_life(self._boot_id, life, file) for life in file.kernels()]
        if not file.kernels():
            moves.effects.append(FindListener(read.handle, read.connection, file.owner_uid))

    def _ports_heard(self, heard: PortsHeard, moves: Moves) -> None:
        if (found := self._find(heard.key)) is None:
            return
        file, life = found
        if file.is_below_a_kernel(life):
            life.role = Role.WORKER
            moves.effects.append(ForgetMemory(heard.key))
            return
        life.confirmed = True
        if life.role is not Role.KERNEL:
            moves.effects += watching(life)
        self._judge_role(life, file, moves)
        moves.tracked.append(tracked_life(self._boot_id, life, file))
        if not life.seen.process.same_network_namespace:
            reason = "its ports are in another network namespace"
            deaf = ListenState(at=heard.at, handle=file.handle, listening=False, reason=reason)
            file.session = file.session.heard_of(deaf)
        elif not file.listening:
            file.listening = True
            moves.effects += listening(life, file)

    def sweep(self, now: datetime) -> list[Effect]:
        """Let go of files that nobody has named for a while; a restart comes within seconds."""
        idle = [h for h, f in self._files.items() if f.empty_since and now - f.empty_since > FILE_KEPT]
        for handle in idle:
            del self._files[handle]
        return [ReleaseFile(handle) for handle in idle]
