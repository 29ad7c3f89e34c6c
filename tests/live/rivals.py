"""Deaths with everything around them that could mislead."""

import os
import signal
from pathlib import Path

from memcg import MemoryCgroup
from rig import Witness
from stage import Life, Stage, ended

FORGED = (
    "<3>Memory cgroup out of memory: Killed process {pid} (python) total-vm:9kB, anon-rss:9kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:9kB oom_score_adj:0"
)
NEIGHBOURS_LIMIT = 64 << 20


def twins(stage: Stage) -> list[Life]:
    """Two kernels of one server are shot in the same millisecond.

    Linux kills a neighbour for memory in that second, and somebody writes into its log that these were.
    """
    sessions, witnesses = [], []
    for name in ("twin-1", "twin-2"):
        session, client = stage.open(name)
        sessions.append(session)
        witnesses.append(Witness(client.pid()))
        client.close()
    with MemoryCgroup("neighbour", NEIGHBOURS_LIMIT) as group:
        group.provoke_kill()
        for witness in witnesses:
            Path("/dev/kmsg").write_text(FORGED.format(pid=witness.pid))
        for witness in witnesses:
            os.kill(witness.pid, signal.SIGKILL)
        for witness in witnesses:
            witness.wait_dead()
    return [ended(s, w.pid) for s, w in zip(sessions, witnesses, strict=True)]
