"""What tracking hands on: the end of a tracked process, and the next life of a kernel id."""

from dataclasses import dataclass, field
from datetime import datetime

from kerneld.model.facts import ProcessEnded
from kerneld.model.living import TrackedLife
from kerneld.model.session import Session
from kerneld.model.vocabulary import Scope


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a tracked kernel or server, with what was known of its life."""

    scope: Scope
    ended: ProcessEnded
    life: TrackedLife
    handle: int | None = None
    answered: bool = False
    silent_at: datetime | None = None
    session: Session = field(default_factory=Session)
    file_problem: str = ""
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Successor:
    """A new life of a kernel id."""

    at: datetime
    kernel_id: str
    pid: int
