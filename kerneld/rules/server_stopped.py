"""The server ended by itself (exit, SIGTERM, SIGINT), and its kernels with it, or its unit was stopped.

Source: `cleanup_kernels` in https://github.com/jupyter-server/jupyter_server (serverapp.py) shuts them
down first; a Hub's stop of a local server orphans them, and they leave with status 1. When a unit is
stopped, SIGTERM goes to all its processes at once (KillMode=control-group, systemd.kill(5)): its idle
kernels end seconds before a server that waits for a busy one. So does scancel(1), by which a Hub with
batchspawner stops a server, too: Slurm does not log on whose word.
"""

import signal
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import by_service_manager, deadly_signal
from kerneld.model.exits import exit_of
from kerneld.model.facts import ServerEnd
from kerneld.model.intent import announced_shutdown, ended_by_itself, file_removed_in_time
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import (
    cancelled_job,
    exit_quote,
    exit_words,
    sender_quote,
    server_quote,
)

NEEDS = ("exit", "iopub", "file")
REFINES = frozenset(
    {
        Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.HARD_EXIT, Cause.SHUTDOWN, Cause.STARTUP_FAILURE,
    }
)  # fmt: skip

WINDOW = timedelta(seconds=10)
SLACK = timedelta(seconds=0.5)


def judge(case: Case) -> Verdict | None:
    if case.scope is Scope.SERVER and ended_by_itself(case.readings):
        return Verdict(
            cause=Cause.SERVER_STOPPED,
            confidence=Confidence.CERTAIN,
            summary=f"The Jupyter server was stopped: it {exit_words(case)}.",
            because=(*cancelled_job(case), exit_quote(case)),
        )
    if case.scope is not Scope.KERNEL or oom_line(case) is not None:
        return None
    return _of_its_server(case) or _of_its_unit(case)


def _of_its_server(case: Case) -> Verdict | None:
    server = case.server_end
    if server is None:
        return None
    by_itself = ended_by_itself(server.readings)
    if by_itself is False or not _went_along(case, server):
        return None
    proven = Confidence.CERTAIN if announced_shutdown(case) is not None else Confidence.LIKELY
    return Verdict(
        cause=Cause.SERVER_STOPPED,
        confidence=proven if by_itself else Confidence.POSSIBLE,
        summary="The kernel ended because its server was stopped.",
        because=(*cancelled_job(case), server_quote(server), exit_quote(case)),
    )


def _of_its_unit(case: Case) -> Verdict | None:
    """Where the journal, which tells who asked for it or why else, can't be read."""
    sent = deadly_signal(case)
    if sent is None or sent.signal != signal.SIGTERM or case.process.unit is None:
        return None
    crashed = case.server_end is not None and ended_by_itself(case.server_end.readings) is False
    if crashed or not by_service_manager(sent):
        return None
    return Verdict(
        cause=Cause.SERVER_STOPPED,
        confidence=Confidence.LIKELY,
        summary=f"The kernel ended because {case.process.unit} was stopped.",
        because=(sender_quote(sent), exit_quote(case)),
    )


def _went_along(case: Case, server: ServerEnd) -> bool:
    """Whether the kernel's end fits its server's. Status 1 only past it: an orphan's."""
    end, after = exit_of(case), case.died_at - server.at
    if not -WINDOW <= after <= WINDOW + timedelta(seconds=case.died_at_uncertainty_s):
        return False
    lasting = case.server is not None and case.server.kind.outlives_kernels
    orphaned = after >= (-SLACK if lasting else timedelta())
    asked = announced_shutdown(case) is not None or (lasting and file_removed_in_time(case))
    if end.code == 1:
        return orphaned
    if end.code == 0:
        return orphaned or (lasting and (asked or not case.busy))
    return end.signal in (signal.SIGTERM, signal.SIGINT) or (asked and end.signal == signal.SIGKILL)
