"""A line of any log, file or paste to an Entry: its wrappings taken off, one after another.

What an application wrote is never unwrapped further: only Linux's own lines may hold a wrapping
inside (`host kernel: [123.456789] …`).
"""

import re
from dataclasses import dataclass, replace

from kerneld.model.vocabulary import Trust
from kerneld.parse import journal, stamps
from kerneld.parse.entry import Entry, facility_number
from kerneld.parse.kmsg import parse_record

MAX_LAYERS = 10

_ANSI = re.compile(
    r"\x1b(?:\[[0-9;?]{0,20}[ -/]?[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[()][A-Z0-9])"
)
_QUOTE = re.compile(r"(?:[>|] ?){1,8}(?=\S)|`{1,3}(?=\S)")
# grep -n, cat -n, nl; not the hours of a time, nor the year of a date
_NUMBER = re.compile(r" {0,12}[0-9]{1,9}(?:[:-](?![0-9]{2}[:.-])|\t)", re.ASCII)
_LESS_NUMBER = re.compile(
    r" {1,8}[0-9]{1,7} {1,2}(?=\[ *[0-9]|<[0-9]|[0-9]{4}-[0-9]{2}-|[^\W\d_]{3} +[0-9]{1,2} [0-9]{2}:)"
)
_GREPPED = re.compile(
    r"[^\s:]{0,200}[./][^\s:]{0,200}:(?:[0-9]{1,9}:)?"
    r"(?=\[ *[0-9]|<[0-9]{1,3}>|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]|[^\W\d_]{3} +[0-9]{1,2} [0-9]{2}:)"
)
_UPTIME = re.compile(
    r"\[ *(?P<uptime>[0-9]{1,10}\.[0-9]{6})(?: <[ +0-9.]{1,20}>)?\]"
    r"(?:\[ *(?P<caller>[TC][0-9]{1,10})\])? ?"
)
_RELATIVE = re.compile(r"\[(?: *[+<] *[0-9.]{1,20}>?|[^\W\d_]{3} ?[0-9]{1,2} [0-9]{2}:[0-9]{2})\] ")
_PRI = re.compile(r"<(?P<pri>[0-9]{1,3})>")
_RFC5424 = re.compile(
    r"(?:<(?P<pri>[0-9]{1,3})>)?1 (?P<when>[0-9T:.Z+-]{19,35}) (?P<host>\S{1,255}) "
    r"(?P<ident>\S{1,128}) (?P<procid>\S{1,128}) \S{1,128} "
    r'(?:-|(?:\[(?>[^\]\\"]|\\.|"(?>[^"\\]|\\.)*")*\])+)(?: \ufeff?|$)'
)
_DECODED = re.compile(
    r"(?P<facility>kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7]) *:"
    r"(?:emerg|alert|crit|err|warn|notice|info|debug) *: ?"
)
_IDENT = (
    r"(?:[a-z][a-z0-9]{2,8}\.[a-z]{3,7} +)?(?P<ident>[^\s\[\]:\"'{}]{1,128})"
    r"(?:\[(?P<ident_pid>[0-9]{1,10})\])?: ?"
)
_HOST_IDENT = re.compile(rf" {{0,3}}(?:(?P<host>\S{{0,254}}[^\s:]) +)??{_IDENT}")
_HOST_ONLY = re.compile(r" {0,3}(?P<host>\S{0,254}[^\s:]) (?=\[ *[0-9]{1,10}\.[0-9]{6}\]|<[0-9]>\[)")
_MONOTONIC_HOST = re.compile(r"(?P<host>[^\s:]{1,255}) (?=kernel: )")
_LINUX = re.compile(r"(?:kern\.[a-z]{3,7} )?kernel: ?")
_AUDIT = re.compile(r"audit\[[0-9]{1,10}\]: ")
_DAEMON = re.compile(
    r"(?P<ident>systemd-oomd|systemd-coredump|earlyoom|nohang(?:-[a-z]{1,20})?)"
    r"(?:\[(?P<ident_pid>[0-9]{1,10})\])?: ?"
)
_LOGCAT = re.compile(
    r"(?:[0-9]{2}-[0-9]{2} )?[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} +[0-9]{1,7} +[0-9]{1,7} "
    r"[VDIWEF] (?P<ident>[^:]{1,40}?) *: "
)
_CRI = re.compile(r"(?P<when>[0-9T:.Z+-]{19,40}) std(?:out|err) (?P<tag>[FP]) ")
_POD = re.compile(r"\[pod/[^\]\s]{1,400}\] ?")
_COMPOSE = re.compile(r"[a-z0-9][\w.-]{0,100} +\| (?=\S)", re.ASCII)
_CONSOLE = re.compile(r"[^\[\]]{0,60}(?:login: |[#$] )(?=\[ *[0-9]{1,10}\.[0-9]{6}\])")
_COMMA_FRACTION = re.compile(r"[0-9],[0-9]")


