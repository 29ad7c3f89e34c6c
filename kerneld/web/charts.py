"""Numbers into the geometry of charts: points, paths and words, which a template makes SVG of."""

from collections.abc import Sequence
from dataclasses import dataclass

from kerneld.model.sizes import gib
from kerneld.model.vocabulary import Category
from kerneld.outputs.chart import LIMIT_SHOWN_SHARE, Picture, Samples
from kerneld.outputs.units import duration

WIDTH, HEIGHT = 720.0, 200.0
MOST_POINTS = 480
CROWD = 80.0
"""a word's width where letters are largest"""
ORDER = tuple(Category)


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and what is written there. is_crowded: not on a small screen."""

    at: float
    text: str
    is_crowded: bool = False


@dataclass(frozen=True, slots=True)
class MemoryChart:
    """line: the path of the samples; area: the same, closed below. limit_y: None: not drawn."""

    line: str
    area: str
    levels: tuple[Tick, ...]
    marks: tuple[Tick, ...]
    begin: str
    end_y: float
    limit_y: float | None
    words: str


def memory_chart(picture: Picture) -> MemoryChart | None:
    """None where fewer than two moments were sampled."""
    samples = [(at, held) for at, held in picture.samples if at >= 0]
    span_s = max((at for at, _ in samples), default=0.0)
    if len({at for at, _ in samples}) < 2 or not span_s:
        return None
    end = picture.end_bytes if picture.end_bytes is not None else samples[-1][1]
    high = max(end, *(held for _, held in samples))
    limit = picture.limit_bytes
    if limit is not None and not limit * LIMIT_SHOWN_SHARE <= high <= limit * 1.25:
        limit = None
    top = (max(high, limit or 0) or 1) * 1.06

    def x(before_s: float) -> float:
        return round((span_s - before_s) / span_s * WIDTH, 1)

    def y(held: float) -> float:
        return round(HEIGHT - held / top * HEIGHT, 1)

    points = [(x(at), y(held)) for at, held in _thinned(samples)]
    if samples[-1][0] > 0 or samples[-1][1] != end:
        points.append((WIDTH, y(end)))
    line = "M" + "L".join(f"{px:g} {py:g}" for px, py in points)
    return MemoryChart(
        line=line,
        area=f"{line}V{HEIGHT:g}H{points[0][0]:g}Z",
        levels=tuple(Tick(y(level), gib(level)) for level in _levels(top)),
        marks=_marks(
            [(x(mark.before_s), mark.text) for mark in picture.marks if 0 <= mark.before_s <= span_s]
        ),
        begin=f"{duration(span_s)} before",
        end_y=y(end),
        limit_y=None if limit is None else y(limit),
        words=_told(samples[0][1], end, span_s, limit),
    )


def _marks(places: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    """Words below the chart stand beside those of its ends, and beside each other."""
    shown, last = list[Tick](), CROWD
    for at, text in sorted(places):
        is_crowded = at - last < CROWD or at > WIDTH - 1.5 * CROWD
        shown.append(Tick(at, text, is_crowded))
        last = last if is_crowded else at
    return tuple(shown)


def _told(first: int, end: int, span_s: float, limit: int | None) -> str:
    """The chart for who does not see it."""
    ceiling = f", under a limit of {gib(limit)}" if limit is not None else ""
    return f"Memory went from {gib(first)} to {gib(end)} in the last {duration(span_s)}{ceiling}."


def _levels(top: float) -> list[int]:
    """Two or three round sizes: powers of two of bytes, or one and a half of them."""
    step = 1
    while step * 4 < top:
        step *= 2
    return [step * n for n in range(1, 5) if step * n <= top]


def _thinned(samples: Samples) -> list[tuple[float, int]]:
    """At most MOST_POINTS, of each stretch its highest: a peak is never smoothed away."""
    stretch = max(1, -(-len(samples) // MOST_POINTS))
    pieces = [samples[i : i + stretch] for i in range(0, len(samples), stretch)]
    return [max(piece, key=lambda sample: sample[1]) for piece in pieces]


def spark(samples: Samples, width: float = 96.0, height: float = 22.0) -> str:
    """The path of a small line without axes; "" where there is nothing to draw."""
    span_s = max((at for at, _ in samples), default=0.0)
    high = max((held for _, held in samples), default=0)
    if not span_s or not high:
        return ""
    points = (
        f"{(span_s - at) / span_s * width:.1f} {height - 1 - held / high * (height - 2):.1f}"
        for at, held in samples
    )
    return "M" + "L".join(points)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a column: its category's count."""

    category: Category
    count: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    begin_us: int
    x: float
    width: float
    count: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class CausesChart:
    """levels: counts on the vertical axis."""

    columns: tuple[Column, ...]
    levels: tuple[Tick, ...]
    most: int


def causes_chart(
    counts: Sequence[tuple[int, Category, int]], *, first_us: int, column_us: int, until_us: int
) -> CausesChart:
    """Columns of stacked categories, empty ones too, from the first to now."""
    of_column: dict[int, dict[Category, int]] = {}
    for begin_us, category, count in counts:
        of_column.setdefault(begin_us, {})[category] = count
    begins = range(first_us, max(until_us, first_us + 1), column_us)
    most = max((sum(parts.values()) for parts in of_column.values()), default=0)
    step = WIDTH / len(begins)
    columns = tuple(
        _column(begin, of_column.get(begin, {}), (index * step, step), most or 1)
        for index, begin in enumerate(begins)
    )
    levels = tuple(Tick(round(HEIGHT - n / (most or 1) * HEIGHT, 1), str(n)) for n in _counts(most))
    return CausesChart(columns, levels, most)


def _column(begin_us: int, parts: dict[Category, int], place: tuple[float, float], most: int) -> Column:
    x, step = place
    gap = min(3.0, step / 4)
    blocks: list[Block] = []
    top = HEIGHT
    for category in ORDER:
        count = parts.get(category, 0)
        if count:
            height = count / most * HEIGHT
            top -= height
            blocks.append(Block(category, count, round(top, 2), round(height, 2)))
    total = sum(parts.values())
    return Column(begin_us, round(x + gap / 2, 2), round(step - gap, 2), total, tuple(blocks))


def _counts(most: int) -> list[int]:
    """Round numbers up to the largest."""
    if most <= 3:
        return list(range(1, most + 1))
    step = next(n * 10**power for power in range(10) for n in (1, 2, 5) if most / (n * 10**power) <= 4)
    return [step * n for n in range(1, 5) if step * n <= most]
