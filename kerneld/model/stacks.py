"""The address of a segfault against the stack of its thread: was that used up?"""

import re
from dataclasses import dataclass

from kerneld.model.case import Case
from kerneld.model.evidence import own_log

_FAULT = re.compile(
    r"segfault at (?P<address>[0-9a-f]+) [re]?ip (?P<ip>[0-9a-f]+) [re]?sp (?P<sp>[0-9a-f]+) "
    r"error (?P<error>[0-9a-f]+)"
)
_PAGE_PRESENT, _INSTRUCTION_FETCH = 1, 16
_BELOW_SP, _ABOVE_SP = 4 << 10, 1 << 20
"""a push faults below sp; a function that has made room for its variables, anywhere in that room"""
_ARGUMENTS, _GAP = 2 << 20, 1 << 20
"""above a main thread's stack stand arguments and environment; below it Linux keeps 256 pages free"""


@dataclass(frozen=True, slots=True)
class StackEnd:
    """A fault where a thread's stack had no room left. at_bound: it is the end that the limit sets."""

    fault_address: int
    at_bound: bool


def stack_end(case: Case) -> StackEnd | None:
    """Whether the segfault line tells of a stack that was used up; None: it tells of something else.

    The fault is a data access to a page that is not there, about where the stack pointer stands: all
    else that uses up no stack faults far from it. x86 alone prints the pointer.
    """
    record = own_log(case, "segfault")
    found = _FAULT.search(record.event.line) if record else None
    if record is None or found is None:
        return None
    address, sp, error = (int(found[name], 16) for name in ("address", "sp", "error"))
    if error & (_PAGE_PRESENT | _INSTRUCTION_FETCH) or not -_BELOW_SP <= address - sp <= _ABOVE_SP:
        return None
    top, limit = case.process.stack_top, case.process.stack_limit_bytes
    if record.event.pid != case.process.pid or top is None or limit is None:
        return StackEnd(address, at_bound=False)
    within = -_GAP <= address - (top - limit) <= _ARGUMENTS
    return StackEnd(address, at_bound=True) if within else None
