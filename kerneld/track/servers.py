"""The servers that kernels name into one life each, shared by all their kernels."""

from dataclasses import replace
from datetime import datetime

from kerneld.model.facts import ServerSeen
from kerneld.model.living import TrackedLife
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Scope
from kerneld.track.identity import server_of


class Servers:
    """Those that are watched."""

    def __init__(self) -> None:
        self._lives: dict[ProcessKey, TrackedLife] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._lives

    def lives(self) -> list[TrackedLife]:
        return list(self._lives.values())

    def shared(self, server: ServerSeen) -> ServerSeen:
        """The same, its process the one that is kept already: 2 KiB a kernel."""
        known = self._lives.get(server.process.key)
        return replace(server, process=known.process) if known else server

    def meet(self, server: ServerSeen, at: datetime) -> TrackedLife | None:
        """Its life, where it is a new one."""
        key = server.process.key
        if key in self._lives:
            return None
        self._lives[key] = TrackedLife(
            scope=Scope.SERVER, process=server.process, server=server_of(server), watched_since=at
        )
        return self._lives[key]

    def end(self, key: ProcessKey) -> TrackedLife | None:
        return self._lives.pop(key, None)
