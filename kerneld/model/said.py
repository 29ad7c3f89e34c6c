"""What a kernel said on iopub, as far as a death needs it."""

from typing import Annotated, Literal

from pydantic import Field

from kerneld.model.base import CellSource, CodeDigest, ErrorName, ErrorValue, Record, Timestamp
from kerneld.model.vocabulary import Shortage


class CodeFacts(Record):
    """What rules and advice need of a cell, said without its code. All False: nothing found."""

    calls_exit: bool = False
    """`exit()`, `quit()` or their bare names as the last statement"""
    hard_exits: bool = False
    """`os._exit(…)`, `os.abort()` is kills_itself"""
    kills_itself: bool = False
    """os.kill(os.getpid(), …), signal.raise_signal, os.abort"""
    raises_system_exit: bool = False
    parsed: bool = True
    """False: not Python, or too long to parse"""


class KernelStatus(Record):
    """iopub status. state: starting, busy, idle, dead; parent: msg_id of the request it serves."""

    type: Literal["status"] = "status"
    at: Timestamp
    handle: int
    state: str
    parent: str | None = None
    parent_type: str | None = None


class CellStarted(Record):
    """iopub execute_input. source is withheld by `privacy` before anything is stored.

    recalled: it is the last one in IPython's own history instead, which was read at that time: it
    runs, or has ended.
    """

    type: Literal["cell-started"] = "cell-started"
    at: Timestamp
    handle: int
    parent: str | None = None
    execution_count: int | None = None
    source: CellSource | None = None
    sha256: CodeDigest | None = None
    code: CodeFacts = CodeFacts()
    recalled: bool = False


class CellFailed(Record):
    """iopub error: the exception that ended a cell; the kernel lives. value may hold user data.

    shortage: whether it was memory, or a GPU's memory, that could not be had.
    """

    type: Literal["cell-failed"] = "cell-failed"
    at: Timestamp
    handle: int
    parent: str | None = None
    name: ErrorName | None = None
    value: ErrorValue | None = None
    shortage: Shortage | None = None


class ShutdownAnnounced(Record):
    """iopub shutdown_reply (ipykernel, bash_kernel) or shutdown (xeus)."""

    type: Literal["shutdown-announced"] = "shutdown-announced"
    at: Timestamp
    handle: int
    restart: bool


class ListenState(Record):
    """iopub heard or not. reason: why not, in words; "" while heard."""

    type: Literal["listen"] = "listen"
    at: Timestamp
    handle: int
    listening: bool
    reason: str = ""


SessionFact = Annotated[
    KernelStatus | CellStarted | CellFailed | ShutdownAnnounced | ListenState,
    Field(discriminator="type"),
]
"""everything that iopub tells; `handle` is the number under which the file was handed over"""
