"""What people write for a moment to a moment: `2d`, `today`, `14:03`, ISO; the local zone counts."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from kerneld.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s?(s|m|min|h|d|w)(?: ago)?", re.ASCII)
_OFFSET = re.compile(r"([+-])([01]?\d|2[0-3]):?([0-5]\d)?", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?", re.ASCII)


def parse_when(text: str, *, now: datetime, zone: tzinfo, option: str) -> datetime:
    """An aware moment. A date is its midnight; a time without a zone is local."""
    try:
        return _parse(text.strip().lower(), now.astimezone(zone), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text!r} is no time: write 2d, 3h, 30m, today, yesterday, 14:03, "
            "2026-01-31 or 2026-01-31T14:03"
        ) from None


def zone_named(name: str) -> tzinfo:
    """`Europe/Berlin`, `UTC`, `+02:00`."""
    if (offset := _OFFSET.fullmatch(name)) is not None:
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(-span if offset[1] == "-" else span)
    try:
        return UTC if name.upper() in ("UTC", "Z") else ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise UsageError(f"--tz {name!r} is no zone: write Europe/Berlin, UTC or +02:00") from None


def _parse(text: str, now: datetime, zone: tzinfo) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("now", "today", "yesterday"):
        return {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}[text]
    if ago := _AGO.fullmatch(text):
        return now.astimezone(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
    if _CLOCK.fullmatch(text):
        hour, minute, *second = (int(part) for part in text.split(":"))
        return midnight.replace(hour=hour, minute=minute, second=second[0] if second else 0)
    moment = datetime.fromisoformat(text.upper())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
