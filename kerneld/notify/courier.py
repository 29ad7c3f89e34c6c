"""Settled incidents out of the store into the outbox, and out of that to where each rule says."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kerneld.errors import NothingFound, StoreError
from kerneld.model.incident import Incident
from kerneld.model.notices import Message, NotifyRule, Waiting
from kerneld.notify.outcome import Outcome
from kerneld.notify.rules import is_quiet, next_message, wants
from kerneld.outputs.notice import Notice, notice
from kerneld.outputs.text import one_line
from kerneld.store import Store
from kerneld.store.outbox import KEPT, Cursor, Outbox

log = logging.getLogger(__name__)

PAGE = 200
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 900.0
LONGEST_WAIT = timedelta(seconds=3600)
"""what the other side may ask for; a longer one is a clock that was set back"""
HOUR = timedelta(hours=1)

CLOCK_STEP = timedelta(seconds=2)
"""two writes may have one time: a file is looked at until its time is older than this"""

Written = tuple[tuple[int, datetime], ...]
Deliver = Callable[[NotifyRule, Notice], Outcome]
Seen = Callable[[Incident], Incident]
"""an incident as those outside may see it"""


@dataclass(slots=True)
class Courier:
    """Owned by one thread; each rule's message is under way in a thread of its own, one at a time."""

    database: Path
    outbox: Outbox
    rules: Mapping[str, NotifyRule]
    seen: Seen
    deliver: Deliver
    done: Callable[[], None]
    """called from another thread when a delivery is done, whatever came of it"""
    _looked_at: Written = ()
    _under_way: dict[str, tuple[Message, Future[Outcome]]] = field(default_factory=dict)
    _failing: dict[str, str] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(len(self.rules), "rule")

    def turn(self, now: datetime) -> None:
        """One round: take what settled, note what was delivered, send what is due. now: with a zone."""
        for name in [name for name, (_, sent) in self._under_way.items() if sent.done()]:
            self._note(name, *self._under_way.pop(name), now=now)
        try:
            self._look(now)
        finally:
            for name, rule in self.rules.items():
                if name not in self._under_way:
                    self._send(name, rule, now)

    # ------------------------------------------------------------------ taking

    def _look(self, now: datetime) -> None:
        """Only where something was written: after a kill of the recorder SQLite can read it, from a
        folder that may not be written, as a copy alone.
        """
        seen = _written(self.database)
        if seen != self._looked_at or any(abs(now - at) < CLOCK_STEP for _, at in seen):
            with Store.read(self.database) as store:
                self._looked_at = () if self._take(store, now) else seen

    def _take(self, store: Store, now: datetime) -> bool:
        """A page; whether there was one. The first turn ever begins with what settles from then on."""
        cursor, born = self.outbox.cursor(), store.born()
        if cursor is None:
            seq = 0 if self.outbox.began_anew else store.cursor()
            cursor = Cursor(seq, born)
            self.outbox.take((), cursor, now=now)
        elif (cursor.born is not None and cursor.born != born) or store.cursor() < cursor.seq:
            log.warning("%s is another database now: what it holds is looked through", store.path)
            cursor = Cursor(0, born)
        settled, seq = store.changed_since(cursor.seq, limit=PAGE)
        if (seq, born) == (cursor.seq, cursor.born):
            return False
        fresh = [one for one in settled if one.settled_at and now - one.settled_at < KEPT]
        wanted = [
            (name, _waiting(incident))
            for incident in fresh
            for name, rule in self.rules.items()
            if wants(rule, incident)
        ]
        self.outbox.take(wanted, Cursor(seq, born), now=now)
        return True

    # ------------------------------------------------------------------ sending

    def _send(self, name: str, rule: NotifyRule, now: datetime) -> None:
        if is_quiet(rule, now):
            return
        message = self.outbox.open_message(name) or self._composed(name, rule, now)
        if message is None or now < message.next_at <= now + LONGEST_WAIT:
            return
        told = notice(name, message, self._newest(message))
        sent = self._pool.submit(self.deliver, rule, told)
        self._under_way[name] = (message, sent)
        sent.add_done_callback(lambda _: self.done())

    def _composed(self, name: str, rule: NotifyRule, now: datetime) -> Message | None:
        waiting = self.outbox.waiting(name)
        if not waiting:
            return None
        allowance = rule.per_hour - self.outbox.told_since(name, now - HOUR)
        chosen = next_message(waiting, allowance=allowance, now=now)
        return self.outbox.compose(name, chosen, now=now) if chosen else None

    def _newest(self, message: Message) -> Incident | None:
        try:
            with Store.read(self.database) as store:
                return self.seen(store.get(message.incidents[-1].uuid))
        except (NothingFound, StoreError):
            return None

    def _note(self, name: str, message: Message, sent: Future[Outcome], *, now: datetime) -> None:
        failure = sent.exception()
        outcome = Outcome(type(failure).__name__) if failure else sent.result()
        if not outcome.problem:
            self.outbox.told(message, now=now)
            if self._failing.pop(name, None):
                log.warning("%s: delivered again", name)
            return
        if now - message.made_at > KEPT:
            log.error("%s: given up after %d days: %s", name, KEPT.days, message.key)
            self.outbox.told(message, now=now)
            return
        wait_s = max(_pause_s(message.attempts), outcome.wait_s or 0.0)
        self.outbox.failed(message, next_at=now + timedelta(seconds=wait_s))
        if self._failing.get(name) != outcome.problem:
            log.warning("%s: %s; tried again in %g s, and so on", name, outcome.problem, wait_s)
        self._failing[name] = outcome.problem

    def tidy(self, now: datetime) -> None:
        """Once an hour, and at the start."""
        lost = self.outbox.tidy([*self.rules], now=now)
        if lost:
            log.warning(
                "%d incidents are told nobody: they waited too long, or for a rule that is no more",
                lost,
            )

    def close(self) -> None:
        """What is under way is left to itself: not noted as told, it is told again."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _written(database: Path) -> Written:
    """(inode, time of the last write) of the database and its log; what is not there is left out."""
    found: list[tuple[int, datetime]] = []
    for path in (database, Path(f"{database}-wal")):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((status.st_ino, datetime.fromtimestamp(status.st_mtime, UTC)))
    return tuple(found)


def _pause_s(attempts: int) -> float:
    return min(FIRST_RETRY_S * 2.0 ** min(attempts, 10), LAST_RETRY_S)


def _waiting(incident: Incident) -> Waiting:
    assert incident.settled_at is not None
    return Waiting(
        uuid=incident.uuid,
        revision=incident.revision,
        settled_at=incident.settled_at,
        loop_id=incident.loop_id,
        line=one_line(incident),
    )
