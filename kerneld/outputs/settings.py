"""Settings to a table: key, value, origin."""

from collections.abc import Sequence

from kerneld.outputs.table import Cell, Column, table
from kerneld.outputs.view import View

_COLUMNS = (Column("KEY", 12), Column("VALUE", 12), Column("ORIGIN", 8, keep="end"))


def settings_table(rows: Sequence[tuple[str, str, str]], view: View) -> str:
    """What is not a default stands out."""
    cells = [
        [Cell(key), Cell(value, "" if origin == "default" else "head"), Cell(origin, "dim")]
        for key, value, origin in rows
    ]
    return "\n".join(table(_COLUMNS, cells, view)) + "\n"
