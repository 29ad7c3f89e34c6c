"""The address of a page into the question that it asks, and back into an address."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

from kerneld.errors import UsageError
from kerneld.model.base import from_us, to_us
from kerneld.model.vocabulary import Category, Cause
from kerneld.store import Query

E = TypeVar("E", Cause, Category)

PAGE = 50
PERIODS = {"24h": 1.0, "7d": 7.0, "30d": 30.0, "180d": 180.0, "all": None}
"""in days; every incident that is kept"""
USUAL_PERIOD = "30d"
MAX_TEXT = 256
COLUMNS = 30

_HOUR_US = 3_600_000_000
_WIDTHS_H = (1, 3, 6, 24, 72, 168, 720, 2160)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list shows. Every text is as the address has it; `query` has made sense of it."""

    period: str = USUAL_PERIOD
    cause: str = ""
    category: str = ""
    user: str = ""
    notebook: str = ""
    query: Query = field(default_factory=Query)

    def address(self, **changes: str) -> str:
        """`?period=7d&cause=segfault`: what differs from the usual; "" where nothing does."""
        values = {
            "period": self.period if self.period != USUAL_PERIOD else "",
            "cause": self.cause,
            "category": self.category,
            "user": self.user,
            "notebook": self.notebook,
            "all": "1" if self.query.all else "",
        } | changes
        given = {name: value for name, value in values.items() if value}
        return f"?{urlencode(given)}" if given else "?"

    def at_any_time(self) -> "Asked":
        """What is asked of ends yet to come: pages of one address then ask the same."""
        return replace(self, query=replace(self.query, since=None, before=None))

    @property
    def is_narrowed(self) -> bool:
        return any((self.cause, self.category, self.user, self.notebook))


def asked_of(values: Mapping[str, str], now: datetime) -> Asked:
    """UsageError for a word that is of no vocabulary, or too long."""
    texts = {name: values.get(name, "").strip() for name in ("cause", "category", "user", "notebook")}
    if any(len(text) > MAX_TEXT for text in texts.values()):
        raise UsageError(f"a filter has at most {MAX_TEXT} letters")
    period = values.get("period", USUAL_PERIOD)
    if period not in PERIODS:
        raise UsageError(f"no such period: one of {', '.join(PERIODS)}")
    days = PERIODS[period]
    query = Query(
        since=None if days is None else now - timedelta(days=days),
        cause=_member(Cause, texts["cause"], "cause"),
        category=_member(Category, texts["category"], "category"),
        person=texts["user"] or None,
        notebook=_glob(texts["notebook"]),
        before=_position(values.get("before", "")),
        limit=PAGE + 1,
        reverse=True,
        all=values.get("all") == "1",
    )
    return Asked(period, **texts, query=query)


def _member(kind: type[E], text: str, name: str) -> E | None:
    try:
        return kind(text) if text else None
    except ValueError:
        raise UsageError(f"no {name} is named so: one of {', '.join(kind)}") from None


def _glob(text: str) -> str | None:
    """Words without a pattern are looked for anywhere in the path."""
    if not text:
        return None
    return text if set(text) & set("*?[") else f"*{text}*"


def position_of(died_at: datetime, number: int) -> str:
    """Where the next page begins."""
    return f"{to_us(died_at)}-{number}"


def _position(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    at, _, number = text.partition("-")
    if not (at.isdecimal() and number.isdecimal() and len(at) < 18 and len(number) < 18):
        raise UsageError("no such page")
    return int(at), int(number)


def time_of(text: str) -> datetime | None:
    """Of µs since the epoch, as a browser sends back what it was told; None for anything else."""
    is_time = text.isdecimal() and len(text) < 18
    return from_us(int(text)) if is_time else None


def columns_of(since: datetime | None, oldest: datetime | None, now: datetime) -> tuple[int, int]:
    """How long a column of the chart lasts, and when the first one begins: both in µs.

    About COLUMNS of them, each a whole number of hours or days, on UTC's.
    """
    begin = since or oldest or now - timedelta(days=1)
    hours = max(1.0, (now - begin).total_seconds() / 3600)
    wide = next((width for width in _WIDTHS_H if hours / width <= COLUMNS + 1), _WIDTHS_H[-1])
    column_us = wide * _HOUR_US
    return column_us, to_us(begin.astimezone(UTC)) // column_us * column_us
