"""Which process listens on a connection's ports: asked again and again until one does, or none will.

A user makes a look as long as that user's own tables of sockets and processes are. So a turn ends
after TURN_S, and who was asked least comes first.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from kerneld.model.effects import FindListener, ProbePorts
from kerneld.model.process import ProcessKey
from kerneld.proc.net import find_listener, listens
from kerneld.proc.process import list_pids

PROBE_GIVES_UP_S = 120.0
SILENCE_TOLD_S = 0.25
MAX_PROBE_PAUSE_S = 1.0
FIND_GIVES_UP_S = 10.0
FIND_S = 1.0
"""every process's descriptors are listed for it"""
FIND_WITHIN_S = 0.5
TURN_S = 0.05

O = TypeVar("O", ProbePorts, FindListener)  # noqa: E741


@dataclass(slots=True)
class _Question(Generic[O]):
    order: O
    since: float
    times: int = 0
    next_at: float = 0.0
    told_at: float = float("-inf")


class Ports:
    """The open questions about ports. Owned by the discovery thread."""

    def __init__(self, proc_root: str) -> None:
        self._proc_root = proc_root
        self._probes: dict[int, _Question[ProbePorts]] = {}
        self._finds: dict[int, _Question[FindListener]] = {}

    @property
    def awaited(self) -> bool:
        return bool(self._probes)

    def probe(self, order: ProbePorts) -> None:
        self._probes[order.key.pid] = _Question(order, time.monotonic())

    def find(self, order: FindListener) -> None:
        self._finds[order.handle] = _Question(order, time.monotonic())

    def found(self, handle: int) -> None:
        """A process names this file: it need not be looked for."""
        self._finds.pop(handle, None)

    def looked(self) -> Iterator[tuple[datetime, ProcessKey, bool]]:
        """Who listens on its ports now (told once), and who does not yet (told four times a second)."""
        for pid, probe in _turn(self._probes):
            at = datetime.now(UTC)  # before the look: it may take long on a crowded machine
            try:
                uid = os.stat(f"{self._proc_root}/{pid}").st_uid
                heard = listens(pid, probe.order.connection, uid=uid, proc_root=self._proc_root)
            except OSError:
                del self._probes[pid]
                continue
            age_s = time.monotonic() - probe.since
            probe.next_at = time.monotonic() + min(MAX_PROBE_PAUSE_S, age_s / 20)
            if heard or age_s > PROBE_GIVES_UP_S:
                del self._probes[pid]
            if heard or time.monotonic() - probe.told_at >= SILENCE_TOLD_S:
                probe.told_at = time.monotonic()
                yield at, probe.order.key, heard

    def listeners(self) -> Iterator[tuple[int, int]]:
        """(file's number, pid) for files that no command line names. A stale one has nobody."""
        if all(find.next_at > time.monotonic() for find in self._finds.values()):
            return
        pids = list_pids(self._proc_root)
        for handle, find in _turn(self._finds):
            order = find.order
            pid = find_listener(
                pids,
                order.connection,
                uid=order.owner_uid,
                until=time.monotonic() + FIND_WITHIN_S,
                proc_root=self._proc_root,
            )
            find.next_at = time.monotonic() + FIND_S
            if pid or time.monotonic() - find.since > FIND_GIVES_UP_S:
                del self._finds[handle]
            if pid:
                yield handle, pid


def _turn(questions: dict[int, _Question[O]]) -> Iterator[tuple[int, _Question[O]]]:
    """The questions that are due, the newest first, for as long as a turn may last."""
    now = time.monotonic()
    due = [(key, question) for key, question in questions.items() if question.next_at <= now]
    for key, question in sorted(due, key=lambda one: (one[1].times, -one[1].since)):
        question.times += 1
        yield key, question
        if time.monotonic() - now > TURN_S:
            return
