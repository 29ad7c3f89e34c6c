"""The Linux log to LogRecords: the whole ring first, then each line as soon as Linux has written it."""

import errno
import os
import select
import time
from datetime import UTC, datetime, timedelta

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect
from kerneld.model.facts import ProcessDying, SourceLost, SourceState
from kerneld.model.records import LogEvent, LogRecord
from kerneld.model.vocabulary import Trust
from kerneld.parse.kmsg import KernelLog, KmsgRecord, parse_record
from kerneld.parse.kmsg_text import Origin
from kerneld.proc.kin import pin_dying
from kerneld.proc.threads import in_initial_pid_namespace, tgid_of
from kerneld.sources.source import Mailbox, Outlet, beat_s

KMSG = "/dev/kmsg"
MAX_RECORD_BYTES = 16_384
"""PRINTK_MESSAGE_MAX is 2048, and each byte may be escaped to four: less room is EINVAL"""
UNFINISHED_MS = 1
"""how long an event waits for a part that Linux prints by a call of its own, microseconds later"""
LAG_WINDOW_S = 600.0
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024

NAMES_PROCESS = frozenset({"oom_global", "oom_memcg", "seccomp"})
"""lines that print the process; all others print the thread"""

DEADLY = frozenset(
    {
        "oom_global", "oom_memcg", "segfault", "gpf", "invalid_opcode", "int3", "divide_error",
        "bus_error", "mce", "seccomp",
    }
)  # fmt: skip
"""lines whose process ends, whatever it does"""

REASONS = {
    errno.EPERM: (
        "{path} may not be read: kernel.dmesg_restrict is 1 and CAP_SYSLOG is missing",
        "AmbientCapabilities=CAP_SYSLOG in the unit, or `sysctl kernel.dmesg_restrict=0`",
    ),
    errno.EACCES: (
        "{path} may not be opened",
        "in a container: `--device /dev/kmsg --cap-add SYSLOG`",
    ),
    errno.ENOENT: ("there is no {path} here", "in a container: `--device /dev/kmsg --cap-add SYSLOG`"),
}


class LogClock:
    """The log's own clock to wall time.

    printk counts by sched_clock, which nobody disciplines: here it ran 0.7 ms ahead of
    CLOCK_MONOTONIC after 52 min; where a clock crystal is 20 ppm off it is 50 s a month. A line
    read just after it was written shows the difference, the smallest of the last minutes best.
    """

    def __init__(self) -> None:
        self._lag_s: float | None = None
        self._seen_s = 0.0

    def saw(self, uptime_s: float) -> None:
        """A line with this stamp was read as soon as it came."""
        now_s = time.monotonic()
        lag_s = now_s - uptime_s
        if self._lag_s is None or lag_s < self._lag_s or now_s - self._seen_s > LAG_WINDOW_S:
            self._lag_s, self._seen_s = lag_s, now_s

    def wall(self, uptime_s: float) -> datetime:
        """The wall time of a stamp, never in the future."""
        age_s = time.monotonic() - uptime_s - (self._lag_s or 0.0)
        return datetime.now(UTC) - timedelta(seconds=max(0.0, age_s))


