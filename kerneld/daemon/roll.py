"""The roll of who is watched, kept in the database: a later daemon knows whom a killed one watched."""

import logging

from kerneld.errors import StoreError
from kerneld.model.living import TrackedLife
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import CodePolicy, Scope
from kerneld.privacy import withhold
from kerneld.store import Store
from kerneld.track import Moves

log = logging.getLogger(__name__)


class Roll:
    """What changed since the last save waits here; what the database does not take is tried again."""

    def __init__(self, policy: CodePolicy) -> None:
        self._policy = policy
        self._all: dict[tuple[ProcessKey, Scope], TrackedLife] = {}
        self._lives: dict[tuple[ProcessKey, Scope], TrackedLife] = {}
        self._gone: list[ProcessKey] = []

    def note(self, moves: Moves) -> None:
        fresh = {(life.process.key, life.scope): life for life in moves.tracked}
        self._lives.update(fresh)
        self._all.update(fresh)
        self._gone += moves.gone
        for key in moves.gone:
            for scope in Scope:
                self._all.pop((key, scope), None)

    def save_again(self) -> None:
        """The database is another one: everybody who is watched goes into it."""
        self._lives = dict(self._all)

    def save(self, store: Store, *, may_forget: bool) -> None:
        """may_forget: every end is stored; until then its life is what a later daemon judges by."""
        try:
            if self._lives:
                store.track([withhold(life, self._policy) for life in self._lives.values()])
                self._lives = {}
            if self._gone and may_forget:
                store.untrack(self._gone)
                self._gone = []
        except StoreError as problem:
            log.error("%s", problem)
