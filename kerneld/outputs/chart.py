"""Memory samples to a chart of box-drawing lines: the limit above, the cells below, the death at ✕."""

from collections.abc import Sequence
from dataclasses import dataclass

from kerneld.model.sizes import gib
from kerneld.outputs.safe import cells, pad
from kerneld.outputs.units import duration
from kerneld.outputs.view import Role, View

HEIGHT = 7
LIMIT_SHOWN_SHARE = 0.25
"""a limit that the peak never came this near is told in words: drawn, it would flatten the line"""

_BLOCKS = " ▁▂▃▄▅▆▇█"
Samples = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment named under the chart. text: `[7]`."""

    before_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """samples: (seconds before the end, bytes), oldest first. end_bytes: what was held at the end."""

    samples: Samples
    limit_bytes: int | None = None
    end_bytes: int | None = None
    marks: Sequence[Mark] = ()


def chart(picture: Picture, view: View) -> list[str]:
    """Lines of a chart; none where fewer than two moments were sampled."""
    samples = [(at, held) for at, held in picture.samples if at >= 0]
    if len({at for at, _ in samples}) < 2:
        return []
    high = max(picture.end_bytes or 0, *(held for _, held in samples))
    limit = picture.limit_bytes
    if limit is not None and not limit * LIMIT_SHOWN_SHARE <= high <= limit * 1.25:
        limit = None
    top = max(high, limit or 0) or 1
    if limit is not None and _row(limit, top) == HEIGHT - 1:
        top = limit  # Linux may have counted a little more: the label is that of the limit
    labels = _labels(top)
    gutter = max(cells(label) for label in labels)
    columns = max(view.width - gutter - 2, 16)
    levels = _levels(samples, columns, picture.end_bytes)
    rows = [_row(level, top) for level in levels]
    canvas = _canvas(rows)
    limit_row = None if limit is None else _row(limit, top)
    if limit_row is not None:
        _draw_limit(canvas[limit_row], rows)
    lines = []
    for row in reversed(range(HEIGHT)):
        axis = "┤" if labels[row] else "│"
        body = _paint_row(canvas[row], row == limit_row, view)
        lines.append(f"{view.paint(pad(labels[row], gutter, '>') + ' ' + axis, 'dim')}{body}")
    return lines + _time_axis(picture, max(at for at, _ in samples), columns, gutter, view)


def _row(level: int, top: int) -> int:
    return min(HEIGHT - 1, round(level / top * (HEIGHT - 1)))


def _labels(top: int) -> list[str]:
    """Labels by row, the lowest first: bottom, middle and top."""
    labels = [""] * HEIGHT
    labels[0], labels[HEIGHT // 2], labels[-1] = "0", gib(top // 2), gib(top)
    return labels


def _levels(samples: Samples, columns: int, end_bytes: int | None) -> list[int]:
    """The largest sample of each column; between samples the last one stands."""
    span = max(at for at, _ in samples) or 1.0
    levels: list[int | None] = [None] * columns
    for at, held in samples:
        column = min(columns - 1, int((span - at) / span * (columns - 1)))
        levels[column] = max(held, levels[column] or 0)
    filled: list[int] = []
    for level in levels:
        filled.append(level if level is not None else filled[-1] if filled else samples[0][1])
    if end_bytes is not None:
        filled[-1] = end_bytes
    return filled


def _canvas(rows: list[int]) -> list[list[str]]:
    """The line through the rows of each column, as box-drawing signs; canvas[0] is the lowest row."""
    canvas = [[" "] * len(rows) for _ in range(HEIGHT)]
    previous = rows[0]
    for column, row in enumerate(rows):
        if row == previous:
            canvas[row][column] = "─"
        elif row > previous:
            canvas[previous][column], canvas[row][column] = "╯", "╭"
        else:
            canvas[previous][column], canvas[row][column] = "╮", "╰"
        for between in range(min(row, previous) + 1, max(row, previous)):
            canvas[between][column] = "│"
        previous = row
    canvas[rows[-1]][-1] = "✕"
    return canvas


def _draw_limit(row: list[str], rows: list[int]) -> None:
    for column, sign in enumerate(row):
        if sign == " ":
            row[column] = "┄"
    word = " limit "
    start = (len(rows) - len(word)) // 2
    if all(sign == "┄" for sign in row[start : start + len(word)]):
        row[start : start + len(word)] = list(word)


def _paint_row(row: list[str], is_limit: bool, view: View) -> str:
    """Runs of one kind painted at once: the limit and the death as `bad`, the line as `accent`."""
    runs: list[tuple[Role, str]] = []
    for sign in "".join(row).rstrip():
        role: Role = "accent" if sign in "─│╭╮╯╰" else "bad" if is_limit or sign == "✕" else ""
        if runs and runs[-1][0] == role:
            runs[-1] = (role, runs[-1][1] + sign)
        else:
            runs.append((role, sign))
    return "".join(view.paint(text, role) for role, text in runs)


def _time_axis(picture: Picture, span_s: float, columns: int, gutter: int, view: View) -> list[str]:
    """`10 min ago   [5]  [7]   death`; a mark that would overlap another is left out, the last kept."""
    line = [" "] * columns
    begin, end = f"{duration(span_s)} ago", "death"
    line[: len(begin)] = list(begin)
    line[columns - len(end) :] = list(end)
    for mark in sorted(picture.marks, key=lambda mark: mark.before_s):
        if not 0 <= mark.before_s <= span_s:
            continue
        at = int((span_s - mark.before_s) / (span_s or 1) * (columns - 1))
        start = max(0, min(at, columns - len(mark.text)))
        if start >= columns - len(end) - 1:
            start = columns - len(end) - 1 - len(mark.text)
        place = slice(max(0, start - 1), start + len(mark.text) + 1)
        if start >= 0 and all(sign == " " for sign in line[place]):
            line[start : start + len(mark.text)] = list(mark.text)
    return [view.paint(" " * (gutter + 2) + "".join(line).rstrip(), "dim")]


def sparkline(samples: Samples, width: int) -> str:
    """The samples as one row of blocks over their time, from 0 to their largest."""
    values = _levels(samples, width, None) if samples else []
    top = max(values, default=0)
    return "".join(_BLOCKS[max(1, round(value / top * 8))] for value in values) if top else ""
