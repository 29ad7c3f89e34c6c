"""The roll of who is watched, kept in the database: a later daemon knows whom a killed one watched."""

import logging
from collections.abc import Iterable

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
        self._lives: dict[tuple[ProcessKey, Scope], TrackedLife] = {}
        self._gone: dict[ProcessKey, None] = {}
        self._became: list[ProcessKey] = []
        """left one role for another (a launcher, its kernel): only its rows of before are dropped"""

    def note(self, moves: Moves) -> None:
        self._gone.update(dict.fromkeys(moves.gone))
        self.watch(moves.tracked)

    def watch(self, lives: Iterable[TrackedLife]) -> None:
        for life in lives:
            key = life.process.key
            if key in self._gone:
                del self._gone[key]
                self._became.append(key)
            self._lives[key, life.scope] = life

    def save(self, store: Store) -> None:
        """Who is new."""
        try:
            if self._became:
                store.untrack(self._became)
                self._became = []
            if self._lives:
                store.track([withhold(life, self._policy) for life in self._lives.values()])
                self._lives = {}
        except StoreError as problem:
            log.error("%s", problem)

    def forget(self, store: Store) -> None:
        """Who is gone; once its end is stored: until then its life is what a later daemon judges by."""
        try:
            if self._gone:
                store.untrack([*self._gone])
                self._gone = {}
        except StoreError as problem:
            log.error("%s", problem)
