"""The only door to SQLite: ends, their evidence, and who is tracked."""

from kerneld.store.opening import Journal
from kerneld.store.prune import Limits, PruneReport
from kerneld.store.query import Query
from kerneld.store.reading import Counts
from kerneld.store.store import Store

__all__ = ["Counts", "Journal", "Limits", "PruneReport", "Query", "Store"]
