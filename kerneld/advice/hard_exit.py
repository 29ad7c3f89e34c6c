"""The process left with a status of its own: where such an exit comes from."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.HARD_EXIT:
        return None
    called = case.busy is True and case.last_cell is not None and case.last_cell.code.hard_exits
    if called:
        text = "The cell calls os._exit(), which ends the kernel at once. Raise an exception instead."
        return Advice(id="hard-exit", title="Take os._exit() out of the cell", text=text, sure=True)
    text = (
        "Nothing asked for it: look for os._exit() in what the cell calls, or for a library whose "
        "compiled part ends the process on an error (licence checks, Fortran's STOP, MPI, OpenMP). "
        "Its message went to stderr: run the same code as a script to read it."
    )
    return Advice(id="hard-exit", title="Find what ends the process", text=text)
