"""Events of a log to lines of JSON, or to sentences with what the log says of the memory then."""

import json

from kerneld.model.base import iso
from kerneld.model.evidence import fault_object, gib
from kerneld.model.facts import LogEvent, TaskRow
from kerneld.outputs.safe import safe_json, safe_text, wrap
from kerneld.outputs.units import signal_name
from kerneld.outputs.view import Role, View

KEYS = (
    "kind", "time", "uptime_s", "pid", "comm", "uid", "total_vm_kb", "anon_rss_kb", "file_rss_kb",
    "shmem_rss_kb", "oom_score_adj", "constraint", "cgroup", "oom_cgroup", "invoker_comm",
    "fault_addr", "ip", "object", "signal", "xid", "trust", "top", "source_file", "line_number", "line",
)  # fmt: skip
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False)
INDENT = 10
LARGEST = 4
HOG_SHARE = 1.5
"""a process that held so much more than the victim was the cause"""

_KILLS = {
    "oom_global": "was killed: the machine was out of memory",
    "oom_memcg": "was killed: its cgroup was full",
    "oomd": "was killed by systemd-oomd: too little memory was left",
    "earlyoom": "was ended by earlyoom: too little memory was left",
    "nohang": "was ended by nohang: too little memory was left",
    "segfault": "crashed: it touched memory not its own (segfault)",
    "gpf": "crashed: a general protection fault",
    "invalid_opcode": "crashed: an instruction this processor does not have",
    "int3": "crashed: it ran into a trap (int3), as failed checks do",
    "divide_error": "crashed: an integer was divided by zero",
    "bus_error": "crashed: memory behind an address could not be had (bus error)",
    "xid": "met an error of the graphics processor",
    "mce": "was killed: a memory module is broken",
    "coredump": "dumped core",
    "seccomp": "was killed: it made a forbidden system call",
    "fatal_signal": "was ended by a signal",
    "other": "was ended",
}
_NODES = "was killed: the memory nodes it may use were full"


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


def object_name(event: LogEvent) -> str | None:
    """The file that a fault line names, without the addresses of its map."""
    if event.object is None:
        return None
    name = fault_object(event)[0] or event.object
    head, bracket, tail = name.rpartition("[")
    return head if bracket and not tail.strip("0123456789abcdef,+.]") else name


def day_line(event: LogEvent, view: View) -> str | None:
    """The date that stands above the events of a day."""
    return None if event.time is None else f"{event.time.astimezone(view.zone):%a %b %e %Y}"


def paragraph(event: LogEvent, view: View, place: str = "") -> str:
    """Who died of what, then what the log says beside it. place: file and line, or nothing."""
    lines = []
    label = _label(event, view)
    head = wrap(_sentence(event), view.width - INDENT - 1)
    for index, line in enumerate(head):
        start = f"{label:<{INDENT}}" if index == 0 else " " * INDENT
        lines.append(view.paint(start, "dim") + view.paint(line, _role(event)))
    for detail, role in _details(event, place):
        for line in wrap(detail, view.width - INDENT - 1):
            lines.append(" " * INDENT + view.paint(line, role))
    return "\n".join(lines) + "\n"


def closing(*, deaths: int, errors: int, lines: int) -> str:
    """`2 deaths, 1 error of a graphics processor in 2,310 lines.`"""
    told = []
    if deaths or not errors:
        told.append(f"{deaths:,} death{'' if deaths == 1 else 's'}")
    if errors:
        told.append(f"{errors:,} error{'' if errors == 1 else 's'} of a graphics processor")
    return f"{', '.join(told)} in {lines:,} line{'' if lines == 1 else 's'}.\n"


