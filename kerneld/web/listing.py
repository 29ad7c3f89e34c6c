"""Incidents and living kernels into the rows that a list shows; counts into an overview."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kerneld.model.base import from_us
from kerneld.model.incident import Incident
from kerneld.model.living import LivingState
from kerneld.model.sizes import NEAR_LIMIT_SHARE
from kerneld.model.vocabulary import Category, Cause, Confidence, State
from kerneld.outputs.causes import CAUSES
from kerneld.outputs.headline import tail, what
from kerneld.outputs.incidents import notebook_words, peak_of_limit
from kerneld.outputs.kernels import growth_rate, running_cell, seconds_to_limit
from kerneld.outputs.safe import safe_text
from kerneld.outputs.text import person, user_name
from kerneld.outputs.units import duration, of_limit, when, when_exactly
from kerneld.outputs.view import View
from kerneld.store.overview import Overview, Ranked
from kerneld.web.charts import Block, CausesChart, causes_chart, spark

_HOUR_US = 3_600_000_000
_SPANS = {_HOUR_US: "an hour", 24 * _HOUR_US: "a day", 168 * _HOUR_US: "a week"}


@dataclass(frozen=True, slots=True)
class Row:
    """One incident of a list. Every text is safe; the template escapes it for HTML."""

    uuid: str
    loop_id: str
    died_at: datetime
    when: str
    when_exactly: str
    user: str
    notebook: str
    path: str
    what: str
    cause: Cause
    category: Category
    meaning: str
    confidence: Confidence
    is_provisional: bool
    deaths: int
    memory: str
    share: float | None


def row_of(incident: Incident, view: View) -> Row:
    memory = incident.memory
    peak, limit = memory.peak_bytes or memory.last_bytes, memory.limit_bytes
    return Row(
        uuid=incident.uuid,
        loop_id=incident.loop_id,
        died_at=incident.died_at,
        when=when(incident.died_at, view),
        when_exactly=when_exactly(incident.died_at, view),
        user=user_name(incident),
        notebook=safe_text(notebook_words(incident)),
        path=safe_text(incident.notebook.path) if incident.notebook else "",
        what=what(incident),
        cause=incident.cause,
        category=incident.category,
        meaning=CAUSES[incident.cause].short,
        confidence=incident.confidence,
        is_provisional=incident.state is State.PROVISIONAL,
        deaths=incident.loop.count if incident.loop else 1,
        memory=peak_of_limit(incident),
        share=min(1.0, peak / limit) if peak and limit else None,
    )


@dataclass(frozen=True, slots=True)
class Life:
    """One kernel that lives."""

    pid: int
    user: str
    notebook: str
    path: str
    kernel: str
    state: str
    cell: str
    memory: str
    share: float | None
    is_near: bool
    growth: str
    full_in: str
    up: str
    spark: str


def life_of(state: LivingState, now: datetime) -> Life:
    held = state.tree_bytes if state.tree_bytes is not None else state.rss_bytes
    limit = state.limit_bytes
    path = safe_text(state.notebook_path or "")
    return Life(
        pid=state.key.pid,
        user=person(
            state.user_name, state.hub_name, state.uid, in_container=state.container_id is not None
        ),
        notebook=safe_text(tail(path)) if path else safe_text(state.kernel_name or "kernel"),
        path=path,
        kernel=safe_text(state.kernel_name or ""),
        state=state.state,
        cell=running_cell(state),
        memory=of_limit(held, limit),
        share=min(1.0, held / limit) if held and limit else None,
        is_near=bool(held and limit and held >= NEAR_LIMIT_SHARE * limit),
        growth=growth_rate(state),
        full_in="" if (left_s := seconds_to_limit(state)) is None else duration(left_s),
        up=duration(now - state.started_at),
        spark=spark(state.samples),
    )


@dataclass(frozen=True, slots=True)
class Rank:
    """One of those that die most. share: of the first one's count. title: all of a shortened name."""

    name: str
    title: str
    value: str
    count: int
    share: float
    uuid: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a page: who, where and why, and the chart of causes over time."""

    count: int
    categories: tuple[tuple[Category, int], ...]
    causes: tuple[Rank, ...]
    people: tuple[Rank, ...]
    notebooks: tuple[Rank, ...]
    lines: tuple[Rank, ...]
    chart: CausesChart
    pace: str
    """`at most 571 in a day`: the height of the chart"""
    titles: tuple[str, ...]
    """of the chart's columns: from when, and how many of each category"""


def summary_of(
    counts: Overview,
    places: dict[str, str],
    view: View,
    *,
    first_us: int,
    column_us: int,
    until_us: int,
) -> Summary:
    """places: by the uuid of a line's latest incident, where in its notebook or file it stands."""
    totals: dict[Category, int] = {}
    for _, category, count in counts.columns:
        totals[category] = totals.get(category, 0) + count
    chart = causes_chart(counts.columns, first_us=first_us, column_us=column_us, until_us=until_us)
    return Summary(
        count=counts.count,
        categories=tuple(sorted(totals.items(), key=lambda pair: -pair[1])),
        causes=_ranks([Ranked(cause.value, n) for cause, n in counts.causes]),
        people=_ranks(counts.people),
        notebooks=_ranks(counts.notebooks, shorten=True),
        lines=_lines(counts.lines, places),
        chart=chart,
        pace=f"at most {chart.most:,} in {_SPANS.get(column_us) or duration(column_us / 1e6)}",
        titles=tuple(
            _title(column.begin_us, column.blocks, column_us, view) for column in chart.columns
        ),
    )


def _ranks(ranked: Sequence[Ranked], *, shorten: bool = False) -> tuple[Rank, ...]:
    most = ranked[0].count if ranked else 1
    return tuple(
        Rank(
            name=safe_text(tail(each.name) if shorten else each.name),
            title=safe_text(each.name),
            value=each.name,
            count=each.count,
            share=each.count / most,
        )
        for each in ranked
    )


def _lines(ranked: Sequence[Ranked], places: dict[str, str]) -> tuple[Rank, ...]:
    known = [each for each in ranked if each.uuid in places]
    most = known[0].count if known else 1
    return tuple(
        Rank(
            name=places[each.uuid or ""],
            title=safe_text(each.notebook or ""),
            value="",
            count=each.count,
            share=each.count / most,
            uuid=each.uuid,
            note=safe_text(tail(each.notebook)) if each.notebook else "",
        )
        for each in known
    )


def _title(begin_us: int, blocks: Sequence[Block], column_us: int, view: View) -> str:
    begin = from_us(begin_us).astimezone(view.zone)
    day = f"{begin:%b %d}" if column_us >= 86_400_000_000 else f"{begin:%b %d %H:%M}"
    parts = ", ".join(f"{block.count} {block.category.value}" for block in blocks)
    return f"{day}: {parts or 'none'}"
