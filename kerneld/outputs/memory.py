"""An incident's memory to a section: the peak in words, the chart, the cells under it."""

import re

from kerneld.model.evidence import growth_span_s
from kerneld.model.incident import Incident, MemoryPart
from kerneld.model.vocabulary import LimitKind, PeakHow, Scope
from kerneld.outputs.chart import Mark, Picture, chart
from kerneld.outputs.safe import cells, clip, safe_text, wrap
from kerneld.outputs.units import growth, of_limit, size
from kerneld.outputs.view import View

_CELL_STARTED = re.compile(r"\ACell (\[\d{1,9}\]) started\Z")
_PEAK_HOW = {
    PeakHow.OOM_LINE: "as Linux counted it",
    PeakHow.TASKSTATS: "as Linux counted it",
    PeakHow.VMHWM: "as Linux counted it",
    PeakHow.CGROUP_PEAK: "of its whole cgroup",
    PeakHow.SAMPLE: "last sample",
}
_LIMIT_OF = {
    LimitKind.RLIMIT_AS: "ulimit -v",
    LimitKind.RLIMIT_DATA: "ulimit -d",
    LimitKind.HOST: "the machine",
}


def memory_lines(incident: Incident, view: View) -> list[str]:
    """Nothing where nothing was measured; words where one moment was; else words and the chart."""
    memory = incident.memory
    peak = peak_words(memory)
    if not peak:
        return []
    title = "Memory"
    blanks = " " * max(2, view.width - len(title) - cells(peak))
    lines = [view.paint(title, "head") + blanks + clip(peak, view.width - len(title) - 2)]
    more = "; ".join(more_words(incident))
    lines += [view.paint(f"  {line}", "dim") for line in wrap(safe_text(more), view.width - 2) if line]
    picture = Picture(memory.samples, memory.limit_bytes, end_bytes(memory), cell_marks(incident))
    return lines + chart(picture, view)


def peak_words(memory: MemoryPart) -> str:
    """`peak 4.0 of 4.0 GiB, as Linux counted it`; `peak at least 312 MiB, last sample`."""
    peak = memory.peak_bytes
    if peak is None:
        last = memory.last_bytes
        return "" if last is None else f"last seen at {of_limit(last, memory.limit_bytes, ' of ')}"
    bound = "at least " if memory.peak_is_lower_bound else ""
    how = f", {_PEAK_HOW[memory.peak_how]}" if memory.peak_how else ""
    return f"peak {bound}{of_limit(peak, memory.limit_bytes, ' of ')}{how}"


def more_words(incident: Incident) -> list[str]:
    """The limit's owner, growth, swap and the tree, as far as they say something."""
    memory, said = incident.memory, []
    if memory.limit_kind is not None and memory.limit_bytes is not None:
        owner = memory.limit_path or _LIMIT_OF.get(memory.limit_kind, "its cgroup")
        said.append(f"limit of {owner}")
    if memory.growth_bytes_per_s is not None and abs(memory.growth_bytes_per_s) >= 1 << 20:
        said.append(
            f"{growth(memory.growth_bytes_per_s)}/s in the last {growth_span_s(memory.samples):.0f} s"
        )
    if incident.scope is Scope.WORKER:
        if memory.tree_peak_bytes:
            said.append(f"the kernel and all its workers: {size(memory.tree_peak_bytes)}")
    elif memory.tree_peak_bytes and memory.tree_peak_bytes > 1.05 * (memory.peak_bytes or 0):
        said.append(f"{size(memory.tree_peak_bytes)} with its children")
    if memory.swap_bytes:
        said.append(f"{size(memory.swap_bytes)} in swap")
    return said


def end_bytes(memory: MemoryPart) -> int | None:
    """What it held as it died: the peak where Linux counted it for this process and it was reached
    at the end, by the samples; else the last sample."""
    own = memory.peak_how in (PeakHow.OOM_LINE, PeakHow.TASKSTATS, PeakHow.VMHWM)
    highest = max((held for _, held in memory.samples), default=0)
    if own and memory.peak_bytes is not None and memory.samples and memory.samples[-1][1] == highest:
        return max(memory.peak_bytes, highest)
    return memory.last_bytes


def cell_marks(incident: Incident) -> list[Mark]:
    """The cells that the timeline knows, and the last one."""
    died_at = incident.died_at
    marks: dict[str, Mark] = {}
    for entry in incident.timeline:
        found = _CELL_STARTED.match(entry.text) if entry.source == "iopub" else None
        if found:
            marks[found[1]] = Mark((died_at - entry.at).total_seconds(), found[1])
    for ended in incident.cells:
        if ended.execution_count is not None:
            name = f"[{ended.execution_count}]"
            marks[name] = Mark((died_at - ended.started_at).total_seconds(), name)
    cell = incident.cell
    if cell and cell.started_at and cell.execution_count is not None:
        name = f"[{cell.execution_count}]"
        marks[name] = Mark((died_at - cell.started_at).total_seconds(), name)
    return list(marks.values())
