"""The store and the living into the figures of this moment, from indexes alone."""

from datetime import datetime
from pathlib import Path

from kerneld.live import read_pulse
from kerneld.model.figures import Figures
from kerneld.store import Store


def figures_of(store: Store, live: Path, now: datetime, *, names_users: bool) -> Figures:
    """live: the database of the living. StoreError: one of the two may not be read."""
    daemon, kernels = read_pulse(live, now)
    return Figures(
        incidents=store.tallies(),
        users=store.tallies_by_user() if names_users else {},
        daemon=daemon,
        kernels=kernels,
    )
