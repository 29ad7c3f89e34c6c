"""The process left with a status that nobody asked for: os._exit(n), C's exit(n), a library's.

Source: https://docs.python.org/3/library/os.html#os._exit. sys.exit() in a cell does not end
ipykernel. xeus-python handles SIGSEGV itself and then exits with 1.
"""

from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import exit_quote, story, subject

NEEDS = ("exit", "iopub")
REFINES: frozenset[Cause] = frozenset()

ORPHANED = timedelta(seconds=10)
"""a kernel whose server is gone leaves with status 1 within about a second"""


def judge(case: Case) -> Verdict | None:
    code = exit_of(case).code
    if code is None or case.scope is Scope.SERVER or announced_shutdown(case) is not None:
        return None
    if case.scope is Scope.WORKER and code == 0:
        return None
    quotes = [exit_quote(case)]
    calls = case.last_cell is not None and case.last_cell.code.hard_exits
    if case.busy and calls and case.last_cell is not None:
        text = "the running cell calls os._exit()"
        quotes.append(Evidence(source="iopub", at=case.last_cell.at, text=text))
    against: tuple[Evidence, ...] = ()
    if code == 1:
        text = "some kernels handle a crash themselves and then exit with status 1"
        against = (Evidence(source="exit", text=text),)
    return Verdict(
        cause=Cause.HARD_EXIT,
        confidence=_confidence(case, code, calls=calls),
        summary=story(case, f"{subject(case)} left by itself with exit status {code}"),
        because=tuple(quotes),
        against=against,
    )


def _confidence(case: Case, code: int, *, calls: bool) -> Confidence:
    """In mid-cell nobody asked; past it a request may have gone unseen, after a 0 above all."""
    if case.busy and (calls or code > 1):
        return Confidence.CERTAIN
    gone = case.server_end is not None and timedelta() <= case.died_at - case.server_end.at <= ORPHANED
    if code == 1 and gone:
        return Confidence.POSSIBLE
    return Confidence.LIKELY if case.busy or code != 0 else Confidence.POSSIBLE
