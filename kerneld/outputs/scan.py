"""Events of a log to lines of JSON, or to paragraphs for people; equal crashes in a row to one."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kerneld.model.base import iso
from kerneld.model.fault_lines import fault_object
from kerneld.model.records import LogEvent
from kerneld.outputs.safe import safe_json, safe_text, wrap
from kerneld.outputs.scan_words import details, gpu_address, object_name, sentence
from kerneld.outputs.view import Role, View

KEYS = (
    "kind", "time", "uptime_s", "pid", "comm", "uid", "total_vm_kb", "anon_rss_kb", "file_rss_kb",
    "shmem_rss_kb", "oom_score_adj", "constraint", "cgroup", "oom_cgroup", "invoker_comm",
    "fault_addr", "ip", "object", "signal", "xid", "trust", "top", "source_file", "line_number", "line",
)  # fmt: skip
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False)
INDENT = 10
_FOLDED = (
    "segfault", "gpf", "invalid_opcode", "int3", "divide_error", "bus_error", "xid",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """An event, how often it came in a row, and the last of them."""

    event: LogEvent
    times: int
    last: LogEvent


def json_line(event: LogEvent) -> str:
    """The contract of `kerneld scan --json`: every key, unknown null, on one line."""
    told: dict[str, object] = {key: getattr(event, key) for key in KEYS}
    told |= {
        "time": iso(event.time) if event.time else None,
        "object": object_name(event),
        "trust": event.trust.value,
        "top": [{"pid": row.pid, "comm": row.comm, "rss_kb": row.rss_kb} for row in event.top],
    }
    return safe_json(_ENCODER.encode(told)) + "\n"


def folded(events: Iterable[LogEvent | None]) -> Iterator[Told]:
    """Equal crashes in a row, of one program at one place, as one. None: the log fell silent."""
    held: Told | None = None
    for event in events:
        if held is not None:
            if event is not None and _sameness(event) == _sameness(held.event) is not None:
                held = Told(held.event, held.times + 1, event)
                continue
            yield held
        held = None if event is None else Told(event, 1, event)
    if held is not None:
        yield held


def _sameness(event: LogEvent) -> tuple[object, ...] | None:
    """What equal crashes share; None for what is never folded."""
    if event.kind not in _FOLDED:
        return None
    gpu = gpu_address(event) if event.kind == "xid" else None
    place = fault_object(event) if event.object else (event.ip, event.fault_addr)
    return (event.kind, event.comm, event.xid, gpu, place, event.source_file)


def day_line(event: LogEvent, view: View) -> str | None:
    """The date that stands above a day's events, without what a log without years leaves open."""
    if event.time is None:
        return None
    local = event.time.astimezone(view.zone)
    return f"{local:%a %b} {local.day} {local.year}" if event.has_year else f"{local:%b} {local.day}"


def paragraph(told: Told, view: View, place: str = "") -> str:
    """Who died of what, then what the log says beside it. place: file and line, or nothing."""
    event, lines = told.event, []
    label = _label(event, view)
    for index, line in enumerate(wrap(sentence(event, told.times), view.width - INDENT - 1)):
        start = f"{label:<{INDENT}}" if index == 0 else " " * INDENT
        lines.append(view.paint(start, "dim") + view.paint(line, _role(event)))
    beside = details(event)
    if told.times > 1 and (last := _last(told, view)):
        beside.append((last, ""))
    if place:
        beside.append((safe_text(place), "dim"))
    for detail, role in beside:
        for line in wrap(detail, view.width - INDENT - 1):
            lines.append(" " * INDENT + view.paint(line, role))
    return "\n".join(lines) + "\n"


def _last(told: Told, view: View) -> str:
    day = day_line(told.last, view)
    other_day = f"{day}, " if day is not None and day != day_line(told.event, view) else ""
    pid = "" if told.last.pid in (None, told.event.pid) else f" (pid {told.last.pid})"
    label = _label(told.last, view)
    return f"the last at {other_day}{label}{pid}" if label else ""


def closing(*, deaths: int, errors: int, lines: int) -> str:
    """`2 deaths, 1 error of a graphics processor in 2,310 lines.`"""
    return f"{tallied(deaths, errors)} in {counted(lines, 'line')}.\n"


def tallied(deaths: int, errors: int) -> str:
    """`2 deaths, 1 error of a graphics processor`"""
    told = [counted(deaths, "death")] if deaths or not errors else []
    if errors:
        told.append(f"{counted(errors, 'error')} of a graphics processor")
    return ", ".join(told)


def counted(number: int, noun: str) -> str:
    """`1 line`, `2,310 lines`"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _label(event: LogEvent, view: View) -> str:
    """At most INDENT - 1 columns: `10:11:12`, `+99:59:59`, `+35d02:52`, `+1234d02h`."""
    if event.time is not None:
        return f"{event.time.astimezone(view.zone):%H:%M:%S}"
    if event.uptime_s is None:
        return ""
    minutes, seconds = divmod(int(event.uptime_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 100:
        return f"+{hours}:{minutes:02}:{seconds:02}"
    days, hours = divmod(hours, 24)
    if days < 100:
        return f"+{days}d{hours:02}:{minutes:02}"
    return f"+{days}d{hours:02}h" if days < 10_000 else f"+{days}d"


def _role(event: LogEvent) -> Role:
    return "warn" if event.kind in ("xid", "coredump") else "bad"
