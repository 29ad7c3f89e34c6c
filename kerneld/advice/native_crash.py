"""Compiled code crashed: which library, how to see the Python line, what to try."""

from kerneld.model.case import Case
from kerneld.model.evidence import own_log
from kerneld.model.fault_lines import fault_object, place_of, trace_of
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

CRASHES = {
    Cause.SEGFAULT: "update or reinstall the package that it belongs to",
    Cause.BUS_ERROR: "check that mapped files are whole and that /dev/shm has room",
    Cause.ILLEGAL_INSTRUCTION: "install a build of its package that is made for this processor",
    Cause.ARITHMETIC_FAULT: "update the package that it belongs to, and look for a zero in its input",
    Cause.TRAP: "update or reinstall the package that it belongs to",
}
KINDS = ("segfault", "gpf", "bus_error", "invalid_opcode", "divide_error", "int3")
GENERAL = ("libc.so", "libc-", "libpthread", "ld-linux", "python", "libpython")
TRACE = (
    "To see the Python line, run in a first cell: import faulthandler; "
    "faulthandler.enable(open('fault.log', 'w')). It needs a file of its own, because ipykernel keeps "
    "stderr to itself."
)


def advise(case: Case, verdict: Verdict) -> Advice | None:
    remedy = CRASHES.get(verdict.cause)
    if remedy is None:
        return None
    record = own_log(case, *KINDS)
    name = fault_object(record.event)[0] if record else None
    trace = trace_of(case)
    if trace is not None and name is None:
        text = f"{trace.file} has the Python line, and the modules that were loaded: {remedy}."
        return Advice(id="native-crash", title="Look at the package that the line calls", text=text)
    if name is None:
        text = f"No line says in which library it was. {TRACE}"
        return Advice(id="native-crash", title="Find the library that crashed", text=text)
    if name.startswith(GENERAL):
        text = f"It crashed in {name}, which many share: its caller is to blame, as a rule. {TRACE}"
        return Advice(id="native-crash", title="Find the caller that crashed", text=text)
    found = place_of(case, record)
    if found is None or found.package is None:
        text = f"It crashed in {name}: {remedy}. {TRACE}"
        return Advice(id="native-crash", title=f"Look at the package of {name}", text=text)
    text = f"It crashed in {name} of {found.package} {found.version}: {remedy}. {TRACE}"
    return Advice(id="native-crash", title=f"Look at the package {found.package}", text=text)
