"""One incident into the parts of its page: the sentence first, the numbers second, the proof last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kerneld.model.growth import Frame, GrowthLine
from kerneld.model.incident import CellPart, Incident
from kerneld.model.sizes import gib
from kerneld.outputs.chart import Picture
from kerneld.outputs.code import (
    FRAMES,
    GROWTH_LINES,
    NO_CODE,
    finished_rows,
    finished_title,
    grown_words,
    is_in,
    kept_line,
    place_words,
    window,
    withheld_words,
    without_middle,
)
from kerneld.outputs.facts import Pair, fact_rows
from kerneld.outputs.headline import standing, tail, what, who
from kerneld.outputs.memory import cell_marks, end_bytes, more_words, peak_words
from kerneld.outputs.proof import BYSTANDERS, LABELS, bystander_name, fault_words
from kerneld.outputs.safe import safe_text
from kerneld.outputs.units import clock, duration
from kerneld.outputs.view import View
from kerneld.web.charts import MemoryChart, memory_chart


@dataclass(frozen=True, slots=True)
class CodeLine:
    number: int
    text: str
    is_marked: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """withheld: why there are no lines. before, after: how many lines of it are not shown."""

    title: str
    lines: tuple[CodeLine, ...] = ()
    withheld: str = ""
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class FramePart:
    """place "": so many frames are left out, as `text` says."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    source: str
    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A process at the death."""

    name: str
    size: str
    role: str
    share: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Of advice."""

    title: str
    text: str
    code: str


@dataclass(frozen=True, slots=True)
class Story:
    """Every text is safe; the template escapes it for HTML."""

    incident: Incident
    title: str
    short_title: str
    standing: str
    summary: str
    advice: tuple[Piece, ...]
    left_out: str
    facts: tuple[Pair, ...]
    memory: str
    memory_more: str
    chart: MemoryChart | None
    cell: Cell | None
    ended_title: str
    ended: tuple[tuple[str, str, str, str, str], ...]
    """the cells before it: number, how long, what it did to the memory, its peak, its first words"""
    grown: tuple[tuple[str, str], ...]
    frames: tuple[FramePart, ...]
    frames_when: str
    fault: str
    native_stack: str
    bystanders: tuple[Held, ...]
    proof: tuple[Section, ...]
    timeline: tuple[Quote, ...]


def story_of(incident: Incident, view: View) -> Story:
    memory = incident.memory
    rows, more = fact_rows(incident, view)
    picture = Picture(memory.samples, memory.limit_bytes, end_bytes(memory), cell_marks(incident))
    fault = incident.fault
    return Story(
        incident=incident,
        title=f"{who(incident)} {what(incident)}",
        short_title=safe_text(tail(incident.notebook.path, 1)) if incident.notebook else who(incident),
        standing=standing(incident),
        summary=safe_text(incident.summary),
        advice=tuple(
            Piece(safe_text(a.title), safe_text(a.text or ""), _code(a.code or ""))
            for a in incident.advice
        ),
        left_out=safe_text(incident.evidence_dropped or ""),
        facts=tuple(pair for row in [*rows, more] for pair in row),
        memory=peak_words(memory),
        memory_more=safe_text("; ".join(more_words(incident))),
        chart=memory_chart(picture),
        cell=_cell(incident),
        ended_title=finished_title(incident),
        ended=tuple(finished_rows(incident)),
        grown=_grown(incident),
        frames=_frames(incident),
        frames_when=_before(incident),
        fault=fault_words(fault) if fault else "",
        native_stack=_code((fault.native_stack if fault else None) or ""),
        bystanders=_bystanders(incident),
        proof=_proof(incident, view),
        timeline=tuple(_quote(e.source, e.at, e.text, view) for e in incident.timeline),
    )


def _code(text: str) -> str:
    """Lines stay lines; all else that moves a cursor or turns the direction is shown escaped."""
    return "\n".join(safe_text(line) for line in text.expandtabs(4).splitlines())


