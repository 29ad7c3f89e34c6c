"""An incident's proof to sections: what to do, why we say so, what is against it, what is unseen."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from kerneld.model.incident import Bystander, FaultPart, Incident
from kerneld.outputs.safe import cells, clip, pad, safe_text, wrap
from kerneld.outputs.units import clock, size
from kerneld.outputs.view import View

PROSE_WIDTH = 96
NATIVE_STACK_LINES = 12
BYSTANDERS = 5
LABELS = {
    "linux-log": "Linux log",
    "faulthandler": "Python",
    "signal-trace": "signals",
    "exit": "exit",
    "iopub": "kernel",
}


def advice_lines(incident: Incident, view: View) -> list[str]:
    """Numbered pieces of advice, each with its reason and, where there is one, its code."""
    if not incident.advice:
        return []
    width = min(view.width, PROSE_WIDTH) - 5
    lines = [view.paint("What to do", "head")]
    for number, advice in enumerate(incident.advice, 1):
        title = wrap(safe_text(f"{advice.title.rstrip('.')}."), width)
        lines.append(f"  {number}  {view.paint(title[0], 'good')}")
        lines += [f"     {view.paint(line, 'good')}" for line in title[1:]]
        if advice.text:
            lines += [f"     {line}" for line in wrap(safe_text(advice.text), width)]
        for code in (advice.code or "").expandtabs(4).splitlines():
            lines.append(view.paint(f"       {clip(safe_text(code), view.width - 7)}", "accent"))
    return lines


def because_lines(incident: Incident, view: View) -> list[str]:
    quotes = [(part.source, part.at, part.text) for part in incident.because]
    return _quoted("Why we say so", quotes, view)


def against_lines(incident: Incident, view: View) -> list[str]:
    quotes = [(part.source, part.at, part.text) for part in incident.against]
    return _quoted("Against it", quotes, view)


def blind_lines(incident: Incident, view: View) -> list[str]:
    return _quoted("Not looked at", [(b.source, None, b.reason) for b in incident.blind], view)


def alternative_lines(incident: Incident, view: View) -> list[str]:
    quotes = [
        (a.cause.value, None, f"{a.confidence.value}: {a.because}") for a in incident.alternatives
    ]
    return _quoted("It could also be", quotes, view)


def timeline_lines(incident: Incident, view: View) -> list[str]:
    quotes = [(entry.source, entry.at, entry.text) for entry in incident.timeline]
    return _quoted("What happened", quotes, view, times_first=True)


def fault_words(fault: FaultPart) -> str:
    """`segfault at 0x10, in libblas.so.3+1f2, function dgemm_`."""
    offset = f"+{fault.offset}" if fault.offset else ""
    package = " ".join(part for part in (fault.package, fault.version) if part)
    said = [
        fault.kind + (f" at {fault.address}" if fault.address else ""),
        f"in {fault.object}{offset}" if fault.object else "",
        f"function {fault.symbol}" if fault.symbol else "",
        f"of the package {package}" if package else "",
    ]
    return safe_text(", ".join(part for part in said if part))


def fault_lines(incident: Incident, view: View) -> list[str]:
    """The place of a fault, and the native stack where there is one."""
    fault = incident.fault
    if fault is None:
        return []
    text = fault_words(fault)
    lines = [view.paint("Fault", "head"), *(f"  {line}" for line in wrap(text, view.width - 2))]
    native = (fault.native_stack or "").expandtabs(4).splitlines()
    lines += [f"  {clip(safe_text(line), view.width - 2)}" for line in native[:NATIVE_STACK_LINES]]
    if len(native) > NATIVE_STACK_LINES:
        lines.append(view.paint(f"  … {len(native) - NATIVE_STACK_LINES} more lines", "dim"))
    return lines


def bystander_lines(incident: Incident, view: View) -> list[str]:
    """The largest processes at the death."""
    largest = sorted(incident.bystanders, key=lambda part: part.rss_bytes, reverse=True)[:BYSTANDERS]
    if not largest:
        return []
    names = [safe_text(bystander_name(part)) for part in largest]
    room = min(max(cells(name) for name in names), view.width - 22)
    return [
        view.paint("The largest processes then", "head"),
        *(
            f"  {pad(clip(name, room), room)}  {size(part.rss_bytes):>8}{_role(part)}"
            for name, part in zip(names, largest, strict=True)
        ),
    ]


def _role(part: Bystander) -> str:
    return "" if part.role == "other" else f"  {clip(safe_text(part.role), 8)}"


def bystander_name(part: Bystander) -> str:
    if part.pid is None:
        return "another user's process"
    owner = part.user or (None if part.uid is None else f"uid {part.uid}")
    return f"{part.comm or '?'} {part.pid}" + (f" ({owner})" if owner else "")


Quote = tuple[str, datetime | None, str]


def _quoted(title: str, quotes: Sequence[Quote], view: View, *, times_first: bool = False) -> list[str]:
    """Rows of source, time and text; the text wraps under itself."""
    if not quotes:
        return []
    rows = [
        (safe_text(LABELS.get(source, source)), clock(at, view) if at else "", safe_text(text))
        for source, at, text in quotes
    ]
    label = min(max(cells(source) for source, _, _ in rows), 20)
    time = max(len(at) for _, at, _ in rows)
    lines = [view.paint(title, "head")]
    for source, at, text in rows:
        named = [pad(clip(source, label), label), *([at.ljust(time)] if time else [])]
        lead = "  " + "  ".join(reversed(named) if times_first else named) + "  "
        lines += _hanging(lead, text, view)
    return lines


def _hanging(lead: str, text: str, view: View) -> Iterable[str]:
    indent = cells(lead)
    first, *rest = wrap(text, max(20, view.width - indent))
    yield view.paint(lead, "dim") + first
    yield from (" " * indent + line for line in rest)
