"""A line of any log, file or paste to an Entry: its wrappings taken off, one after another.

What an application wrote is never unwrapped further: only Linux's own lines may hold a wrapping
inside (`host kernel: [123.456789] …`).
"""

import csv
import re

from kerneld.model.vocabulary import Trust
from kerneld.parse import journal, stamps, wrappings
from kerneld.parse.entry import LEVELS, NOT_LINUX, Entry, facility_number
from kerneld.parse.kmsg import parse_record
from kerneld.parse.layers import Layers

MAX_LAYERS = 10
MAX_ROW = 1 << 14
UNKNOWN = "?"
"""whoever speaks in a row of a table that does not say so"""

_BARE = re.compile(r'\s*[^\W\d][^:|\[<{">`\t]*')
"""a letter, and nothing that a wrapping has: a bare kill line needs no look at each of them"""


def unwrap(line: str) -> Entry:
    """The message in a line; a line without any wrapping is itself the message."""
    if "\x1b" in line:
        line = wrappings.ANSI.sub("", line)
    line = line.removeprefix("\ufeff").rstrip("\r\n\0")
    if _BARE.fullmatch(line) is not None:
        return Entry(line.strip())
    layers = Layers()
    rest = line
    for _ in range(MAX_LAYERS):
        after = _next(rest, layers)
        if after is None:
            break
        rest = after
        if layers.is_done:
            break
    return layers.entry(rest if layers.escaped or layers.partial else rest.rstrip())


def _next(rest: str, layers: Layers) -> str | None:
    """What is left behind the next wrapping; None where there is none more."""
    if layers.identifier == "kernel" or layers.uptime_s is not None:
        return _inside_linux(rest, layers)
    first = rest[:1]
    if first == "{" or first == '"':
        return _json(rest, layers) or _csv(rest, layers)
    if "]: " in rest and (message := _talos(rest, layers)) is not None:
        return message
    if ',"' in rest and (message := _csv(rest, layers)) is not None:
        return message
    if first == "[":
        return _bracket(rest, layers)
    if first == "<":
        return _priority(rest, layers)
    if first.isspace():
        return _blank(rest, layers)
    if first.isdecimal():
        return _digit(rest, layers)
    if first in (">", "|", "`") and not layers.shape:
        found = wrappings.QUOTE.match(rest)
        return rest[found.end() :].rstrip("`") if found else None
    if first in ("#", ";", "*", "-", "/") and not layers.shape:
        found = wrappings.BULLET.match(rest) or wrappings.GREPPED.match(rest)
        return rest[found.end() :] if found else None
    return _word(rest, layers)


def _inside_linux(rest: str, layers: Layers) -> str | None:
    """Behind `kernel:` a time since the start or a priority; behind that time a host may follow."""
    if layers.uptime_s is None:
        if (found := wrappings.UPTIME.match(rest)) is not None:
            return _take_uptime(rest, found, layers)
        if (found := wrappings.PRI.match(rest)) is not None and layers.level is None:
            return _take_priority(rest, found, layers)
        return None
    if layers.identifier is not None:
        return None
    if (found := wrappings.MONOTONIC_HOST.match(rest)) is not None and layers.host is None:
        layers.add("h", host=found["host"])
        return rest[found.end() :]
    if layers.host is not None and (found := wrappings.LINUX.match(rest)) is not None:
        layers.add("k", identifier="kernel")
        layers.is_done = True
        return rest[found.end() :]
    return _daemon(rest, layers)


def _daemon(rest: str, layers: Layers) -> str | None:
    """User space that wrote into the Linux log under its own name."""
    found = wrappings.DAEMON.match(rest)
    if found is None:
        return None
    return _take_identifier(rest, found, layers)


