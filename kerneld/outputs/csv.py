"""Incidents to CSV, one line each, that no spreadsheet takes for a formula."""

import csv
import io
from datetime import datetime

from kerneld.model.base import iso
from kerneld.model.incident import Incident
from kerneld.outputs.safe import safe_text

# the name of a column -> where in the model its value stands
COLUMNS = {
    "id": "id", "uuid": "uuid", "died_at": "died_at", "scope": "scope", "category": "category",
    "cause": "cause", "confidence": "confidence", "state": "state", "revision": "revision",
    "uid": "user.uid", "user": "user.name", "hub_user": "user.hub_name", "host": "host.name",
    "notebook": "notebook.path", "kernel_id": "kernel.id", "kernel_name": "kernel.name",
    "language": "kernel.language", "pid": "process.pid", "comm": "process.comm",
    "server_kind": "server.kind", "signal": "exit.signal", "exit_code": "exit.code",
    "peak_bytes": "memory.peak_bytes", "peak_how": "memory.peak_how",
    "last_bytes": "memory.last_bytes", "limit_bytes": "memory.limit_bytes",
    "limit_kind": "memory.limit_kind", "limit_path": "memory.limit_path",
    "host_total_bytes": "memory.host_total_bytes", "cell": "cell.execution_count",
    "cell_line": "cell.line", "cell_elapsed_s": "cell.elapsed_s", "fault_object": "fault.object",
    "fault_symbol": "fault.symbol", "killer_pid": "killer.pid", "killer_comm": "killer.comm",
    "killer_user": "killer.user", "loop_count": "loop.count", "summary": "summary",
}  # fmt: skip

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def header() -> str:
    return _line([*COLUMNS])


def line(incident: Incident) -> str:
    """One incident; an unknown is an empty field."""
    return _line([_value(incident, path) for path in COLUMNS.values()])


def _line(values: list[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_inert(value) for value in values])
    return out.getvalue()


def _inert(value: object) -> object:
    """Text that a spreadsheet would run gets a leading `'`; control characters are shown escaped."""
    if isinstance(value, datetime):
        return iso(value)
    if not isinstance(value, str):
        return value
    mark = "'" if value.startswith(_FORMULA) else ""
    return mark + safe_text(value)


def _value(part: object, path: str) -> object:
    for name in path.split("."):
        if part is None:
            return None
        part = getattr(part, name)
    return part
