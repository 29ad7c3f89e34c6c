"""A running daemon's own account of its sources into checks: it knows better than this shell."""

from kerneld.doctor.check import Check, remedy_of
from kerneld.doctor.folders import LOST_FILES
from kerneld.doctor.reader import LOST_CELLS
from kerneld.doctor.sources import (
    LOST_JOURNAL,
    LOST_LOG,
    LOST_LOG_FILES,
    LOST_OTHERS,
    LOST_PEAK,
    LOST_SENDER,
    LOST_STATUS,
)
from kerneld.doctor.stacks import LOST_LINES
from kerneld.model.living import DaemonState, SourceHealth
from kerneld.model.vocabulary import Mode

# a source's name -> its name for people, and what its lack costs
NAMES = {
    "exits": ("exit status", "Deaths are seen late, and without their status."),
    "proc-connector": ("proc connector", LOST_STATUS),
    "taskstats": ("taskstats", LOST_PEAK),
    "linux-log": ("Linux log", LOST_LOG),
    "signal-trace": ("signal trace", LOST_SENDER),
    "journal": ("journal", LOST_JOURNAL),
    "log-files": ("log files", LOST_LOG_FILES),
    "memory": ("memory", "There is no memory curve, and no limit that was near."),
    "census": ("other processes", LOST_OTHERS),
    "discovery": ("discovery", LOST_FILES),
    "kernels": ("all kernels", "The end of a kernel that is not watched is not recorded."),
    "iopub": ("iopub", LOST_CELLS),
    "stacks": ("Python stacks", LOST_LINES),
}


def told_by_daemon(daemon: DaemonState) -> list[Check]:
    return [_check(source, daemon.mode) for source in daemon.sources]


def _check(source: SourceHealth, mode: Mode) -> Check:
    name, costs = NAMES.get(source.name, (source.name, ""))
    if source.up:
        return Check(name=name, works=True, says="")
    # a user's own daemon can be granted nothing
    remedy = remedy_of(source.reason, source.remedy, is_root=mode is Mode.SYSTEM)
    return Check(name=name, works=False, says=source.reason, costs=costs, remedy=remedy)
