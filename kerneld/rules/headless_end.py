"""A run without a front end (nbclient, papermill, a script) was done and ended its kernel.

Source: `_async_cleanup_kernel` in https://github.com/jupyter/nbclient/blob/main/nbclient/client.py. It
removes the connection file after a crash too, so only the exit status and the parent's count.
"""

from kerneld.model.case import Case
from kerneld.model.exits import believed_exit, exit_of
from kerneld.model.intent import announced_shutdown
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope, ServerKind
from kerneld.model.wording import exit_quote, server_quote

NEEDS = ("exit", "iopub")
REFINES = frozenset({Cause.HARD_EXIT})

RUNNERS = (ServerKind.NBCLIENT, ServerKind.PAPERMILL)


def judge(case: Case) -> Verdict | None:
    if case.scope is not Scope.KERNEL or announced_shutdown(case) is not None:
        return None
    if case.server is not None and case.server.kind.outlives_kernels:
        return None
    if exit_of(case).code != 0 or case.busy:
        return None
    quotes, runner_said = [exit_quote(case)], None
    if case.server_end is not None:
        quotes.append(server_quote(case.server_end))
        runner_said = believed_exit(case.server_end.readings).code
    elif _is_runner(case):
        quotes.append(Evidence(source="server", text="the run that started it was still alive"))
    # an idle kernel was done; of one that was not heard only its runner's own end tells as much
    sound = runner_said == 0 or (case.server_end is None and case.busy is False)
    return Verdict(
        cause=Cause.SHUTDOWN,
        confidence=Confidence.LIKELY if _is_runner(case) and sound else Confidence.POSSIBLE,
        summary="The kernel ended in good order, as at the end of a run.",
        because=tuple(quotes),
    )


def _is_runner(case: Case) -> bool:
    return case.server is not None and case.server.kind in RUNNERS