class KmsgSource:
    """One read of /dev/kmsg is one record. path: a FIFO of packets in a test."""

    name = "linux-log"

    def __init__(self, path: str = KMSG, *, boot_id: str = "", proc_root: str = "/proc") -> None:
        self._path = path
        self._boot_id = boot_id
        self._proc_root = proc_root
        self._mailbox = Mailbox()
        self._clock = LogClock()
        self._next_sequence: int | None = None
        self._is_live = False

    def control(self, effect: Effect) -> None:
        """No order concerns the log."""

    def wake(self) -> None:
        self._mailbox.wake()

    def run(self, outlet: Outlet) -> None:
        """Read until told to stop. Started again after a failure, it goes on where it was."""
        if not in_initial_pid_namespace(self._proc_root):
            raise SourceUnavailable(
                "the Linux log names pids of the host, which mean others in this pid namespace",
                "run the container with `--pid=host`",
            )
        fd = self._open()
        try:
            self._follow(fd, outlet)
        finally:
            os.close(fd)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> SourceUnavailable:
        reason, remedy = REASONS.get(error.errno or 0, (f"{{path}}: {error.strerror}", ""))
        return SourceUnavailable(reason.format(path=self._path), remedy)

    def _follow(self, fd: int, outlet: Outlet) -> None:
        log = KernelLog(Trust.KERNEL, page_kb=PAGE_KB)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.register(self._mailbox.fd, select.POLLIN)
        self._is_live = False
        while not outlet.stopping.is_set():
            outlet.tick()
            raw = self._read(fd)
            if raw is not None:
                self._take(raw, log, outlet)
                # a ring holds thousands of lines at 15 µs each: whoever waits for the GIL goes first
                time.sleep(0)
                continue
            if not self._is_live:
                self._is_live = True
                outlet.emit(SourceState(datetime.now(UTC), self.name, True))
            if not poller.poll(UNFINISHED_MS if log.is_waiting else 1000 * beat_s()):
                self._emit(log.flush(), outlet)
            self._mailbox.drain()

    def _read(self, fd: int) -> bytes | None:
        """One record, b"" where the ring was overwritten (its gap tells how much), None: no more."""
        try:
            raw = os.read(fd, MAX_RECORD_BYTES)
        except BlockingIOError:
            return None
        except BrokenPipeError:
            return b""
        except OSError as error:
            raise self._unavailable(error) from error
        if not raw:
            raise SourceUnavailable(f"{self._path} has ended")
        return raw

    def _take(self, raw: bytes, log: KernelLog, outlet: Outlet) -> None:
        record = parse_record(raw)
        if record is None or not self._is_next(record, outlet):
            return
        uptime_s = record.uptime_us / 1e6
        if self._is_live:
            self._clock.saw(uptime_s)
        events = log.feed(
            record.message,
            level=record.level,
            facility=record.facility,
            caller=record.caller,
            origin=Origin(uptime_s=uptime_s, line_number=record.sequence),
        )
        self._emit(events, outlet)

    def _is_next(self, record: KmsgRecord, outlet: Outlet) -> bool:
        """False for a record that was read before this source was started again."""
        expected, number = self._next_sequence, record.sequence
        if expected is not None and number < expected:
            return False
        self._next_sequence = number + 1
        if expected is not None and number > expected:
            reason = "the Linux log was overwritten before it was read"
            outlet.emit(SourceLost(datetime.now(UTC), self.name, number - expected, reason))
        return True

    def _emit(self, events: list[LogEvent], outlet: Outlet) -> None:
        for event in events:
            at = self._clock.wall(event.uptime_s or 0.0)
            tgid = None
            if event.pid is not None and event.kind not in NAMES_PROCESS:
                tgid = tgid_of(event.pid, comm=event.comm, at=at, proc_root=self._proc_root)
            told = event.model_copy(update={"time": at, "line_number": None})
            if self._is_live:
                self._pin(told, tgid, outlet)
            outlet.emit(LogRecord(at=at, event=told, sequence=event.line_number, tgid=tgid))

    def _pin(self, event: LogEvent, tgid: int | None, outlet: Outlet) -> None:
        """Who is killed or crashes is held on to before its parent reaps it: perhaps a worker.

        The ring's old lines name pids that may be others' by now. Linux itself holds fault lines
        down to 10 in 5 s, and each OOM line is a process less.
        """
        pid = event.pid if event.kind in NAMES_PROCESS else tgid
        if pid is None or event.kind not in DEADLY:
            return
        found = pin_dying(pid, boot_id=self._boot_id, proc_root=self._proc_root)
        if found is not None:
            process, pidfd, parents = found
            at = event.time or datetime.now(UTC)
            outlet.emit(ProcessDying(at, process, pidfd, parents, for_memory=event.is_oom))
