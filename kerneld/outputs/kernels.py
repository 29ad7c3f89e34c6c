"""The kernels that live now to a table: their state, their memory and how fast it grows."""

from collections.abc import Sequence
from datetime import datetime

from kerneld.model.evidence import NEAR_LIMIT_SHARE
from kerneld.model.living import LivingState
from kerneld.outputs.chart import sparkline
from kerneld.outputs.headline import tail
from kerneld.outputs.table import Cell, Column, table
from kerneld.outputs.units import duration, growth, of_limit
from kerneld.outputs.view import Role, View

WIDE = 100
"""the width from which the memory of the last minutes is drawn"""

_QUIET_BYTES_PER_S = 1 << 20
_BASE = (
    Column("PID", 7, ">"),
    Column("USER", 6),
    Column("NOTEBOOK", 12, keep="end"),
    Column("STATE", 8),
    Column("CELL", 6),
    Column("MEMORY / LIMIT", 14, ">"),
    Column("GROWTH", 10, ">"),
)


def kernels_table(living: Sequence[LivingState], view: View) -> str:
    """The table, the hungriest last (nearest to the prompt), and one closing sentence."""
    wide = view.width >= WIDE
    columns = (*_BASE, *((Column("KERNEL", 8), Column("LAST MINUTES", 12)) if wide else ()))
    ordered = sorted(living, key=lambda state: state.tree_bytes or state.rss_bytes or 0)
    lines = table(columns, [_row(state, view)[: len(columns)] for state in ordered], view)
    busy = sum(state.state == "busy" for state in living)
    newest = max(state.at for state in living)
    count = len(living)
    closing = f"{count} kernel{'' if count == 1 else 's'}, {busy} busy{_age(newest, view)}"
    return "\n".join([*lines, closing]) + "\n"


def _row(state: LivingState, view: View) -> list[Cell]:
    held = state.tree_bytes if state.tree_bytes is not None else state.rss_bytes
    return [
        Cell(str(state.key.pid), "head"),
        Cell(state.user_name or str(state.uid)),
        Cell(tail(state.notebook_path) if state.notebook_path else state.kernel_name or ""),
        Cell(state.state, "good" if state.state == "busy" else "dim"),
        Cell(running_cell(state)),
        Cell(of_limit(held, state.limit_bytes), _memory_role(held, state.limit_bytes)),
        Cell(growth_rate(state)),
        Cell(state.kernel_name or ""),
        Cell(sparkline(state.samples, 24), "accent"),
    ]


def running_cell(state: LivingState) -> str:
    if state.state != "busy":
        return ""
    number = "" if state.execution_count is None else f"[{state.execution_count}]"
    if state.cell_started_at is None:
        return number
    return f"{number} {duration(state.at - state.cell_started_at)}".strip()


def growth_rate(state: LivingState) -> str:
    """Growth below 1 MiB a second is noise."""
    rate = state.growth_bytes_per_s
    return "" if rate is None or abs(rate) < _QUIET_BYTES_PER_S else f"{growth(rate)}/s"


def _memory_role(held: int | None, limit: int | None) -> Role:
    return "bad" if held and limit and held >= NEAR_LIMIT_SHARE * limit else ""


def _age(newest: datetime, view: View) -> str:
    """The daemon writes every 2 s: older rows say so."""
    age_s = (view.now - newest).total_seconds()
    return f"; as of {duration(age_s)} ago" if age_s > 10 else ""
