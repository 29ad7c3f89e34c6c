"""The outcome of a try: whether it works, what that costs a verdict, and the command that mends it."""

from kerneld.model.base import Record
from kerneld.model.living import DaemonState
from kerneld.sources.journal import NO_JOURNAL

RUN_AS_ROOT = 'sudo "$(command -v kerneld)" run'


class Check(Record):
    """works: None for a note that is neither right nor wrong. says: what was tried, in words.

    costs: what its lack costs a verdict. remedy: the exact command, or "" where none mends it.
    """

    name: str
    works: bool | None
    says: str
    costs: str = ""
    remedy: str = ""


class Report(Record):
    """daemon: None where none tells of itself; then `sources` is what this very process could read.

    live_kernels: how many it watches. unread: why a daemon's state can't be read, else "".
    silent_pid: of a process that holds the database all the same, and silent: since when, in words.
    """

    daemon: DaemonState | None = None
    live_kernels: int = 0
    unread: str = ""
    silent_pid: int | None = None
    silent: str = ""
    sources: tuple[Check, ...] = ()
    places: tuple[Check, ...] = ()


def remedy_of(reason: str, own: str, *, is_root: bool) -> str:
    """To a user root is the way to all that is there; to root the source's own remedy."""
    return own if is_root or reason.startswith(NO_JOURNAL) else RUN_AS_ROOT