def _label(event: LogEvent, view: View) -> str:
    if event.time is not None:
        return f"{event.time.astimezone(view.zone):%H:%M:%S}"
    if event.uptime_s is None:
        return ""
    minutes, seconds = divmod(int(event.uptime_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02}:{seconds:02}" if hours < 1000 else f"+{hours // 24} d"


def _role(event: LogEvent) -> Role:
    return "warn" if event.kind in ("xid", "coredump") else "bad"


def _sentence(event: LogEvent) -> str:
    what = _KILLS[event.kind]
    if event.kind == "oom_global" and event.constraint in (
        "CONSTRAINT_CPUSET",
        "CONSTRAINT_MEMORY_POLICY",
    ):
        what = _NODES
    if event.kind == "xid":
        return f"{_who(event)} {what}: Xid {event.xid}"
    if event.kind in ("fatal_signal", "other") and event.signal is not None:
        what = f"was ended by {signal_name(event.signal)}"
    return f"{_who(event)} {what}"


def _who(event: LogEvent) -> str:
    name = safe_text(event.comm) if event.comm else None
    known = [f"pid {event.pid}"] if event.pid is not None else []
    if event.uid is not None:
        known.append(f"uid {event.uid}")
    inside = f" ({', '.join(known)})" if known else ""
    if name is None and event.cgroup is not None and not known:
        return safe_text(event.cgroup)
    return f"{name or 'a process'}{inside}"


def _details(event: LogEvent, place: str) -> list[tuple[str, Role]]:
    found: list[tuple[str, Role]] = []
    if event.is_oom:
        found += _memory(event)
    if event.fault_addr is not None or event.object is not None:
        found.append((_place_of_fault(event), ""))
    if event.kind in ("earlyoom", "nohang", "seccomp", "coredump") and event.signal is not None:
        found.append((f"signal: {signal_name(event.signal)}", ""))
    if event.kind == "other":
        found.append((safe_text(event.line), "dim"))
    if place:
        found.append((safe_text(place), "dim"))
    return found


def _place_of_fault(event: LogEvent) -> str:
    name = object_name(event)
    inside = f"in {safe_text(name)}" if name else ""
    if event.fault_addr is None:
        return inside
    address = event.fault_addr.removeprefix("0x").lstrip("0") or "0"
    null = ", a null pointer" if len(address) <= 3 else ""
    return f"at address 0x{address}{null} {inside}".rstrip()


def resident_kb(event: LogEvent) -> int | None:
    """What the victim held, by its kill line, else by its row of the table."""
    parts = [event.anon_rss_kb, event.file_rss_kb, event.shmem_rss_kb]
    known = [part for part in parts if part is not None]
    if known:
        return sum(known)
    return next((row.rss_kb for row in event.top if row.pid == event.pid), None)


def _memory(event: LogEvent) -> list[tuple[str, Role]]:
    found: list[tuple[str, Role]] = []
    held, totals = resident_kb(event), event.totals
    if held is not None:
        found.append((f"held {_kb(held)}{_of_whole(event)}", ""))
    if totals is not None and totals.swap_total_kb:
        free = totals.swap_free_kb or 0
        if free * 50 < totals.swap_total_kb:
            found.append((f"swap was full ({_kb(totals.swap_total_kb)})", ""))
    hog = event.top[0] if event.top else None
    if hog is not None and hog.pid != event.pid and held is not None and hog.rss_kb > HOG_SHARE * held:
        words = f"it was the victim, not the cause: {_row(hog)} held most"
        found.append((words, "warn"))
    if event.invoker_comm is not None and (event.invoker_comm, event.invoker_pid) != (
        event.comm,
        event.pid,
    ):
        pid = "" if event.invoker_pid is None else f" {event.invoker_pid}"
        same = event.invoker_comm == event.comm and event.invoker_pid is None
        if not same:
            found.append((f"asked for memory then: {safe_text(event.invoker_comm)}{pid}", ""))
    if event.top:
        found.append((f"largest then: {', '.join(map(_row, event.top[:LARGEST]))}", ""))
    return found


def _of_whole(event: LogEvent) -> str:
    """` of the 4.0 GiB of /user.slice`, ` of the machine's 16 GiB`, ` in /user.slice`, or nothing."""
    totals, group = event.totals, event.oom_cgroup or event.cgroup
    name = safe_text(group) if group else "its cgroup"
    if event.kind == "oom_memcg":
        if totals is not None and totals.limit_kb is not None:
            return f" of the {_kb(totals.limit_kb)} of {name}"
        return f" in {name}" if group else ""
    if totals is not None and totals.ram_kb is not None:
        return f" of the machine's {_kb(totals.ram_kb)}"
    return ""


def _row(row: TaskRow) -> str:
    return f"{safe_text(row.comm)} {row.pid} {_kb(row.rss_kb)}"


def _kb(size_kb: int) -> str:
    return gib(size_kb * 1024)
