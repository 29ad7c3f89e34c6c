"""What one fact about the living leads to."""

from dataclasses import dataclass, field

from kerneld.model.death import Death, Successor
from kerneld.model.effects import Effect
from kerneld.model.facts import ProcessSeen
from kerneld.model.living import TrackedLife
from kerneld.model.process import ProcessKey


@dataclass(slots=True)
class Moves:
    """What one fact led to. tracked: lives to be kept in the database; gone: to be dropped."""

    effects: list[Effect] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    successors: list[Successor] = field(default_factory=list)
    tracked: list[TrackedLife] = field(default_factory=list)
    gone: list[ProcessKey] = field(default_factory=list)


def fds_of(seen: ProcessSeen) -> list[int]:
    """The descriptors that a fact hands over."""
    return [seen.pidfd] if seen.server is None else [seen.pidfd, seen.server.pidfd]
