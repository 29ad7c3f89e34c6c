"""A question about incidents into its counts: over time, and of whom, where and on which line."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kerneld.model.vocabulary import Category, Cause
from kerneld.store.query import Query, counting_statement

MOST = 8
"""of users, notebooks and lines: a page shows the first, and links to all of one"""

Rows = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
_PERSON = """coalesce(CASE WHEN container_id IS NOT NULL THEN hub_name END, user_name, hub_name,
    'uid ' || uid)"""
"""as `outputs.text.person` names one"""


@dataclass(frozen=True, slots=True)
class Ranked:
    """What died how often. uuid: of its latest incident, where that tells more of it."""

    name: str
    count: int
    notebook: str | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """columns: (µs since the epoch at which it begins, category, count), in order of time."""

    count: int = 0
    columns: tuple[tuple[int, Category, int], ...] = ()
    causes: tuple[tuple[Cause, int], ...] = ()
    people: tuple[Ranked, ...] = ()
    notebooks: tuple[Ranked, ...] = ()
    lines: tuple[Ranked, ...] = ()


def overview(rows: Rows, query: Query, *, column_us: int, first_us: int) -> Overview:
    """column_us: how long a column lasts; first_us: when one of them begins."""

    def counted(what: str, groups: str) -> list[tuple[Any, ...]]:
        sql, values = counting_statement(query, f"{what}, count(*)")
        return rows(f"{sql} GROUP BY {groups}", values)

    causes: Counter[Cause] = Counter()
    heights: Counter[tuple[int, Category]] = Counter()
    for number, word, count in counted(f"(died_at - {first_us}) / {column_us}, cause", "1, 2"):
        cause = Cause(word)
        causes[cause] += count
        heights[first_us + number * column_us, cause.category] += count
    # two passes: by person, notebook and line at once there may be as many groups as incidents
    people = [Ranked(name, count) for name, count in counted(_PERSON, "1")]
    notebooks: Counter[str] = Counter()
    lines: Counter[tuple[str, str]] = Counter()
    latest: dict[tuple[str, str], int] = {}
    for notebook, place, newest, count in counted("notebook, place, max(id)", "1, 2"):
        if notebook is not None:
            notebooks[notebook] += count
            if place is not None:
                lines[place, notebook] += count
                latest[place, notebook] = newest
    return Overview(
        count=causes.total(),
        columns=tuple((begin, category, n) for (begin, category), n in sorted(heights.items())),
        causes=tuple(causes.most_common()),
        people=tuple(sorted(people, key=lambda person: -person.count)[:MOST]),
        notebooks=tuple(Ranked(name, n) for name, n in notebooks.most_common(MOST)),
        lines=tuple(
            Ranked(place, n, notebook, _uuid(rows, latest[place, notebook]))
            for (place, notebook), n in lines.most_common(MOST)
        ),
    )


def _uuid(rows: Rows, number: int) -> str | None:
    """Of a line's latest incident, which knows the line by more than its digest."""
    found = rows("SELECT uuid FROM ends WHERE id = ?", [number])
    return found[0][0] if found else None
