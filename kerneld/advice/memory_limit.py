"""Memory ran out and this process was the large one: what really lowers a peak, with the numbers."""

from kerneld.model.case import Case
from kerneld.model.evidence import best_peak, growth_span_s, tightest_limit
from kerneld.model.incident import Advice
from kerneld.model.sizes import gib
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope

RAN_OUT = (Cause.OOM_CGROUP, Cause.OOM_HOST, Cause.OOM_DAEMON)
HELPS = (
    "What lowers the peak: a smaller dtype (float32 instead of float64 halves an array), reading and "
    "reducing in chunks with a running result, a memory-mapped file (np.memmap, zarr), selecting "
    "columns on reading, and not keeping every intermediate in a list. Filling an array that was made "
    "beforehand ends at the same size."
)


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause not in RAN_OUT or case.scope is Scope.WORKER:
        return None
    if _a_larger_one(case):
        return None
    peak, limit = best_peak(case), tightest_limit(case)
    numbers = ""
    if peak is not None:
        at_least = "at least " if peak.lower_bound else ""
        ceiling = f" under a limit of {gib(limit.limit_bytes)}" if limit else ""
        numbers = f"It held {at_least}{gib(peak.peak_bytes)}{ceiling}. "
    growth = case.memory.growth_bytes_per_s
    if growth is not None and growth >= 1 << 20:
        span_s = growth_span_s(case.memory.samples)
        numbers += f"In its last {span_s:.0f} s it grew by {gib(round(growth))} a second. "
    return Advice(
        id="memory-limit",
        title="Hold less at a time",
        text=numbers + HELPS,
        sure=verdict.confidence is Confidence.CERTAIN,
    )


def _a_larger_one(case: Case) -> bool:
    rows = [row for r in case.log if r.event.is_oom for row in r.event.top]
    own = max((row.rss_kb for row in rows if row.pid == case.process.pid), default=None)
    return own is not None and any(row.rss_kb > 2 * own for row in rows)
