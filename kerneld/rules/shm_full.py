"""Shared memory (/dev/shm) was full, and writing to it ended the process: SIGBUS.

Source: https://docs.kernel.org/filesystems/tmpfs.html (size), and mmap(2) on SIGBUS; PyTorch's
DataLoader ends so: https://github.com/pytorch/pytorch/issues/5040. Linux writes no line for it.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import own_log
from kerneld.model.exits import exit_of
from kerneld.model.sizes import gib
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence
from kerneld.model.wording import duration, exit_quote, story, subject

NEEDS = ("exit", "memory")
REFINES = frozenset({Cause.BUS_ERROR})

FULL_SHARE, SHORT_SHARE = 0.02, 0.1
"""of its size left: a look is up to 50 ms old, in which a loop fills 100 MiB"""


def judge(case: Case) -> Verdict | None:
    shm = case.memory.shm
    if exit_of(case).signal != signal.SIGBUS or shm is None or not shm.size_bytes:
        return None
    if own_log(case, "mce", "bus_error") is not None or shm.free_bytes > SHORT_SHARE * shm.size_bytes:
        return None
    full = shm.free_bytes <= FULL_SHARE * shm.size_bytes
    left = f"/dev/shm had {gib(shm.free_bytes)} of {gib(shm.size_bytes)} left"
    when = duration(case.died_at - shm.at)
    return Verdict(
        cause=Cause.SHM_FULL,
        confidence=Confidence.LIKELY if full else Confidence.POSSIBLE,
        summary=story(case, f"{subject(case)} wrote to shared memory, and {left}"),
        because=(
            exit_quote(case),
            Evidence(source="memory", at=shm.at, text=f"{left}, seen {when} before the end"),
        ),
    )
