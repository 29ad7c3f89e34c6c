"""Incidents to a table that fits the terminal, with one closing sentence."""

from collections.abc import Sequence

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Category, Confidence, Scope, State
from kerneld.outputs.headline import kernel_name, tail
from kerneld.outputs.safe import cells, clip, safe_text, wrap
from kerneld.outputs.table import GAP, Cell, Column, table
from kerneld.outputs.text import one_line, user_name
from kerneld.outputs.units import of_limit, when
from kerneld.outputs.view import Role, View

WIDE, WIDEST = 96, 130
"""widths from which the cell, the kernel and the confidence (then the line and the killer) are shown"""

NEAR_SHARE = 0.5
_BASE = (
    Column("ID", 5, ">"),
    Column("WHEN", 12),
    Column("USER", 6),
    Column("NOTEBOOK", 14, keep="end"),
    Column("CAUSE", 14),
    Column("PEAK / LIMIT", 12, ">"),
)
_WIDE = (Column("CELL", 4), Column("KERNEL", 10), Column("SURE", 8))
_WIDEST = (Column("SUMMARY", 20),)


def incidents_table(incidents: Sequence[Incident], view: View) -> str:
    """The table, its footnotes and one closing sentence. Deaths of one loop are one row, the newest."""
    shown = newest_of_loops(incidents)
    wide, widest = view.width >= WIDE, view.width >= WIDEST
    columns = (*_BASE, *(_WIDE if wide else ()), *(_WIDEST if widest else ()))
    rows = [_row(incident, view)[: len(columns)] for incident in shown]
    lines = table(columns, _clip_summaries(rows, columns, view), view)
    lines += [view.paint(line, "dim") for line in _notes(shown, view)]
    lines += wrap(_closing(incidents, view), view.width)
    return "\n".join(lines) + "\n"


def followed_line(incident: Incident, view: View) -> str:
    """`today 14:03  churn/train.ipynb of alice ran out of memory (…)`: whole, whatever the width."""
    return f"{when(incident.died_at, view)}  {one_line(incident)}\n"


def _row(incident: Incident, view: View) -> list[Cell]:
    loop = f" ×{incident.loop.count}" if incident.loop else ""
    cell = incident.cell
    place = "" if cell is None or cell.execution_count is None else f"[{cell.execution_count}]"
    if cell and cell.line is not None:
        place += f":{cell.line}"
    kernel = incident.kernel
    return [
        Cell("" if incident.id is None else str(incident.id), "head"),
        Cell(when(incident.died_at, view) + loop),
        Cell(user_name(incident)),
        Cell(notebook_words(incident)),
        Cell(_cause(incident), _cause_role(incident)),
        Cell(peak_of_limit(incident)),
        Cell(place),
        Cell(f"{kernel.name or incident.process.comm} {kernel.pid}" if kernel else ""),
        Cell(incident.confidence.value),
        Cell(incident.summary, "dim"),
    ]


def _clip_summaries(rows: list[list[Cell]], columns: Sequence[Column], view: View) -> list[list[Cell]]:
    """Summaries get what the other columns leave: a long one must not squeeze a name."""
    if columns[-1].title != "SUMMARY":
        return rows
    taken = sum(
        max([cells(column.title), *(cells(safe_text(row[i].text)) for row in rows)]) + len(GAP)
        for i, column in enumerate(columns[:-1])
    )
    room = max(20, view.width - 1 - taken)
    return [[*row[:-1], Cell(clip(safe_text(row[-1].text), room), row[-1].role)] for row in rows]


def notebook_words(incident: Incident) -> str:
    if incident.scope is Scope.SERVER:
        count = len(incident.kernels)
        return f"server, {count} kernel{'' if count == 1 else 's'}"
    name = tail(incident.notebook.path) if incident.notebook else kernel_name(incident)
    return f"{name} (worker)" if incident.scope is Scope.WORKER else name


def _cause(incident: Incident) -> str:
    unsure = "?" if incident.confidence is Confidence.POSSIBLE else ""
    return f"{incident.cause.value}{unsure}{' …' if incident.state is State.PROVISIONAL else ''}"


def _cause_role(incident: Incident) -> Role:
    if not incident.is_incident:
        return "dim"
    return "bad" if incident.category in (Category.MEMORY, Category.NATIVE) else "warn"


def peak_of_limit(incident: Incident) -> str:
    """The limit is told where memory was the matter, or half of it was in use."""
    memory = incident.memory
    peak, limit = memory.peak_bytes or memory.last_bytes, memory.limit_bytes
    matters = incident.category is Category.MEMORY or (
        peak is not None and limit is not None and peak >= NEAR_SHARE * limit
    )
    return of_limit(peak, limit if matters else None)


def newest_of_loops(incidents: Sequence[Incident]) -> list[Incident]:
    """One incident of each loop, the one that died last; the order stays."""
    newest: dict[str, Incident] = {}
    for incident in incidents:
        known = newest.get(incident.loop_id)
        if known is None or incident.died_at >= known.died_at:
            newest[incident.loop_id] = incident
    return [incident for incident in incidents if newest[incident.loop_id] is incident]


def _notes(incidents: Sequence[Incident], view: View) -> list[str]:
    notes = []
    if any(incident.confidence is Confidence.POSSIBLE for incident in incidents):
        notes.append("? possible, not proven")
    if any(incident.state is State.PROVISIONAL for incident in incidents):
        notes.append("… not settled yet")
    if any(incident.loop for incident in incidents):
        notes.append("×n deaths in a row")
    return wrap(" · ".join(notes), view.width) if notes else []


def _closing(incidents: Sequence[Incident], view: View) -> str:
    """`3 incidents of 3 users since Nov 21. The newest: kerneld show 43`."""
    told = [incident for incident in incidents if incident.is_incident]
    word = "incident" if len(told) == len(incidents) else "end"
    count = len(incidents)
    users = len({incident.user.uid for incident in incidents})
    first = min(incident.died_at for incident in incidents)
    since = when(first, view).removesuffix(f" {first.astimezone(view.zone):%H:%M}")
    of_users = "" if users == 1 else f" of {users} users"
    newest = max(incidents, key=lambda incident: incident.died_at)
    number = newest.id if newest.id is not None else "latest"
    one = "The story" if count == 1 else "The newest"
    plural = "" if count == 1 else "s"
    return f"{count} {word}{plural}{of_users} since {since}. {one}: kerneld show {number}"
