"""This process's own rights into what it could read of each source of evidence, by reading it."""

import errno
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

from kerneld.doctor.check import RUN_AS_ROOT, Check, remedy_of
from kerneld.doctor.folders import connection_files
from kerneld.doctor.reader import iopub
from kerneld.doctor.stacks import python_stacks
from kerneld.doctor.trial import Trial, try_an_end
from kerneld.errors import SourceUnavailable, UnsafeFile
from kerneld.model.vocabulary import Mode
from kerneld.proc.cgroup import CgroupWatch, cgroup_dirs
from kerneld.proc.files import open_system_log
from kerneld.proc.machine import one_of_each_user
from kerneld.proc.process import boot_id, read_process
from kerneld.proc.threads import in_initial_pid_namespace
from kerneld.proc.tracefs import SHARED, tracefs_root
from kerneld.sources.journal import check_journal, find_journal
from kerneld.sources.kmsg import KMSG, MAX_RECORD_BYTES, REASONS
from kerneld.sources.log_files import REMEDY, wanted
from kerneld.sources.signals import MOUNT
from kerneld.sources.signals import REASONS as SIGNAL_REASONS

LOST_STATUS = "A status that nobody else keeps stays unknown."
LOST_PEAK = "The peak of memory is a lower bound, from samples."
LOST_LOG = "An OOM kill is likely at most, and a crash has no place."
LOST_OTHERS = "Who else held the memory stays unknown, but for Linux's own table in the log."
MAX_USERS_TRIED = 64
LOST_SENDER = "Who sent a SIGKILL stays unknown."
LOST_JOURNAL = "A kill by systemd looks like any signal, one by a memory guard is likely at most."
LOST_LOG_FILES = "What Slurm or a memory guard says there of a kill is not told."
LOST_STACK = "A crash has no native stack."
LOST_COUNTERS = "Without the Linux log an OOM kill looks like any SIGKILL."


def examine_sources(mode: Mode, *, extra_folders: Iterable[str] = ()) -> list[Check]:
    """A check for each source that a daemon started by this process would have."""
    trial = try_an_end()
    return [
        exit_status(trial),
        proc_connector(trial),
        taskstats(trial),
        linux_log(),
        signal_trace(),
        journal(),
        log_files(),
        memory_cgroup(),
        other_processes(),
        kernels_seen(mode),
        connection_files(mode, extra_folders),
        iopub(),
        python_stacks(),
    ]


def exit_status(trial: Trial) -> Check:
    ways = (("pidfd", trial.pidfd), ("zombie", trial.zombie), ("PIDFD_GET_INFO", trial.pidfd_info))
    says = ", ".join(name for name, works in ways if works)
    name = "exit status"
    if not trial.pidfd:
        return Check(name=name, works=False, says="a pidfd told no death", costs="No death is seen.")
    if trial.pidfd_info:
        return Check(name=name, works=True, says=says)
    if not trial.zombie:
        return Check(name=name, works=False, says=f"{says} only", costs=LOST_STATUS)
    costs = "It has no PIDFD_GET_INFO (Linux 6.15): what its parent reaps at once stays unknown."
    return Check(name=name, works=True, says=says, costs=costs)


def proc_connector(trial: Trial) -> Check:
    name = "proc connector"
    if trial.connector is None:
        return Check(name=name, works=True, says="told the end of a process")
    costs = f"{LOST_STATUS} New kernels are found by a look each second."
    return _lacking(name, trial.connector, costs)


def taskstats(trial: Trial) -> Check:
    name = "taskstats"
    if trial.taskstats is None:
        return Check(name=name, works=True, says="told the end of a process")
    return _lacking(name, trial.taskstats, LOST_PEAK)


def linux_log() -> Check:
    """Opened and read; the pids in it are this process's only in the first pid namespace."""
    name = "Linux log"
    try:
        _read_a_record()
    except OSError as problem:
        reason, remedy = REASONS.get(problem.errno or 0, (f"{{path}}: {problem.strerror}", ""))
        return _lacking(name, SourceUnavailable(reason.format(path=KMSG), remedy), LOST_LOG)
    if not in_initial_pid_namespace("/proc"):
        says = f"{KMSG} can be read, but its pids are those of the host, not of this container"
        return _lacking(name, SourceUnavailable(says, "docker run --pid=host …"), LOST_LOG)
    if _text("/proc/sys/debug/exception-trace") == "0":
        return Check(
            name=name,
            works=False,
            says=f"{KMSG} can be read, but Linux is told to log no crashes",
            costs="A segfault has no place.",
            remedy="sudo sysctl debug.exception-trace=1",
        )
    return Check(name=name, works=True, says=KMSG)


def _lacking(name: str, problem: SourceUnavailable, costs: str) -> Check:
    remedy = remedy_of(problem.reason, problem.remedy, is_root=os.geteuid() == 0)
    return Check(name=name, works=False, says=problem.reason, costs=costs, remedy=remedy)


def _read_a_record() -> None:
    """An empty ring, and one that moved on meanwhile, can be read as well."""
    fd = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.read(fd, MAX_RECORD_BYTES)
    except OSError as problem:
        if problem.errno not in (errno.EAGAIN, errno.EPIPE):
            raise
    finally:
        os.close(fd)


