"""A case's account of growth into what may be said of it: which line, in which cell, how surely."""

from kerneld.model.case import Case
from kerneld.model.fault_lines import trace_of
from kerneld.model.growth import GrowthAccount, GrowthLine, StackPart
from kerneld.model.sizes import gib

GOOD_DUMPS = 3
GOOD_SHARE = 0.5
GOOD_BYTES = 64 << 20
"""less is told in the rows, but not as the sentence"""
NOTHING = GrowthAccount()


def growth_of(case: Case) -> GrowthAccount:
    return case.memory.growth or NOTHING


def guilty_line(case: Case) -> GrowthLine | None:
    """The line that grew most of it, where enough stacks say so."""
    growth = growth_of(case)
    first = next((line for line in growth.lines if line.file is not None), None)
    if first is None or growth.dumps < GOOD_DUMPS:
        return None
    return first if first.share >= GOOD_SHARE and first.bytes >= GOOD_BYTES else None


def guilty_sentence(case: Case) -> str:
    """`Line 4 had grown it by 3.6 GiB.`; "" where no line is known to have."""
    line = guilty_line(case)
    if line is None or line.line is None:
        return ""
    return f"{_place(case, line)} had grown it by {gib(line.bytes)}."


def _place(case: Case, line: GrowthLine) -> str:
    """As the last cell's reader knows it: its own line, an earlier cell's, or a module's."""
    if is_in_last_cell(case, line.execution_count):
        return f"Line {line.line}"
    if line.execution_count is not None:
        return f"Line {line.line} of cell [{line.execution_count}]"
    name = (line.file or "").rpartition("/")[2]
    return f"Line {line.line} of {name}"


def is_in_last_cell(case: Case, execution_count: int | None) -> bool:
    """The reader puts an execution count only to a frame whose file is that cell's."""
    last = case.last_cell or case.recalled_cell
    return last is not None and execution_count is not None and execution_count == last.execution_count


def last_stack(case: Case) -> StackPart | None:
    """As it crashed, else the last one seen; none of an earlier cell while a later one runs."""
    trace = trace_of(case)
    if trace is not None and trace.frames:
        return StackPart(at=trace.at, frames=trace.frames)
    stack, cell = growth_of(case).stack, case.last_cell
    if stack is None or (cell is not None and stack.at < cell.at):
        return None
    return stack


def crash_sentence(case: Case) -> str:
    """`Line 4 of the cell was running.`; "" where faulthandler told no line of the last cell's."""
    line = line_in_cell(case) if trace_of(case) else None
    return "" if line is None else f"Line {line} of the cell was running."


def line_in_cell(case: Case) -> int | None:
    """The last cell's line that crashed or grew most, else the one where it was last seen."""
    for line in () if trace_of(case) else growth_of(case).lines:
        if is_in_last_cell(case, line.execution_count):
            return line.line
    stack = last_stack(case)
    frames = reversed(stack.frames) if stack else ()
    return next((f.line for f in frames if is_in_last_cell(case, f.execution_count)), None)