def _cell(incident: Incident) -> Cell | None:
    cell = incident.cell
    if cell is None:
        return None
    number = "" if cell.execution_count is None else f" [{cell.execution_count}]"
    elapsed = f", {duration(cell.elapsed_s)} into it" if cell.elapsed_s is not None else ", had ended"
    title = f"Cell{number}{elapsed}"
    if not cell.source:
        return _kept_cell(incident, cell, title)
    lines = cell.source.expandtabs(4).splitlines()
    grown = {g.line: g for g in reversed(incident.growth_lines) if g.line and is_in(cell, g)}
    first, last = window(len(lines), cell.line)
    shown = tuple(
        CodeLine(n, safe_text(text), n == cell.line, grown_words(grown[n]) if n in grown else "")
        for n, text in enumerate(lines[first - 1 : last], first)
    )
    return Cell(title, shown, before=first - 1, after=len(lines) - last)


def _kept_cell(incident: Incident, cell: CellPart, title: str) -> Cell:
    """The one line that may be shown, or why none is."""
    if cell.line is None:
        return Cell(title, withheld=withheld_words(cell.code_policy))
    code, grown = kept_line(incident)
    line = CodeLine(cell.line, safe_text(code or NO_CODE), True, grown_words(grown) if grown else "")
    return Cell(title, (line,))


def _grown(incident: Incident) -> tuple[tuple[str, str], ...]:
    """Where it grew; nothing where the one line is marked in its cell already."""
    lines, cell = incident.growth_lines[:GROWTH_LINES], incident.cell
    if len(lines) == 1 and cell and cell.line == lines[0].line and is_in(cell, lines[0]):
        return ()
    return tuple((safe_text(place_words(line)), grown_words(line)) for line in lines)


def _before(incident: Incident) -> str:
    stack = incident.stack
    return f"{duration(incident.died_at - stack.at)} before the end" if stack else ""


def _frames(incident: Incident) -> tuple[FramePart, ...]:
    stack = incident.stack
    if stack is None:
        return ()
    left_out = FramePart("", f"… {len(stack.frames) - FRAMES} frames")
    return tuple(left_out if frame is None else _frame(frame) for frame in without_middle(stack.frames))


def _frame(frame: Frame) -> FramePart:
    return FramePart(safe_text(place_words(frame)), safe_text((frame.code or "").strip()))


def _bystanders(incident: Incident) -> tuple[Held, ...]:
    largest = sorted(incident.bystanders, key=lambda part: part.rss_bytes, reverse=True)[:BYSTANDERS]
    most = max((part.rss_bytes for part in largest), default=1) or 1
    return tuple(
        Held(
            name=safe_text(bystander_name(part)),
            size=gib(part.rss_bytes),
            role="" if part.role == "other" else safe_text(part.role),
            share=part.rss_bytes / most,
        )
        for part in largest
    )


def _proof(incident: Incident, view: View) -> tuple[Section, ...]:
    """Without those of which there is nothing to say."""
    parts: Sequence[tuple[str, list[tuple[str, datetime | None, str]]]] = (
        ("Why we say so", [(p.source, p.at, p.text) for p in incident.because]),
        ("Against it", [(p.source, p.at, p.text) for p in incident.against]),
        ("Not looked at", [(p.source, None, p.reason) for p in incident.blind]),
        (
            "It could also be",
            [
                (a.cause.value, None, f"{a.confidence.value}: {a.because}")
                for a in incident.alternatives
            ],
        ),
    )
    return tuple(
        Section(title, tuple(_quote(*quote, view=view) for quote in quotes))
        for title, quotes in parts
        if quotes
    )


def _quote(source: str, at: datetime | None, text: str, view: View) -> Quote:
    return Quote(safe_text(LABELS.get(source, source)), clock(at, view) if at else "", safe_text(text))


def place_of(incident: Incident) -> str:
    """The line to blame, without its code: `cell [7] line 4`, `etl.py:12`. Safe text."""
    cell = incident.cell
    if cell is not None and cell.line is not None:
        return f"cell [{cell.execution_count}] line {cell.line}"
    grown: GrowthLine | None = next((line for line in incident.growth_lines if line.file), None)
    return safe_text(f"{tail(grown.file or '')}:{grown.line}") if grown else "a line"
