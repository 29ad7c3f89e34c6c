"""The kernels that live now to a table: their state, their memory and how fast it grows."""

from collections.abc import Sequence
from datetime import datetime

from kerneld.model.living import LivingState
from kerneld.model.sizes import NEAR_LIMIT_SHARE
from kerneld.outputs.chart import sparkline
from kerneld.outputs.headline import tail
from kerneld.outputs.table import Cell, Column, table
from kerneld.outputs.units import duration, growth, of_limit
from kerneld.outputs.view import Role, View

WIDE = 100
"""the width from which the memory of the last minutes is drawn"""

_QUIET_BYTES_PER_S = 1 << 20
_SOON_S, _ALARM_S = 24 * 3600.0, 60.0
"""what is a day away is no forecast"""
_BASE = (
    Column("PID", 7, ">"),
    Column("USER", 6),
    Column("NOTEBOOK", 12, keep="end"),
    Column("STATE, CELL", 11),
    Column("MEMORY / LIMIT", 16, ">"),
    Column("GROWTH", 10, ">"),
)
_FULL_IN = Column("FULL IN", 7, ">")


def kernels_table(living: Sequence[LivingState], view: View) -> str:
    """The table, the hungriest last (nearest to the prompt), and one closing sentence."""
    wide = view.width >= WIDE
    filling = any(seconds_to_limit(state) is not None for state in living)
    columns = [*_BASE, *([_FULL_IN] if filling else [])]
    columns += [Column("KERNEL", 8), Column("LAST MINUTES", 12)] if wide else []
    ordered = sorted(living, key=_held)
    rows = [_row(state, filling=filling)[: len(columns)] for state in ordered]
    lines = table(columns, rows, view)
    busy = sum(state.state == "busy" for state in living)
    newest = max(state.at for state in living)
    count = len(living)
    closing = f"{count} kernel{'' if count == 1 else 's'}, {busy} busy{_age(newest, view)}"
    return "\n".join([*lines, closing]) + "\n"


def seconds_to_limit(state: LivingState) -> float | None:
    """Until its memory meets its limit, if it grows on as in the last 10 s; None: it does not."""
    rate, limit = state.growth_bytes_per_s, state.limit_bytes
    if rate is None or limit is None or rate < _QUIET_BYTES_PER_S:
        return None
    seconds = max(0.0, (limit - _held(state)) / rate)
    return seconds if seconds <= _SOON_S else None


def _held(state: LivingState) -> int:
    return (state.tree_bytes if state.tree_bytes is not None else state.rss_bytes) or 0


def _row(state: LivingState, *, filling: bool) -> list[Cell]:
    held = state.tree_bytes if state.tree_bytes is not None else state.rss_bytes
    left_s = seconds_to_limit(state)
    left = "" if left_s is None else duration(left_s)
    return [
        Cell(str(state.key.pid), "head"),
        Cell(state.user_name or str(state.uid)),
        Cell(tail(state.notebook_path) if state.notebook_path else state.kernel_name or ""),
        Cell(running_cell(state) or state.state, "good" if state.state == "busy" else "dim"),
        Cell(of_limit(held, state.limit_bytes), _memory_role(held, state.limit_bytes)),
        Cell(growth_rate(state)),
        *([Cell(left, "bad" if left_s is not None and left_s < _ALARM_S else "")] if filling else []),
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
