"""What says that an end was asked for: words, files, servers, successors."""

import signal
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.exits import believed_exit, exit_of
from kerneld.model.readings import ExitReading
from kerneld.model.said import ShutdownAnnounced

SHUTDOWN_WINDOW = timedelta(seconds=15)
"""from the announcement to the end: jupyter_client escalates at 2.5 s and kills at 5 s"""


def announced_shutdown(case: Case) -> ShutdownAnnounced | None:
    """The last shutdown that the kernel itself announced shortly before its end."""
    for fact in reversed(case.session):
        if isinstance(fact, ShutdownAnnounced) and case.died_at - fact.at <= SHUTDOWN_WINDOW:
            return fact
    return None


REMOVAL_WINDOW = timedelta(seconds=2)


REMOVAL_SLACK = timedelta(seconds=0.5)


PROMPT_SUCCESSION = timedelta(seconds=1)
"""a restart that was asked for starts the next life 50 ms after the end; an autorestart polls 3 s"""


def file_removed_in_time(case: Case) -> bool:
    """The server cleans up 0.1 to 0.2 s after the end of a kernel that it was asked to end."""
    if case.file_removed is None:
        return False
    if case.succession is not None and case.succession.at < case.file_removed.at:
        return False  # that was the end of the next life
    gap = case.file_removed.at - case.died_at
    return -REMOVAL_SLACK <= gap <= REMOVAL_WINDOW + timedelta(seconds=case.died_at_uncertainty_s)


def lasting_server(case: Case) -> bool:
    """Its server outlives kernels, and was alive when this one ended."""
    if case.server is None or not case.server.kind.outlives_kernels:
        return False
    return case.server_end is None or case.server_end.at > case.died_at


def prompt_succession(case: Case) -> bool:
    return (
        case.succession is not None
        and lasting_server(case)
        and case.succession.at - case.died_at <= PROMPT_SUCCESSION
    )


PATIENCE: dict[int, timedelta] = {
    signal.SIGTERM: timedelta(seconds=2.2),
    signal.SIGKILL: timedelta(seconds=4.5),
}
"""how long a kernel must have been stuck before its server sends this; 2.50 s and 5.00 s measured"""


def may_hide_restart(case: Case) -> bool:
    """A stuck kernel that its server shot to restart it leaves no other trace than this."""
    patience = PATIENCE.get(exit_of(case).signal or 0)
    if patience is None or case.busy is False or not prompt_succession(case):
        return False
    return case.last_cell is None or case.died_at - case.last_cell.at >= patience


def ended_by_itself(readings: tuple[ExitReading, ...]) -> bool | None:
    """A server's end: by exit, SIGTERM or SIGINT (True), by a crash (False), unknown (None)."""
    end = believed_exit(readings)
    if end.code is not None:
        return True
    return None if end.signal is None else end.signal in (signal.SIGTERM, signal.SIGINT)