@dataclass(slots=True)
class _Layers:
    """The wrappings found so far; `dated`, `named` and `linux` say which may follow."""

    entry: Entry
    is_done: bool = False

    def add(self, shape: str, **more: object) -> None:
        self.entry = replace(self.entry, shape=self.entry.shape + shape, **more)  # type: ignore[arg-type]


def unwrap(line: str) -> Entry:
    """The message in a line; a line without any wrapping is itself the message."""
    if "\x1b" in line:
        line = _ANSI.sub("", line)
    line = line.rstrip("\r\n\0")
    layers = _Layers(Entry("", indented=line[:1] in (" ", "\t")))
    rest = line
    for _ in range(MAX_LAYERS):
        after = _next(rest, layers)
        if after is None:
            break
        rest = after
        if layers.is_done:
            break
    if not layers.entry.escaped:
        rest = rest.rstrip()
    return replace(layers.entry, text=rest)


def _next(rest: str, layers: _Layers) -> str | None:
    """What is left behind the next wrapping; None where there is none more."""
    entry = layers.entry
    if entry.identifier == "kernel" or entry.uptime_s is not None:
        return _inside_linux(rest, layers)
    first = rest[:1]
    if first == "{" or first == '"':
        return _json(rest, layers)
    if first == "[":
        return _bracket(rest, layers)
    if first == "<":
        return _priority(rest, layers)
    if first.isspace():
        return _blank(rest, layers)
    if first.isdecimal():
        return _digit(rest, layers)
    if first in (">", "|", "`") and entry.is_bare:
        found = _QUOTE.match(rest)
        return rest[found.end() :] if found else None
    return _word(rest, layers)


def _inside_linux(rest: str, layers: _Layers) -> str | None:
    """Behind `kernel:` a time since the start or a priority; behind that time a host may follow."""
    entry = layers.entry
    if entry.uptime_s is None:
        if (found := _UPTIME.match(rest)) is not None:
            return _take_uptime(rest, found, layers)
        if (found := _PRI.match(rest)) is not None and entry.level is None:
            return _take_priority(rest, found, layers)
        return None
    if entry.identifier is not None:
        return None
    if (found := _MONOTONIC_HOST.match(rest)) is not None and entry.host is None:
        layers.add("h", host=found["host"])
        return rest[found.end() :]
    if entry.host is not None and (found := _LINUX.match(rest)) is not None:
        layers.add("k", identifier="kernel")
        layers.is_done = True
        return rest[found.end() :]
    return _daemon(rest, layers)


def _daemon(rest: str, layers: _Layers) -> str | None:
    """User space that wrote into the Linux log under its own name."""
    found = _DAEMON.match(rest)
    if found is None:
        return None
    return _take_identifier(rest, found, layers)


def _bracket(rest: str, layers: _Layers) -> str | None:
    if (found := _UPTIME.match(rest)) is not None:
        return _take_uptime(rest, found, layers)
    if (found := stamps.CTIME.match(rest)) is not None:
        layers.add("t", stamp=stamps.stamp_of(found.groupdict()))
        rest = rest[found.end() :].removeprefix(" ")
        _daemon_rest = _daemon(rest, layers)
        layers.is_done = True
        return rest if _daemon_rest is None else _daemon_rest
    if (found := stamps.ISO_IN_BRACKETS.match(rest)) is not None:
        layers.add("i", stamp=layers.entry.stamp or stamps.stamp_of(found.groupdict()))
        return rest[found.end() :].lstrip()
    if (found := _RELATIVE.match(rest)) is not None:
        layers.add("r")
        layers.is_done = True
        return rest[found.end() :]
    if (found := _POD.match(rest)) is not None:
        return rest[found.end() :]
    return None


def _priority(rest: str, layers: _Layers) -> str | None:
    if (found := _RFC5424.match(rest)) is not None:
        return _take_5424(rest, found, layers)
    found = _PRI.match(rest)
    if found is None or layers.entry.level is not None:
        return None
    return _take_priority(rest, found, layers)


def _digit(rest: str, layers: _Layers) -> str | None:
    if (found := _CRI.match(rest)) is not None:
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
            facility=record.facility, trust=Trust.KERNEL, escaped=True,
        )  # fmt: skip
        layers.is_done = True
        _daemon_rest = _daemon(record.message, layers) if record.facility else None
        return record.message if _daemon_rest is None else _daemon_rest
    if (found := _RFC5424.match(rest)) is not None:
        return _take_5424(rest, found, layers)
    if (found := _LOGCAT.match(rest)) is not None:
        name = found["ident"]
        layers.add("l", identifier="kernel" if name.lower() == "kernel" else name)
        layers.is_done = name.lower() != "kernel"
        return rest[found.end() :]
    if (found := stamps.SYSLOG.match(rest)) is not None:
        return _take_date(rest, found, layers)
    found = _NUMBER.match(rest) if layers.entry.is_bare else None
    return rest[found.end() :].lstrip(" ") if found else None