def _bracket(rest: str, layers: Layers) -> str | None:
    if (found := wrappings.UPTIME.match(rest)) is not None:
        return _take_uptime(rest, found, layers)
    if (found := stamps.CTIME.match(rest)) is not None:
        layers.add("t", stamp=stamps.stamp_of(found.groupdict()))
        rest = rest[found.end() :].removeprefix(" ")
        _daemon_rest = _daemon(rest, layers)
        layers.is_done = True
        return rest if _daemon_rest is None else _daemon_rest
    if (found := stamps.ISO_IN_BRACKETS.match(rest)) is not None:
        layers.add("i", stamp=layers.stamp or stamps.stamp_of(found.groupdict()))
        return rest[found.end() :].lstrip()
    if (found := wrappings.RELATIVE.match(rest)) is not None:
        layers.add("r")
        layers.is_done = True
        return rest[found.end() :]
    for pattern in (wrappings.POD, wrappings.CONSOLE):
        if (found := pattern.match(rest)) is not None:
            layers.is_copied = layers.is_copied or pattern is wrappings.POD
            rest = rest[found.end() :]
            torn = wrappings.OVERWRITTEN.match(rest)
            return rest if torn is None else _take_uptime(rest, torn, layers)
    return None


def _priority(rest: str, layers: Layers) -> str | None:
    if (found := wrappings.RFC5424.match(rest)) is not None:
        return _take_5424(rest, found, layers)
    found = wrappings.PRI.match(rest)
    if found is None or layers.level is not None:
        return None
    return _take_priority(rest, found, layers)


def _digit(rest: str, layers: Layers) -> str | None:
    if (found := wrappings.CRI.match(rest)) is not None:
        date = stamps.ISO.match(found["when"])
        stamp = stamps.stamp_of(date.groupdict()) if date else None
        layers.add("c", stamp=stamp, partial=found["tag"] == "P")
        return rest[found.end() :]
    if (found := stamps.ISO.match(rest)) is not None or (found := stamps.EPOCH.match(rest)) is not None:
        return _take_date(rest, found, layers)
    record = parse_record(rest.encode("utf-8", "surrogatepass")) if ";" in rest[:200] else None
    if record is not None:
        layers.add(
            "m", uptime_s=record.uptime_us / 1e6, caller=record.caller, level=record.level,
            facility=record.facility, trust=layers.trusted, escaped=True,
        )  # fmt: skip
        layers.is_done = True
        _daemon_rest = _daemon(record.message, layers) if record.facility else None
        return record.message if _daemon_rest is None else _daemon_rest
    if (found := wrappings.RFC5424.match(rest)) is not None:
        return _take_5424(rest, found, layers)
    if (found := wrappings.LOGCAT.match(rest)) is not None:
        name = found["ident"]
        layers.add("l", identifier="kernel" if name.lower() == "kernel" else name)
        layers.is_done = name.lower() != "kernel"
        return rest[found.end() :]
    if (found := stamps.SYSLOG.match(rest)) is not None:
        return _take_date(rest, found, layers)
    found = wrappings.NUMBER.match(rest) if not layers.shape else None
    return rest[found.end() :].lstrip(" ") if found else None


def _blank(rest: str, layers: Layers) -> str | None:
    if not layers.shape:
        for pattern in (wrappings.NUMBER, wrappings.LESS_NUMBER):
            if (found := pattern.match(rest)) is not None:
                return rest[found.end() :]
    return rest.lstrip() or None if not layers.shape else None


def _word(rest: str, layers: Layers) -> str | None:
    if (found := wrappings.LINUX.match(rest)) is not None:
        layers.add("k", identifier="kernel")
        return rest[found.end() :]
    if (found := stamps.SYSLOG.match(rest)) is not None or (
        found := stamps.ISO.match(rest)
    ) is not None:
        return _take_date(rest, found, layers)
    if (found := wrappings.DECODED.match(rest)) is not None:
        number = facility_number(found["facility"])
        layers.add("x", facility=number, level=LEVELS.index(found["level"]))
        return rest[found.end() :]
    if (found := wrappings.AUDIT.match(rest)) is not None:
        layers.add("a", identifier="audit")
        layers.is_done = True
        return rest[found.end() :]
    if (found := wrappings.DAEMON.match(rest)) is not None:
        return _take_identifier(rest, found, layers)
    if layers.shape:
        return None
    for pattern in (wrappings.GREPPED, wrappings.COMPOSE, wrappings.CONSOLE):
        if (found := pattern.match(rest)) is not None:
            layers.is_copied = layers.is_copied or pattern is wrappings.COMPOSE
            return rest[found.end() :]
    return None


def _json(rest: str, layers: Layers) -> str | None:
    if layers.shape.strip("ci"):
        return None
    entry = journal.of_json(rest)
    if entry is None:
        return None
    layers.take(entry)
    layers.is_done = entry.identifier is not None
    return entry.text


