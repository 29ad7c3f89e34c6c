"""Which process listens on a connection's ports: asked again and again until one does, or none will."""

import os
import time
from collections.abc import Iterator

from kerneld.model.effects import FindListener, ProbePorts
from kerneld.model.process import ProcessKey
from kerneld.proc.net import find_listener, listens
from kerneld.proc.process import list_pids

PROBE_GIVES_UP_S = 120.0
FIND_GIVES_UP_S = 10.0
FIND_S = 1.0
"""every process's descriptors are listed for it"""


class Ports:
    """The open questions about ports. Owned by the discovery thread."""

    def __init__(self, proc_root: str) -> None:
        self._proc_root = proc_root
        self._probes: dict[int, tuple[ProbePorts, float]] = {}
        self._finds: dict[int, tuple[FindListener, float]] = {}
        self._find_at = 0.0

    @property
    def awaited(self) -> bool:
        return bool(self._probes)

    def probe(self, order: ProbePorts) -> None:
        self._probes[order.key.pid] = (order, time.monotonic())

    def find(self, order: FindListener) -> None:
        self._finds[order.handle] = (order, time.monotonic())

    def found(self, handle: int) -> None:
        """A process names this file: it need not be looked for."""
        self._finds.pop(handle, None)

    def heard(self) -> Iterator[ProcessKey]:
        """The processes that listen on their ports now; each is told once."""
        now = time.monotonic()
        for pid, (order, since) in list(self._probes.items()):
            try:
                uid = os.stat(f"{self._proc_root}/{pid}").st_uid
                heard = listens(pid, order.connection, uid=uid, proc_root=self._proc_root)
            except OSError:
                del self._probes[pid]
                continue
            if heard or now - since > PROBE_GIVES_UP_S:
                del self._probes[pid]
            if heard:
                yield order.key

    def listeners(self) -> Iterator[tuple[int, int]]:
        """(file's number, pid) for files that no command line names. A stale one has nobody."""
        now = time.monotonic()
        if not self._finds or now < self._find_at:
            return
        self._find_at = now + FIND_S
        pids = list_pids(self._proc_root)
        for handle, (order, since) in list(self._finds.items()):
            pid = find_listener(pids, order.connection, uid=order.owner_uid, proc_root=self._proc_root)
            if pid or now - since > FIND_GIVES_UP_S:
                self._finds.pop(handle, None)
            if pid:
                yield handle, pid
