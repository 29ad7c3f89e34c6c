"""Which incident a rule wants, and which of those that wait are told now, and together."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from kerneld.model.incident import Incident
from kerneld.model.notices import NotifyRule, Waiting

LOOP_OVER = timedelta(minutes=6)
"""a loop is over when 5 minutes pass without a death, and the settling of one"""
LOOP_PATIENCE = timedelta(hours=1)
"""one that does not end is told so often"""


def wants(rule: NotifyRule, incident: Incident) -> bool:
    """Requested ends, and what another incident tells, never."""
    return (
        incident.is_incident
        and (not rule.causes or incident.cause in rule.causes)
        and (not rule.categories or incident.category in rule.categories)
        and (not rule.users or not {incident.user.name, incident.user.hub_name}.isdisjoint(rule.users))
    )


def is_quiet(rule: NotifyRule, now: datetime) -> bool:
    """Whether these are the rule's quiet hours; now: in the machine's zone."""
    if not rule.quiet:
        return False
    begin, end = map(time.fromisoformat, rule.quiet.split("-"))
    at = now.time()
    return begin <= at < end if begin <= end else at >= begin or at < end


def next_message(waiting: Sequence[Waiting], *, allowance: int, now: datetime) -> tuple[Waiting, ...]:
    """The incidents of the next message, none where none may be told now.

    One message an incident and one a loop, as long as the allowance (messages left in this hour)
    is for more than one or all fit; else one message for all that wait.
    """
    groups: dict[str, list[Waiting]] = {}
    for one in waiting:
        groups.setdefault(one.loop_id, []).append(one)
    ready = [group for group in groups.values() if _is_ready(group, now)]
    if allowance < 1 or not ready:
        return ()
    chosen = ready[:1] if len(ready) <= allowance else ready
    return tuple(sorted((one for group in chosen for one in group), key=lambda one: one.settled_at))


def _is_ready(group: Sequence[Waiting], now: datetime) -> bool:
    """A death by itself at once; those of a loop together when it is over, or goes on for long."""
    if not any(one.goes_on for one in group):
        return True
    times = [one.settled_at for one in group]
    return now - max(times) >= LOOP_OVER or now - min(times) >= LOOP_PATIENCE