def _talos(rest: str, layers: Layers) -> str | None:
    found = None if layers.shape else wrappings.TALOS.match(rest)
    date = stamps.ISO.match(found["when"]) if found else None
    if found is None or date is None:
        return None
    level = found["level"].replace("warning", "warn")
    layers.add(
        "x", stamp=stamps.stamp_of(date.groupdict()), host=found["host"],
        facility=facility_number(found["facility"]), level=LEVELS.index(level),
    )  # fmt: skip
    layers.is_done = True
    return rest[found.end() :]


def _csv(rest: str, layers: Layers) -> str | None:
    """A row of a table: its longest field is the message, `kernel` in another says who speaks."""
    if layers.shape or len(rest) > MAX_ROW or wrappings.CSV.match(rest) is None:
        return None
    try:
        fields = next(csv.reader([rest], strict=True))
    except csv.Error:
        return None
    message = max(fields, key=len)
    layers.is_copied = True
    if len(fields) > 1:
        dates = (stamps.ISO.fullmatch(text) or stamps.SYSLOG.fullmatch(text) for text in fields)
        date = next(filter(None, dates), None)
        layers.add(
            "v",
            stamp=stamps.stamp_of(date.groupdict()) if date else None,
            identifier="kernel" if "kernel" in fields else UNKNOWN,
        )
    return message


def _take_uptime(rest: str, found: re.Match[str], layers: Layers) -> str:
    layers.add("u", uptime_s=float(found["uptime"]), caller=found.groupdict().get("caller"))
    if layers.identifier == UNKNOWN:
        layers.identifier = None
    return rest[found.end() :]


def _take_priority(rest: str, found: re.Match[str], layers: Layers) -> str:
    number = int(found["pri"])
    if number > 191:
        layers.is_done = True
        return rest
    layers.add("p", level=number & 7, facility=number >> 3, trust=layers.trusted)
    return rest[found.end() :]


def _take_5424(rest: str, found: re.Match[str], layers: Layers) -> str:
    date = stamps.ISO.match(found["when"])
    name = found["ident"]
    trusted = layers.trusted
    layers.add("5", stamp=stamps.stamp_of(date.groupdict()) if date else None, host=found["host"])
    if found["pri"]:
        number = int(found["pri"])
        layers.add("p", level=number & 7, facility=number >> 3, trust=trusted)
    pid = found["procid"]
    pid = pid if pid.isdecimal() and pid.isascii() else None
    return _named(rest[found.end() :], name, pid, layers)


def _take_date(rest: str, found: re.Match[str], layers: Layers) -> str:
    """A date, and who speaks behind it: `host ident[pid]:`, a host alone, or nobody (dmesg)."""
    layers.add("d", stamp=layers.stamp or stamps.stamp_of(found.groupdict()))
    after = rest[found.end() :]
    if (guest := wrappings.GUEST.match(after)) is not None:
        return after[guest.end() :]
    if after[:2] == ": ":
        return after[2:]
    if (layers.facility is not None and layers.trust is Trust.TEXT) or wrappings.DMESG_ISO.match(rest):
        layers.is_done = True  # dmesg --time-format=iso: the message follows at once
        return after.removeprefix(" ")
    if (host := wrappings.HOST_ONLY.match(after)) is not None:
        layers.add("h", host=host["host"])
        return after[host.end() :]
    if (named := wrappings.HOST_IDENT.match(after)) is not None:
        layers.add("h", host=named["host"])
        return _named(after[named.end() :], named["ident"], named["ident_pid"], layers)
    return after.lstrip(" ") if after[:1] == " " else after


def _take_identifier(rest: str, found: re.Match[str], layers: Layers) -> str:
    return _named(rest[found.end() :], found["ident"], found["ident_pid"], layers)


def _named(rest: str, name: str, pid: str | None, layers: Layers) -> str:
    """Linux has no pid; `kernel[0]` is another system's."""
    is_linux = name == "kernel" and pid is None
    shown = NOT_LINUX if name == "kernel" and pid is not None else name
    layers.add("k" if is_linux else "n", identifier=shown, identifier_pid=int(pid) if pid else None)
    layers.is_done = not is_linux
    return rest
