"""The living: what is tracked (kept in the database) and how it does (kept in live.db, every 2 s)."""

from kerneld.model.base import Record, Timestamp
from kerneld.model.process import Kernel, Process, ProcessKey, Server
from kerneld.model.vocabulary import Mode, Scope


class TrackedLife(Record):
    """A kernel or a server that is watched; what a later daemon needs if this one is killed."""

    scope: Scope
    process: Process
    kernel: Kernel | None = None
    server: Server | None = None
    watched_since: Timestamp


class LivingState(Record):
    """How a tracked kernel does. state: starting, idle, busy, unknown (iopub not heard).

    samples: the last minutes, (seconds before `at`, rss bytes), oldest first, thinned.
    """

    key: ProcessKey
    at: Timestamp
    kernel_id: str
    state: str
    uid: int
    user_name: str | None = None
    hub_name: str | None = None
    container_id: str | None = None
    notebook_path: str | None = None
    kernel_name: str | None = None
    started_at: Timestamp
    rss_bytes: int | None = None
    tree_bytes: int | None = None
    limit_bytes: int | None = None
    growth_bytes_per_s: float | None = None
    execution_count: int | None = None
    cell_started_at: Timestamp | None = None
    samples: tuple[tuple[float, int], ...] = ()


class SourceHealth(Record):
    """Whether a source is up; reason and remedy in words, "" while it is. lost: facts it dropped."""

    name: str
    up: bool
    reason: str = ""
    remedy: str = ""
    lost: int = 0


VERDICT_BOUNDS_S = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.5, 10.0)


class VerdictDelays(Record):
    """From each observed death to its stored first verdict, since the daemon's start.

    counts: at most each of VERDICT_BOUNDS_S and more than the one before; beyond the last bound, last.
    """

    counts: tuple[int, ...] = (0,) * (len(VERDICT_BOUNDS_S) + 1)
    sum_s: float = 0.0


class DaemonState(Record):
    """How the daemon itself does. lost: facts that its sources dropped, all in all."""

    pid: int
    started_at: Timestamp
    version: str
    mode: Mode
    database: str
    sources: tuple[SourceHealth, ...] = ()
    lost: int = 0
    unsaved: int = 0
    """ends that wait for the database to take them"""
    lag_s: float = 0.0
    """how much later than it was due the owner's last round of housekeeping came: so long facts wait"""
    verdict_delays: VerdictDelays = VerdictDelays()
