"""What an incident keeps of code to sections: the cell with its marked line, who grew, the stack."""

from collections.abc import Sequence

from kerneld.model.cells import MOVED_BYTES, FinishedCell
from kerneld.model.exceptions import public_name
from kerneld.model.growth import Frame, GrowthLine
from kerneld.model.incident import CellPart, Incident
from kerneld.outputs.safe import cells, clip, pad, safe_text
from kerneld.outputs.units import duration, growth, size
from kerneld.outputs.view import View

AROUND = 6
"""lines of a cell shown before and after the marked one"""

NOTE_COLUMN = 72
"""how much grew stands beside its line, not at the far end of a wide terminal"""

FRAMES = 12
FINISHED_CELLS = 6
GROWTH_LINES = 6


def cell_lines(incident: Incident, view: View) -> list[str]:
    """The source with the guilty line marked; of a long cell the part around it, else its end."""
    cell = incident.cell
    if cell is None:
        return []
    number = "" if cell.execution_count is None else f" [{cell.execution_count}]"
    elapsed = f", {duration(cell.elapsed_s)} into it" if cell.elapsed_s is not None else ", had ended"
    if cell.how != "iopub":
        elapsed = ", probably: the last in IPython's history when the recorder began"
    head = f"{view.paint(f'Cell{number}', 'head')}{elapsed}"
    if not cell.source:
        return [head, *_withheld(incident, view)]
    lines = cell.source.expandtabs(4).splitlines()
    grown = {
        line.line: line
        for line in reversed(incident.growth_lines)
        if line.line is not None and is_in(cell, line)
    }
    first, last = window(len(lines), cell.line)
    digits = len(str(last))
    shown = [head]
    if first > 1:
        shown.append(view.paint(f"   {'…':>{digits}}", "dim"))
    for number_of, text in enumerate(lines[first - 1 : last], first):
        is_marked = number_of == cell.line
        note = grown_words(grown[number_of]) if number_of in grown else ""
        shown.append(_code_line(number_of, digits, text, (is_marked, note), view))
    if last < len(lines):
        shown.append(view.paint(f"   {'…':>{digits}}  {len(lines) - last} more lines", "dim"))
    return shown


def kept_line(incident: Incident) -> tuple[str | None, GrowthLine | None]:
    """Of a cell whose source is not kept: the code of its marked line, and what that line grew."""
    cell = incident.cell
    frames = incident.stack.frames if incident.stack else ()
    parts: list[GrowthLine | Frame] = [*incident.growth_lines, *frames]
    kept = [part for part in parts if cell and part.line == cell.line and is_in(cell, part)]
    code = next((part.code for part in kept if part.code), None)
    return code, next((part for part in kept if isinstance(part, GrowthLine)), None)


def withheld_words(policy: str | None) -> str:
    """Why no source is shown. Safe text."""
    if policy == "full":
        return "Its source is for its user's eyes (privacy.admin_sees_code)."
    reason = f"by the code policy `{policy}`" if policy else "it was not heard"
    return safe_text(f"Its source is not kept: {reason}.")


NO_CODE = "(its code is not kept)"


def _withheld(incident: Incident, view: View) -> list[str]:
    """Why no source is shown, and the one line that may be."""
    cell = incident.cell
    code, grown = kept_line(incident)
    if cell is not None and cell.line is not None:
        mark = (True, grown_words(grown) if grown else "")
        return [_code_line(cell.line, len(str(cell.line)), code or NO_CODE, mark, view)]
    return [view.paint(f"  {withheld_words(cell.code_policy if cell else None)}", "dim")]


def window(count: int, marked: int | None) -> tuple[int, int]:
    """The first and last line shown, 1-based and inclusive."""
    most = 2 * AROUND + 1
    if count <= most:
        return 1, count
    middle = min(max(marked if marked is not None else count, AROUND + 1), count - AROUND)
    return middle - AROUND, middle + AROUND


def _code_line(number: int, digits: int, text: str, mark: tuple[bool, str], view: View) -> str:
    is_marked, note = mark
    sign = "▸" if is_marked else " "
    room = view.width - digits - 5 - (cells(note) + 2 if note else 0)
    if note:
        room = min(room, max(cells(text) + 2, NOTE_COLUMN))
    code = clip(safe_text(text), room)
    line = f" {sign} {number:>{digits}}  {pad(code, room) if note else code}"
    return view.paint(line, "bad" if is_marked else "") + (f"  {note}" if note else "")


