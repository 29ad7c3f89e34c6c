"""A log line's date, in any of the usual spellings and languages, to a moment in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

SLACK = timedelta(days=1)
"""how far past the newest possible moment a date without a year may lie: another zone"""

_CLOCK = r"(?P<clock>\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?)"
_WORD = r"[^\W\d_]{1,12}\.?"
_MONTH = rf"(?P<month>\d{{1,2}}[月월]|{_WORD})"
_ISO_MOMENT = (
    r"(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
    r"(?: ?(?P<offset>Z\b|[+-]\d\d:?\d\d|UTC\b|GMT\b))?"
)

ISO = re.compile(rf"(?P<weekday>{_WORD} )?{_ISO_MOMENT}(?(weekday)(?: [A-Z+-][A-Z0-9]{{1,5}}(?= ))?)")
"""RFC 3339, journalctl's short-iso and short-full (`Wed 2024-08-20 17:38:27 CEST`), dmesg's iso"""

ISO_IN_BRACKETS = re.compile(rf"\[{_ISO_MOMENT}\]", re.ASCII)
"""what serial consoles and terminal recorders put before each line"""

SYSLOG = re.compile(
    rf"(?:(?P<year_ahead>\d{{4}}) )?(?:{_WORD},? +)??"
    rf"(?:{_MONTH} +(?P<day>\d{{1,2}})|(?P<day_first>\d{{1,2}})\.? {{1,2}}(?P<month_last>{_WORD})),? +"
    rf"(?:(?P<year_first>\d{{4}}) +)?{_CLOCK}(?: (?P<year>\d{{4}})(?= ))?"
)
"""RFC 3164 and journalctl's short; OpenWrt has the year behind the time, Cisco before it"""

CTIME = re.compile(
    rf"\[[^\[\]\s\d]{{1,20}},? +(?P<month>\d{{1,2}}[月월]|[^\[\]\s\d]{{1,20}}) +(?P<day>\d{{1,2}}) "
    rf"{_CLOCK} (?P<year>\d{{4}})\]"
)
"""dmesg -T: strftime's `%a %b %e %H:%M:%S %Y` in the language of whoever ran it"""

EPOCH = re.compile(r"(?P<epoch>\d{9,10}\.\d{3,6})(?= )", re.ASCII)
"""journalctl's short-unix"""

_MONTHS = (
    "jan januari januar january janv janvier jän jänner ene enero gen gennaio sty янв oca led січ",
    "feb februari februar february févr fév février fev fevereiro febrero febr lut фев şub úno лют",
    "mar march mär märz mrz mars marzo março mrt márc мар bře бер",
    "apr april avr avril abr abril aprile kwi апр nis dub кві ápr",
    "may mai mei maj mayo maggio mag май мая kvě тра máj",
    "jun june juni juin junio giu giugno junho cze июн haz čen чер jún",
    "jul july juli juil juillet julio lug luglio julho lip июл tem čec лип júl",
    "aug august août aoû ago agosto sie авг ağu srp сер",
    "sep sept september septembre septiembre set settembre setembro wrz сен eyl zář вер szept",
    "oct october okt oktober octobre octubre ott ottobre out outubro paź окт eki říj жов",
    "nov november novembre noviembre novembro lis ноя kas лис",
    "dec december dez dezember déc décembre dic diciembre dicembre dezembro gru дек ara pro гру",
)
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}


@dataclass(frozen=True, slots=True)
class Stamp:
    """A date as it was printed: one of iso (with offset), epoch, or month, day, clock (and year)."""

    iso: str | None = None
    offset: str | None = None
    epoch: str | None = None
    month: str | None = None
    day: str | None = None
    clock: str | None = None
    year: str | None = None

    @property
    def has_year(self) -> bool:
        return self.month is None or self.year is not None


def stamp_of(groups: dict[str, str | None]) -> Stamp:
    """What one of this module's patterns found."""
    return Stamp(
        iso=groups.get("iso"),
        offset=groups.get("offset"),
        epoch=groups.get("epoch"),
        month=groups.get("month") or groups.get("month_last"),
        day=groups.get("day") or groups.get("day_first"),
        clock=groups.get("clock"),
        year=groups.get("year") or groups.get("year_first") or groups.get("year_ahead"),
    )


def moment_of(stamp: Stamp, *, zone: tzinfo, latest: datetime) -> datetime | None:
    """The moment in UTC; None where the month can't be read or there is no such date.

    zone: what a stamp without an offset is told in. latest: the newest that the log can hold; a
    stamp without a year is of the last year that does not lie after it.
    """
    try:
        if stamp.epoch is not None:
            return datetime.fromtimestamp(0, UTC) + timedelta(seconds=float(stamp.epoch))
        if stamp.iso is not None:
            local = datetime.fromisoformat(stamp.iso.replace(",", ".").replace(" ", "T"))
            return local.replace(tzinfo=_offset(stamp.offset) or zone).astimezone(UTC)
        return _of_words(stamp, zone, latest)
    except (ValueError, OverflowError):
        return None


def _of_words(stamp: Stamp, zone: tzinfo, latest: datetime) -> datetime | None:
    month = month_of(stamp.month or "")
    if month is None or stamp.day is None or stamp.clock is None:
        return None
    hours, minutes, seconds = stamp.clock.replace(",", ".").split(":")
    whole, _, fraction = seconds.partition(".")
    known = [int(stamp.year)] if stamp.year else [latest.year + 1 - back for back in range(6)]
    for year in known:
        try:
            local = datetime(
                year, month, int(stamp.day), int(hours), int(minutes), min(int(whole), 59),
                int(f"{fraction:0<6.6}"), tzinfo=zone,
            )  # fmt: skip
        except ValueError:
            continue
        at = local.astimezone(UTC)
        if stamp.year or at <= latest + SLACK:
            return at
    return None


def month_of(word: str) -> int | None:
    """`Aug`, `août`, `авг.`, `8月` to 8; None for a language that is not known here."""
    word = word.rstrip(".").lower()
    if word[-1:] in ("月", "월") and word[:-1].isdecimal():
        number = int(word[:-1])
        return number if 1 <= number <= 12 else None
    return MONTHS.get(word)


def _offset(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-span if text[0] == "-" else span)
