"""One incident to the page that tells it: the sentence first, the numbers second, the proof last."""

from collections.abc import Callable

from kerneld.model.incident import Incident
from kerneld.outputs.code import cell_lines, finished_lines, frame_lines, growth_lines
from kerneld.outputs.facts import Pair, fact_rows
from kerneld.outputs.headline import standing, what, who
from kerneld.outputs.memory import memory_lines
from kerneld.outputs.proof import (
    advice_lines,
    against_lines,
    alternative_lines,
    because_lines,
    blind_lines,
    bystander_lines,
    fault_lines,
    timeline_lines,
)
from kerneld.outputs.safe import cells, clip, pad, safe_text, wrap
from kerneld.outputs.view import View

MOST_WIDTH = 120
"""a page wider than this is not read but searched"""

PROSE_WIDTH = 96

Section = Callable[[Incident, View], list[str]]
SECTIONS: tuple[Section, ...] = (
    memory_lines,
    finished_lines,
    cell_lines,
    growth_lines,
    frame_lines,
    fault_lines,
    bystander_lines,
    advice_lines,
    because_lines,
    against_lines,
    blind_lines,
    alternative_lines,
    timeline_lines,
)


def story(incident: Incident, view: View) -> str:
    """The whole page; a section of which nothing is known is left out."""
    view = View(view.now, view.zone, min(view.width, MOST_WIDTH), view.colour)
    blocks: list[list[str]] = [_head(incident, view), _facts(incident, view)]
    blocks += [section(incident, view) for section in SECTIONS]
    blocks.append(_foot(incident, view))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _head(incident: Incident, view: View) -> list[str]:
    right = standing(incident)
    left = f"{who(incident)} {what(incident)}"
    room = view.width - cells(right) - 2
    lines = wrap(left, room)[:2]
    first = lines[0] + " " * (view.width - cells(lines[0]) - cells(right))
    head = [view.paint(first, "head") + right, *(view.paint(line, "head") for line in lines[1:])]
    head.append(view.paint("─" * view.width, "dim"))
    return [*head, *wrap(safe_text(incident.summary), min(view.width, PROSE_WIDTH))]


def _facts(incident: Incident, view: View) -> list[str]:
    """Two columns where both values of a row fit, then a line for each further fact."""
    rows, more = fact_rows(incident, view)
    label = max(cells(name) for name, _ in (*(pair for row in rows for pair in row), *more))
    other = max((cells(row[1][0]) for row in rows if len(row) == 2), default=0)
    room = view.width - label - other - 8
    left = max((cells(row[0][1]) for row in rows if cells(row[0][1]) < room * 2 // 3), default=0)
    lines = []
    for row in rows:
        (name, text), *rest = row
        if rest and cells(text) <= left and cells(rest[0][1]) <= room - left:
            first = f"  {view.paint(pad(name, label), 'dim')}  {pad(text, left)}"
            lines.append(f"{first}  {view.paint(pad(rest[0][0], other), 'dim')}  {rest[0][1]}")
        else:
            lines += [line for pair in row for line in _folded(pair, label, view)]
    return [*lines, *(line for pair in more for line in _folded(pair, label, view))]


def _folded(pair: Pair, label: int, view: View) -> list[str]:
    first, *rest = wrap(pair[1], view.width - label - 4)
    head = f"  {view.paint(pad(pair[0], label), 'dim')}  {first}"
    return [head, *(" " * (label + 4) + line for line in rest)]


def _foot(incident: Incident, view: View) -> list[str]:
    """Its name for good, and what is no longer kept."""
    revised = f", revision {incident.revision}" if incident.revision > 1 else ""
    lines = [view.paint(clip(f"{safe_text(incident.uuid)}{revised}", view.width), "dim")]
    if incident.evidence_dropped:
        lines += wrap(f"Evidence left out: {safe_text(incident.evidence_dropped)}", view.width)
    return lines