def _blank(rest: str, layers: _Layers) -> str | None:
    if layers.entry.is_bare:
        for pattern in (_NUMBER, _LESS_NUMBER):
            if (found := pattern.match(rest)) is not None:
                return rest[found.end() :]
    stripped = rest.lstrip()
    return stripped or None


def _word(rest: str, layers: _Layers) -> str | None:
    if (found := _LINUX.match(rest)) is not None:
        layers.add("k", identifier="kernel")
        return rest[found.end() :]
    if (found := stamps.SYSLOG.match(rest)) is not None or (
        found := stamps.ISO.match(rest)
    ) is not None:
        return _take_date(rest, found, layers)
    if (found := _DECODED.match(rest)) is not None:
        number = facility_number(found["facility"])
        layers.add("x", facility=number)
        return rest[found.end() :]
    if (found := _AUDIT.match(rest)) is not None:
        layers.add("a", identifier="audit")
        layers.is_done = True
        return rest[found.end() :]
    if (found := _DAEMON.match(rest)) is not None:
        return _take_identifier(rest, found, layers)
    if not layers.entry.is_bare:
        return None
    for pattern in (_GREPPED, _COMPOSE, _CONSOLE):
        if (found := pattern.match(rest)) is not None:
            return rest[found.end() :]
    return None


def _json(rest: str, layers: _Layers) -> str | None:
    if layers.entry.shape.strip("ci"):
        return None
    entry = journal.of_json(rest)
    if entry is None:
        return None
    layers.entry = replace(entry, stamp=entry.stamp or layers.entry.stamp)
    layers.is_done = entry.identifier is not None
    return entry.text


def _take_uptime(rest: str, found: re.Match[str], layers: _Layers) -> str:
    layers.add("u", uptime_s=float(found["uptime"]), caller=found["caller"])
    return rest[found.end() :]


def _take_priority(rest: str, found: re.Match[str], layers: _Layers) -> str:
    number = int(found["pri"])
    if number > 191:
        layers.is_done = True
        return rest
    layers.add("p", level=number & 7, facility=number >> 3, trust=Trust.KERNEL)
    return rest[found.end() :]


def _take_5424(rest: str, found: re.Match[str], layers: _Layers) -> str:
    date = stamps.ISO.match(found["when"])
    name = found["ident"]
    layers.add("5", stamp=stamps.stamp_of(date.groupdict()) if date else None, host=found["host"])
    if found["pri"]:
        number = int(found["pri"])
        layers.add("p", level=number & 7, facility=number >> 3, trust=Trust.KERNEL)
    pid = found["procid"]
    pid = pid if pid.isdecimal() and pid.isascii() else None
    return _named(rest[found.end() :], name, pid, layers)


def _take_date(rest: str, found: re.Match[str], layers: _Layers) -> str:
    """A date, and who speaks behind it: `host ident[pid]:`, a host alone, or nobody (dmesg)."""
    entry = layers.entry
    layers.add("d", stamp=entry.stamp or stamps.stamp_of(found.groupdict()))
    after = rest[found.end() :]
    iso = found.groupdict().get("iso")
    if after[:2] == ": ":
        return after[2:]
    if (entry.facility is not None and entry.trust is Trust.TEXT) or (iso and "," in iso):
        layers.is_done = True  # dmesg --time-format=iso: the message follows at once
        return after.removeprefix(" ")
    if (host := _HOST_ONLY.match(after)) is not None:
        layers.add("h", host=host["host"])
        return after[host.end() :]
    if (named := _HOST_IDENT.match(after)) is not None:
        layers.add("h", host=named["host"])
        return _named(after[named.end() :], named["ident"], named["ident_pid"], layers)
    return after.lstrip(" ") if after[:1] == " " else after


def _take_identifier(rest: str, found: re.Match[str], layers: _Layers) -> str:
    return _named(rest[found.end() :], found["ident"], found["ident_pid"], layers)


def _named(rest: str, name: str, pid: str | None, layers: _Layers) -> str:
    """Linux has no pid; `kernel[0]` is another system's."""
    is_linux = name == "kernel" and pid is None
    shown = "kernel[]" if name == "kernel" and pid is not None else name
    layers.add("k" if is_linux else "n", identifier=shown, identifier_pid=int(pid) if pid else None)
    layers.is_done = not is_linux
    return rest