def signal_trace() -> Check:
    """Its pipe is not opened: that would take it from a daemon. Root makes a trace of its own."""
    name = "signal trace"
    root = tracefs_root()
    if root is None:
        problem = SourceUnavailable("tracefs is not mounted, or may not be entered", MOUNT)
        return _lacking(name, problem, LOST_SENDER)
    if os.geteuid() == 0 and os.access(f"{root}/instances", os.W_OK):
        return Check(name=name, works=True, says=f"can be set up in {root}")
    pipe = f"{root}/instances/{SHARED}/trace_pipe"
    if os.access(pipe, os.R_OK, effective_ids=True):
        return Check(name=name, works=True, says=pipe)
    return _lacking(name, SourceUnavailable(*SIGNAL_REASONS[errno.ENOENT]), LOST_SENDER)


def journal() -> Check:
    """The system's own file, by journalctl; a user who may read only the own journal learns nothing."""
    try:
        file = find_journal()
        check_journal(file)
    except SourceUnavailable as problem:
        return _lacking("journal", problem, LOST_JOURNAL)
    return Check(name="journal", works=True, says=file)


def log_files() -> Check:
    """Slurm's own, and syslog's where there is no journal; where none is, nothing is missed."""
    name, files = "log files", wanted()
    for path in files:
        try:
            os.close(open_system_log(path))
        except (OSError, UnsafeFile) as problem:
            return _lacking(name, SourceUnavailable(f"{path}: {problem}", REMEDY), LOST_LOG_FILES)
    if not files:
        return Check(name=name, works=None, says="none of Slurm's, and none that a journal lacks")
    return Check(name=name, works=True, says=", ".join(files))


def core_dumps() -> Check:
    """Whether Linux hands cores to who looks into them: a note, since it is not kerneld's to change."""
    name, says = "core dumps", f"core_pattern is `{_text('/proc/sys/kernel/core_pattern')}`"
    if "systemd-coredump" in says:
        return Check(name=name, works=True, says="systemd-coredump looks into them")
    remedy = "sudo apt install systemd-coredump"
    return Check(name=name, works=None, says=says, costs=LOST_STACK, remedy=remedy)


def memory_cgroup() -> Check:
    """The counters of the cgroup that this process is in itself."""
    name = "memory cgroup"
    process = read_process(os.getpid(), boot_id=boot_id(), pidfd_inode=None)
    location = process.cgroup if process else None
    if location is None:
        says = "Linux counts no memory by cgroup here"
        return Check(name=name, works=False, says=says, costs=LOST_COUNTERS)
    watch = CgroupWatch(cgroup_dirs(location))
    readings = watch.read(datetime.now(UTC))
    watch.close()
    if readings and readings[0].oom_kill is not None:
        says = f"v{location.version}, the counters of {location.path}"
        return Check(name=name, works=True, says=says)
    if location.version == 2 and location.path == "/":
        says = "v2; this shell is in its root, which has no counters to try"
        return Check(name=name, works=None, says=says)
    says = f"v{location.version}, the counters of {location.path} can't be read"
    return Check(name=name, works=False, says=says, costs=LOST_COUNTERS)


def other_processes() -> Check:
    """Whether /proc shows more than one's own: tried on process 1."""
    name = "other processes"
    try:
        with open("/proc/1/statm", "rb") as statm:
            statm.read(1)
    except OSError:
        hidden = SourceUnavailable("/proc hides others' processes (hidepid)", "grant CAP_SYS_PTRACE")
        return _lacking(name, hidden, LOST_OTHERS)
    return Check(name=name, works=True, says="the largest at a death can be named")


def kernels_seen(mode: Mode) -> Check:
    """Whose kernels: tried on a process of each other user, where there is one."""
    name = "whose kernels"
    if mode is Mode.USER:
        return Check(
            name=name,
            works=None,
            says=f"your own only (uid {os.geteuid()}), without root",
            costs="Who else took the memory is known by pid and size at most.",
            remedy=RUN_AS_ROOT,
        )
    tried = 0
    for pid in _one_of_each_other():
        try:
            _read_private(pid)
            tried += 1
        except PermissionError:
            return Check(
                name=name,
                works=False,
                says=f"process {pid} of another user can't be read",
                costs="Others' kernels are found, but without their files, limits and cells.",
                remedy="grant CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE",
            )
        except OSError:
            continue  # it ended this instant
    if not tried:
        return Check(name=name, works=None, says="no other user runs anything to try it on")
    return Check(name=name, works=True, says="everybody's")


def _one_of_each_other() -> Iterable[int]:
    """A process of each other user; some are readable to all of root, as in a user namespace."""
    found = one_of_each_user()
    found.pop(os.geteuid(), None)
    return islice(found.values(), MAX_USERS_TRIED)


def _read_private(pid: int) -> None:
    """Its descriptors need CAP_DAC_READ_SEARCH, its environment CAP_SYS_PTRACE too."""
    os.listdir(f"/proc/{pid}/fd")
    with open(f"/proc/{pid}/environ", "rb") as environ:
        environ.read(1)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
