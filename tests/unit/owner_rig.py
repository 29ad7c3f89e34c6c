"""An owner with a real store, fed with facts; and the facts of kernels that never ran."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from store_rig import HOST, NOW, a_process

from kerneld.daemon.owner import Owner, Rooms
from kerneld.model.effects import Effect
from kerneld.model.facts import ProcessEnded, ProcessSeen, ServerSeen, SourceState
from kerneld.model.incident import Incident
from kerneld.model.process import Process
from kerneld.model.readings import ExitReading
from kerneld.model.vocabulary import CodePolicy, ExitHow, ServerKind
from kerneld.sources.memory import MemorySource
from kerneld.store import Store

LATER = float("inf")
"""a monotonic time at which every open case is due"""


@dataclass
class Desk:
    """The owner at work, what it asked of its sources, and what it told as settled."""

    owner: Owner
    store: Store
    effects: list[Effect] = field(default_factory=list)
    told: list[Incident] = field(default_factory=list)


class Healthy:
    """Sources of which there is nothing to tell."""

    lag_s = 0.0

    def __init__(self) -> None:
        self.losses: dict[str, int] = {}

    def health(self) -> list[SourceState]:
        return []


@contextmanager
def desk(path: Path, policy: CodePolicy = CodePolicy.FULL) -> Iterator[Desk]:
    effects: list[Effect] = []
    told: list[Incident] = []
    with Store.open(path) as store:
        rooms = Rooms(store=store, memory=MemorySource(busy_hz=1), act=effects.append, told=told.append)
        yield Desk(Owner(HOST, rooms, policy, 5.0), store, effects, told)


def kernel_seen(pid: int, *, server: int | None = None, process: Process | None = None) -> ProcessSeen:
    """A kernel with a file of its own, below a Jupyter server of that pid."""
    kind = ServerKind.JUPYTER_SERVER.value
    return ProcessSeen(
        at=NOW,
        process=process or a_process(pid),
        pidfd=-1,
        handle=pid,
        connection_file=f"/run/user/1000/jupyter/kernel-{pid}.json",
        parents=() if server is None else (server, 1),
        argv_digest=pid,
        implementation="ipykernel",
        server=None if server is None else ServerSeen(a_process(server), -1, kind),
    )


def ended(pid: int, *, signal: int = 9, at: datetime = NOW) -> ProcessEnded:
    reading = ExitReading(how=ExitHow.PIDFD, status_raw=signal, at=at)
    return ProcessEnded(at, at, a_process(pid).key, (reading,))
