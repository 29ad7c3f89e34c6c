"""Which lines grew a process: frames of Python stacks, what they testify, and the account of it."""

from dataclasses import dataclass

from kerneld.model.base import CodeLine, Record, Timestamp
from kerneld.model.process import ProcessKey


class Frame(Record):
    """One frame. execution_count: of the cell that `file` is, where that cell was heard."""

    function: CodeLine | None = None
    file: str
    line: int | None = None
    code: CodeLine | None = None
    execution_count: int | None = None


class StackPart(Record):
    """The user's part of a Python stack, outermost frame first."""

    at: Timestamp
    frames: tuple[Frame, ...] = ()


class GrowthLine(Record):
    """What one line has grown and not given back. All but bytes and share null: unattributed."""

    function: CodeLine | None = None
    file: str | None = None
    line: int | None = None
    code: CodeLine | None = None
    execution_count: int | None = None
    bytes: int
    share: float


class GrowthAccount(Record):
    """A process's growth, line by line, as its sampled stacks testify.

    lines: largest first, what could not be charged as the row without a file; their bytes add up to
    all that it grew since its first cell. dumps: stacks that testified. blind: why there are none,
    or fewer than were wanted, in words.
    """

    lines: tuple[GrowthLine, ...] = ()
    dumps: int = 0
    stack: StackPart | None = None
    blind: str = ""


class SeenThread(Record):
    """A thread of one dump. active: it was running. place: the user's line that it was at.

    main: it is the process's first thread, where cells run. innermost: nothing was called from there.
    """

    active: bool
    main: bool = False
    innermost: bool = False
    place: Frame | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """The memory sampler saw a process grow; seconds of the boot's clock, bytes resident.

    headroom_bytes: to the tightest limit over it, the host's memory included; None: unknown.
    """

    key: ProcessKey
    before_s: float
    before_bytes: int
    at_s: float
    now_bytes: int
    headroom_bytes: int | None
