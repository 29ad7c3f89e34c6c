"""Rows of cells to aligned lines that fit the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kerneld.outputs.safe import Keep, cells, clip, safe_text
from kerneld.outputs.view import Role, View

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """least: the width below which it shrinks only when nothing else can. keep: what a clip keeps."""

    title: str
    least: int = 4
    align: Literal["<", ">"] = "<"
    keep: Keep = "start"


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    role: Role = ""


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], view: View) -> list[str]:
    """Lines of a table, the titles first; every cell passes through `safe_text`."""
    safe = [[Cell(safe_text(cell.text), cell.role) for cell in row] for row in rows]
    widths = _widths(columns, safe, view.width - 1 - len(GAP) * (len(columns) - 1))
    head = [Cell(column.title, "dim") for column in columns]
    return [_line(columns, widths, row, view) for row in (head, *safe)]


def _line(columns: Sequence[Column], widths: list[int], row: Sequence[Cell], view: View) -> str:
    parts = []
    for column, width, cell in zip(columns, widths, row, strict=True):
        text = clip(cell.text, width, column.keep)
        blanks = " " * (width - cells(text))
        painted = view.paint(text, cell.role)
        parts.append(blanks + painted if column.align == ">" else painted + blanks)
    return (" " + GAP.join(parts)).rstrip()


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int) -> list[int]:
    """Natural widths; too wide, the widest column that may shrink gives way first."""
    widths = [
        max([cells(column.title), *(cells(row[index].text) for row in rows)])
        for index, column in enumerate(columns)
    ]
    least = [min(width, column.least) for width, column in zip(widths, columns, strict=True)]
    for floor in (least, [1] * len(widths)):
        while sum(widths) > room:
            spare = [width - low for width, low in zip(widths, floor, strict=True)]
            if max(spare) <= 0:
                break
            widest = max(
                (i for i in range(len(widths)) if spare[i] > 0), key=lambda i: (widths[i], spare[i])
            )
            widths[widest] -= 1
    return widths