def grown_words(line: GrowthLine) -> str:
    return f"{growth(line.bytes)} {line.share * 100:3.0f} %"


def is_in(cell: CellPart, line: GrowthLine | Frame) -> bool:
    """Whether the line is this cell's, not another cell's or a module's."""
    return line.execution_count is not None and line.execution_count == cell.execution_count


def finished_rows(incident: Incident) -> list[tuple[str, str, str, str, str]]:
    """The cells before the last one: number, how long, what each did to the memory, its first words."""
    ended = [cell for cell in incident.cells if not _is_last(cell, incident.cell)][-FINISHED_CELLS:]
    return [
        (
            "" if cell.execution_count is None else f"[{cell.execution_count}]",
            duration(cell.duration_s),
            growth(change) if abs(change := cell.change_bytes or 0) >= MOVED_BYTES else "",
            f"peak {size(cell.peak_bytes)}" if cell.moved_memory else "",
            _first_words(cell),
        )
        for cell in ended
    ]


def finished_title(incident: Incident) -> str:
    return "Cells before it" if incident.cell else "Cells"


def finished_lines(incident: Incident, view: View) -> list[str]:
    rows = finished_rows(incident)
    if not rows:
        return []
    widths = [max(cells(row[column]) for row in rows) for column in range(4)]
    lines = [view.paint(finished_title(incident), "head")]
    for row in rows:
        fields = zip(row, widths, strict=False)
        lead = "  ".join(pad(text, width, ">") for text, width in fields if width)
        lines.append(f"  {clip(f'{lead}  {row[-1]}'.rstrip(), view.width - 2)}")
    return lines


def _is_last(cell: FinishedCell, last: CellPart | None) -> bool:
    return last is not None and last.started_at == cell.started_at


def _first_words(cell: FinishedCell) -> str:
    """Its code where that is kept, and the error that ended it."""
    failed = (public_name(cell.error) or "an exception") if cell.failed else ""
    return safe_text("  ".join(part for part in (cell.code or "", failed and f"✗ {failed}") if part))


def growth_lines(incident: Incident, view: View) -> list[str]:
    """Who grew, line by line; nothing where the one line is marked in its cell already."""
    cell, lines = incident.cell, incident.growth_lines
    if (
        len(lines) == 1
        and cell
        and cell.source
        and cell.line == lines[0].line
        and is_in(cell, lines[0])
    ):
        return []
    rows = [
        (safe_text(place_words(line)), grown_words(line))
        for line in incident.growth_lines[:GROWTH_LINES]
    ]
    if not rows:
        return []
    right = max(cells(note) for _, note in rows)
    room = min(max(cells(place) for place, _ in rows), view.width - right - 4)
    return [
        view.paint("Where it grew", "head"),
        *(f"  {pad(clip(place, room, 'end'), room)}  {pad(note, right, '>')}" for place, note in rows),
    ]


def place_words(part: GrowthLine | Frame) -> str:
    """`load, etl/load.py:41`; `fill, cell [3] line 2`; what could not be charged is `unattributed`."""
    function = None if part.function == "<module>" and part.file else part.function
    if part.execution_count is not None:
        where = f"cell [{part.execution_count}] line {part.line}"
    else:
        number = "" if part.line is None else f":{part.line}" if part.file else f"line {part.line}"
        where = f"{part.file or ''}{number}"
    return ", ".join(piece for piece in (function, where) if piece) or "unattributed"


def frame_lines(incident: Incident, view: View) -> list[str]:
    """The last Python stack, as it was seen; a deep one without its middle."""
    stack = incident.stack
    if stack is None or not stack.frames:
        return []
    before = duration(incident.died_at - stack.at)
    lines = [f"{view.paint('Stack', 'head')}, {before} before the end"]
    for frame in without_middle(stack.frames):
        if frame is None:
            lines.append(view.paint(f"  … {len(stack.frames) - FRAMES} frames", "dim"))
            continue
        place = place_words(frame)
        lines.append("  " + clip(safe_text(place), view.width - 2, "end"))
        if frame.code:
            lines.append(
                view.paint("    " + clip(safe_text(frame.code.strip()), view.width - 4), "dim")
            )
    return lines


def without_middle(frames: Sequence[Frame]) -> list[Frame | None]:
    if len(frames) <= FRAMES:
        return list(frames)
    half = FRAMES // 2
    return [*frames[:half], None, *frames[-half:]]
