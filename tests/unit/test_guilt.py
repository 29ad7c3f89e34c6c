"""What may be said of a growth: which line, in which cell, and when nothing is said."""

from datetime import timedelta

import pytest
from cases import DIED, GIB, at, cell, death, oom

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.growth import Frame, GrowthAccount, GrowthLine, StackPart
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import State
from kerneld.outputs.code import cell_lines, frame_lines, growth_lines
from kerneld.outputs.view import View
from kerneld.report import build_incident

FILE = "/tmp/ipykernel_4242/2385213417.py"
VIEW = View(DIED, DIED.tzinfo, 80)  # type: ignore[arg-type]
SOURCE = "import numpy as np\nlarge_list = []\nfor i in range(10):\n    large_list.append(i)"


def grew(line: int, gib: float, share: float, count: int | None = 7, file: str = FILE) -> GrowthLine:
    return GrowthLine(
        function="<module>", file=file, line=line, code=f"code {line}", execution_count=count,
        bytes=round(gib * GIB), share=share,
    )  # fmt: skip


def stack(seconds: float, *frames: Frame) -> StackPart:
    return StackPart(at=at(seconds), frames=frames)


def in_cell(line: int, count: int | None = 7) -> Frame:
    return Frame(function="<module>", file=FILE, line=line, code=f"code {line}", execution_count=count)


def incident(growth: GrowthAccount | None, *, signal: int = 9, log: tuple = (oom(),)) -> Incident:  # type: ignore[type-arg]
    case: Case = death(signal=signal, log=log)
    last = cell().model_copy(update={"source": SOURCE})
    memory = case.memory.model_copy(update={"growth": growth})
    case = case.model_copy(update={"memory": memory, "last_cell": last})
    now = DIED + timedelta(seconds=5)
    return build_incident(
        case, diagnose(case), now=now, state=State.SETTLED, revision=1, recorded_at=DIED
    )


SENTENCES = {
    "its own line": ((grew(4, 3.6, 0.97),), "Line 4 had grown it by 3.6 GiB."),
    "an earlier cell's": ((grew(2, 3.6, 0.97, 3),), "Line 2 of cell [3] had grown it by 3.6 GiB."),
    "a module's": (
        (grew(41, 3.6, 0.97, None, "/home/alice/load.py"),),
        "Line 41 of load.py had grown it by 3.6 GiB.",
    ),
    "no half of it": ((grew(4, 1.0, 0.4), grew(5, 0.9, 0.36)), ""),
    "next to nothing": ((grew(4, 0.01, 1.0),), ""),
    "unattributed": ((GrowthLine(bytes=3 * GIB, share=0.9), grew(4, 0.3, 0.1)), ""),
    "nothing": ((), ""),
}


@pytest.mark.parametrize(("lines", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_the_summary_names_the_line(lines: tuple[GrowthLine, ...], sentence: str) -> None:
    summary = incident(GrowthAccount(lines=lines, dumps=10)).summary
    assert summary.endswith(sentence)
    assert ("had grown it" in summary) is bool(sentence)


def test_two_stacks_name_nobody() -> None:
    told = incident(GrowthAccount(lines=(grew(4, 3.6, 1.0),), dumps=2))
    assert "had grown" not in told.summary
    assert told.growth_lines[0].line == 4, "it is told in the rows all the same"


def test_a_crash_is_not_about_memory() -> None:
    told = incident(GrowthAccount(lines=(grew(4, 3.6, 1.0),), dumps=9), signal=11, log=())
    assert "had grown" not in told.summary
    assert told.cell is not None
    assert told.cell.line == 4


def test_the_cells_line_is_where_it_was_last_seen_when_nothing_grew_there() -> None:
    seen = stack(-1, in_cell(3), Frame(function="load", file="/home/alice/load.py", line=41))
    rows = (grew(41, 3.6, 1.0, None, "/home/alice/load.py"),)
    told = incident(GrowthAccount(lines=rows, dumps=9, stack=seen))
    assert told.cell is not None
    assert (told.cell.line, told.stack) == (3, seen)


def test_a_stack_of_an_earlier_cell_is_not_this_cells() -> None:
    told = incident(GrowthAccount(stack=stack(-100, in_cell(3, 6)), dumps=9))
    assert told.cell is not None
    assert (told.cell.line, told.stack) == (None, None)


def test_why_there_are_no_stacks_is_told() -> None:
    told = incident(GrowthAccount(blind="it is no Python kernel"))
    assert [b.reason for b in told.blind if b.source == "stacks"] == ["it is no Python kernel"]
    assert not [b for b in incident(None).blind if b.source == "stacks"]


def test_show_marks_the_line_in_its_cell_and_no_other_cells() -> None:
    rows = (grew(4, 3.6, 0.9), grew(2, 0.3, 0.08, 3), GrowthLine(bytes=GIB // 16, share=0.02))
    told = incident(GrowthAccount(lines=rows, dumps=9, stack=stack(-1, in_cell(4))))
    marked = [line.split() for line in cell_lines(told, VIEW) if "▸" in line or "GiB" in line]
    assert marked == [["▸", "4", "large_list.append(i)", "+3.6", "GiB", "90", "%"]]
    places = [line.strip() for line in growth_lines(told, VIEW)[1:]]
    assert [place.partition("  ")[0] for place in places] == [
        "cell [7] line 4", "cell [3] line 2", "unattributed",
    ]  # fmt: skip
    assert frame_lines(told, VIEW)[1:] == ["  cell [7] line 4", "    code 4"]


def test_where_the_cell_is_withheld_its_one_line_is_shown() -> None:
    told = incident(GrowthAccount(lines=(grew(2, 0.1, 0.1, 3), grew(4, 3.6, 0.9)), dumps=9))
    assert told.cell is not None
    bare = told.model_copy(update={"cell": told.cell.model_copy(update={"source": None})})
    assert cell_lines(bare, VIEW)[1].split() == ["▸", "4", "code", "4", "+3.6", "GiB", "90", "%"]
