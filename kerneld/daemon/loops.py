"""A death and the one before it of the same kernel id into their loop."""

import logging
from datetime import timedelta

from kerneld.errors import StoreError
from kerneld.model.incident import Incident, LoopPart
from kerneld.model.vocabulary import Scope
from kerneld.store import Store

log = logging.getLogger(__name__)

SUCCESSION = timedelta(minutes=5)
"""Jupyter starts a dead kernel anew within 3 s; people run their cells again within minutes"""


def loop_of(store: Store, incident: Incident) -> LoopPart | None:
    """The loop that this death goes on; None for a first one, and for what is no kernel's incident.

    It is read from the store, so that it goes on over a restart of the daemon.
    """
    if incident.kernel is None or incident.scope is not Scope.KERNEL or not incident.is_incident:
        return None
    if not incident.kernel.restarts:
        return None
    try:
        before = store.death_before(incident, within=SUCCESSION)
    except StoreError as problem:
        log.error("%s", problem)
        return None
    if before is None:
        return None
    known = before.loop or LoopPart(id=before.uuid, count=1)
    return LoopPart(id=known.id, count=known.count + 1)
