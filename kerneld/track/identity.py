"""A process and its connection file into the kernel that they are: its id, notebook and server."""

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta

from kerneld.model.death import Death
from kerneld.model.effects import Effect, Listen, ReadHistory, SampleMemory, WatchStacks
from kerneld.model.facts import ProcessEnded, ProcessSeen, ServerSeen
from kerneld.model.living import TrackedLife
from kerneld.model.process import Connection, Kernel, Process, ProcessKey, Server
from kerneld.model.session import Session
from kerneld.model.vocabulary import Scope, ServerKind
from kerneld.track.roles import ConnectionFile, Life

LATE = timedelta(seconds=1)
"""within it a kernel has begun no cell, or it is heard"""
_FILE_UUID = re.compile(
    r"/kernel-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.json$"
)


@dataclass(frozen=True, slots=True)
class LivingKernel:
    """A process that is a kernel now. `kernel` costs 30 µs: who looks at all of them asks few."""

    boot_id: str
    life: Life
    file: ConnectionFile

    @property
    def key(self) -> ProcessKey:
        return self.life.key

    @property
    def session(self) -> Session:
        return self.file.session

    @property
    def server_key(self) -> ProcessKey | None:
        server = self.life.seen.server
        return server.process.key if server else None

    def kernel(self) -> Kernel:
        return kernel_of(self.boot_id, self.life, self.file)


def tracked_life(boot_id: str, life: Life, file: ConnectionFile) -> TrackedLife:
    kernel = kernel_of(boot_id, life, file)
    return TrackedLife(
        scope=Scope.KERNEL,
        process=life.seen.process,
        kernel=kernel,
        server=kernel.server,
        watched_since=life.watched_since,
    )


def kernel_death(boot_id: str, life: Life, file: ConnectionFile, ended: ProcessEnded) -> Death:
    return Death(
        scope=Scope.KERNEL,
        ended=ended,
        life=tracked_life(boot_id, life, file),
        handle=life.seen.handle,
        answered=life.confirmed or file.session.heard,
        silent_at=life.silent_at,
        session=file.session,
        file_problem=file.problem,
    )


def kernel_of(boot_id: str, life: Life, file: ConnectionFile) -> Kernel:
    seen, connection = life.seen, file.connection
    server = server_of(seen.server) if seen.server else None
    notebook, how = notebook_of(seen.process, connection, server)
    return Kernel(
        id=kernel_id(boot_id, seen, connection),
        process=seen.process,
        connection_file=seen.connection_file,
        file_elsewhere=seen.file_elsewhere,
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


def server_of(seen: ServerSeen) -> Server:
    return Server(
        key=seen.process.key,
        kind=ServerKind(seen.kind),
        comm=seen.process.comm,
        uid=seen.process.uid,
        started_at=seen.process.started_at,
        unit=seen.process.unit,
        argv_notebook=seen.argv_notebook,
    )


def watching(life: Life) -> list[Effect]:
    """A kernel's memory is sampled, and its growth charged to its lines."""
    seen = life.seen
    return [SampleMemory(seen.process), WatchStacks(seen.process, seen.handle, seen.language)]


def listening(life: Life, file: ConnectionFile) -> list[Effect]:
    """Of one that has lived for a while already, what it runs now was said before."""
    seen = life.seen
    effects: list[Effect] = [Listen(file.handle, seen.implementation)]
    if seen.implementation == "ipykernel" and life.watched_since - seen.process.started_at > LATE:
        effects.append(ReadHistory(file.handle, seen.process))
    return effects
