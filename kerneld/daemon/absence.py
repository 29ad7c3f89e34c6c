"""What was tracked before this start, compared with what lives: deaths in kerneld's absence."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kerneld.daemon.identity import end_uuid
from kerneld.model.case import Case
from kerneld.model.host import Host
from kerneld.model.living import LivingState, TrackedLife
from kerneld.model.process import ProcessKey
from kerneld.model.readings import ExitReading, MemoryAccount
from kerneld.model.verdict import Blind
from kerneld.model.vocabulary import ExitHow
from kerneld.proc.pidfd import is_still, open_pidfd, zombie_status


def deaths_unseen(
    lives: Sequence[TrackedLife],
    last: Sequence[LivingState],
    *,
    host: Host,
    heard_at: datetime | None,
    proc_root: str = "/proc",
) -> list[Case]:
    """A case for each tracked life that ended unseen.

    heard_at: when the last daemon was known to be alive; last: its last look at each kernel.
    """
    states = {state.key: state for state in last}
    return [
        _case(life, states.get(life.process.key), host=host, heard_at=heard_at, proc_root=proc_root)
        for life in lives
        if life.process.key.boot_id != host.boot_id or not is_still(proc_root, life.process.key)
    ]


def _case(
    life: TrackedLife,
    last: LivingState | None,
    *,
    host: Host,
    heard_at: datetime | None,
    proc_root: str,
) -> Case:
    now = datetime.now(UTC)
    key = life.process.key
    since = max(filter(None, (last.at if last else None, heard_at, life.watched_since)))
    half = max((now - since) / 2, timedelta(0))
    same_boot = key.boot_id == host.boot_id
    reason = "kerneld was not running when it ended"
    return Case(
        uuid=end_uuid(key, life.scope),
        scope=life.scope,
        host=host if same_boot else host.model_copy(update={"boot_id": key.boot_id}),
        boot_id_now=host.boot_id,
        kernel=life.kernel,
        process=life.process,
        server=life.server,
        died_at=since + half,
        died_at_uncertainty_s=half.total_seconds(),
        detected_at=now,
        observed=False,
        watched_since=life.watched_since,
        readings=_readings(key, now, proc_root=proc_root) if same_boot else (),
        memory=_memory(last),
        answered=bool(life.kernel and life.kernel.confirmed),
        blind=(Blind(source="exit", reason=reason), Blind(source="iopub", reason=reason)),
    )


def _readings(key: ProcessKey, now: datetime, *, proc_root: str) -> tuple[ExitReading, ...]:
    """The zombie's status, while its parent has not reaped it."""
    try:
        pidfd = open_pidfd(key.pid)
    except OSError:
        return ()
    try:
        zombie = zombie_status(proc_root, key, pidfd)
    finally:
        os.close(pidfd)
    if zombie is None:
        return ()
    how, raw = ExitHow.PROCFS, zombie.status_raw
    return (ExitReading(how=how, status_raw=raw, proven=zombie.proven, at=now),)


def _memory(last: LivingState | None) -> MemoryAccount:
    if last is None:
        return MemoryAccount()
    return MemoryAccount(
        samples=last.samples,
        last_bytes=last.rss_bytes,
        last_at=last.at,
        growth_bytes_per_s=last.growth_bytes_per_s,
    )
