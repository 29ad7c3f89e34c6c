"""A worker was killed for memory: each holds a copy of its own, so fewer of them hold less."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.oom import oom_line, oom_rss_bytes
from kerneld.model.sizes import gib
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if case.scope is not Scope.WORKER or verdict.cause not in (Cause.OOM_CGROUP, Cause.OOM_HOST):
        return None
    line, tree = oom_line(case), case.memory.tree_peak_bytes
    held = oom_rss_bytes(line.event) if line else None
    numbers = f"It held {gib(held)}" if held else ""
    if numbers and tree:
        numbers += f", the kernel with all its workers up to {gib(tree)}"
    return Advice(
        id="workers",
        title="Run fewer workers, or give each less",
        text=(
            f"{numbers}{'. ' if numbers else ''}Each worker holds what it is sent, and what it makes, "
            "in memory of its own: fewer of them (n_jobs, num_workers, max_workers), smaller pieces of "
            "work, or data that is mapped from a file instead of sent (joblib's mmap_mode, np.memmap). "
            "The pool can't go on after this: make a new one."
        ),
        sure=verdict.confidence is Confidence.CERTAIN,
    )
