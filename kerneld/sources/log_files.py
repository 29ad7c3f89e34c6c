"""Slurm's own log, and syslog's where no journal is kept, to ManagerActs: followed across rotations.

Nothing of them is looked at here but where a line ends, and whether a word stands in a batch without
which it tells nothing; the reader process parses the rest.
"""

import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime

from kerneld.errors import SourceUnavailable, UnsafeFile
from kerneld.model.effects import Effect, ReadJournal
from kerneld.model.facts import SourceLost, SourceState
from kerneld.model.wire import JournalParsed, LogForm
from kerneld.parse.log_files import NEEDLES
from kerneld.proc.files import SYSLOGS, open_system_log
from kerneld.sources.batches import BATCH_BYTES, Batches
from kerneld.sources.journal import find_journal
from kerneld.sources.source import Mailbox, Outlet, beat_s

SLURMDS = ("/var/log/slurm/slurmd.log", "/var/log/slurm-llnl/slurmd.log", "/var/log/slurmd.log")
"""SlurmdLogFile, where most installations have it"""
LOOK_S = 1.0
"""twenty looks at two files take 4 ms of a core"""
MAY_APPEAR_S = 4.0
"""how often a file is looked for that was not there, or could not be read"""
MAX_LINE_BYTES = 16 * 1024
"""rsyslog cuts a message at 8 KiB"""
MOST_BATCHES = 64
"""of one file at a time: the others are waiting"""
MOST_PARSED = 8
"""of these: the reader takes up to 15 ms for one, and anybody may log as much as he likes"""
REMEDY = "sudo setfacl -m u:kerneld:r FILE, or let the unit keep CAP_DAC_READ_SEARCH"


def wanted(
    *, syslogs: tuple[str, ...] = SYSLOGS, slurmds: tuple[str, ...] = SLURMDS
) -> dict[str, LogForm]:
    """The files that are there and tell what no journal tells, each with the form of its lines."""
    found: dict[str, LogForm] = {path: "slurmd" for path in slurmds if os.path.lexists(path)}
    try:
        find_journal()
    except SourceUnavailable:
        found |= {path: "syslog" for path in syslogs if os.path.lexists(path)}
    return found


class LogFilesSource:
    """read: hands a batch to the reader process; its answer comes by `parsed`, in another thread."""

    name = "log-files"

    def __init__(
        self,
        *,
        read: Callable[[ReadJournal], None],
        look: Callable[[], dict[str, LogForm]] = wanted,
    ) -> None:
        self._look_for = look
        self._mailbox = Mailbox(latest=1)
        self._batches = Batches(self.name, read, self._mailbox)
        self._tails: dict[str, Tail] = {}
        self._refused: str | None = None

    def control(self, effect: Effect) -> None:
        """No order concerns them."""

    def wake(self) -> None:
        self._mailbox.wake()

    def parsed(self, told: JournalParsed) -> None:
        self._batches.parsed(told)

    def run(self, outlet: Outlet) -> None:
        """Files are followed on where they were left, should this fail and be started again."""
        appear_s, self._refused = 0.0, None
        while not outlet.stopping.is_set():
            outlet.tick()
            if time.monotonic() >= appear_s:
                self._open_those_there(outlet)
                appear_s = time.monotonic() + MAY_APPEAR_S
            for tail in list(self._tails.values()):
                try:
                    self._read_on(tail, outlet)
                except UnsafeFile:
                    del self._tails[tail.path]  # the next look says why
                    tail.close()
            self._batches.wait(-1, 1000 * beat_s(LOOK_S if self._tails else MAY_APPEAR_S))

    def _open_those_there(self, outlet: Outlet) -> None:
        refused = ""
        for path, form in self._look_for().items():
            if path in self._tails:
                continue
            try:
                self._tails[path] = Tail(path, form)
            except UnsafeFile as problem:
                refused = f"{path}: {problem}"
            except OSError:
                continue  # it went away this instant
        if refused != self._refused:
            self._refused = refused
            remedy = REMEDY if refused else ""
            outlet.emit(SourceState(datetime.now(UTC), self.name, not refused, refused, remedy))

    def _read_on(self, tail: "Tail", outlet: Outlet) -> None:
        parsed = unread_bytes = 0
        for _ in range(MOST_BATCHES):
            batch = tail.take()
            if tail.lost:
                reason = f"a line of {tail.path} is too long"
                outlet.emit(SourceLost(datetime.now(UTC), self.name, tail.lost, reason))
                tail.lost = 0
            if not batch or outlet.stopping.is_set():
                break
            if any(needle in batch for needle in NEEDLES):
                parsed += 1
                if parsed > MOST_PARSED:
                    unread_bytes += len(batch)
                else:
                    self._batches.hand_over(batch, tail.form, outlet)
        if unread_bytes:
            reason = f"{tail.path} grew too fast: {unread_bytes >> 10} KiB of it were passed over"
            outlet.emit(SourceLost(datetime.now(UTC), self.name, None, reason))


class Tail:
    """One file, from its end on; a new one of its name follows it. lost: lines that were too long.

    Raises UnsafeFile, OSError where it can't be opened.
    """

    def __init__(self, path: str, form: LogForm) -> None:
        self.path, self.form = path, form
        self._fd = open_system_log(path)
        self._offset = os.fstat(self._fd).st_size
        self._rest = b""
        self._skips = self._is_inside_a_line()
        self.lost = 0

    def _is_inside_a_line(self) -> bool:
        return self._offset > 0 and os.pread(self._fd, 1, self._offset - 1) != b"\n"

    def take(self) -> bytes:
        """Whole lines that are new; b"": none, or not yet. Raises UnsafeFile: its name is a user's."""
        block = os.pread(self._fd, BATCH_BYTES, self._offset)
        if not block and self._begins_anew():
            block = os.pread(self._fd, BATCH_BYTES, self._offset)
        self._offset += len(block)
        data = self._rest + block
        if self._skips:
            _, newline, data = data.partition(b"\n")
            self._skips = not newline
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if len(self._rest) > MAX_LINE_BYTES:
            self.lost += 1
            self._rest, self._skips = b"", True
        return data[:end]

    def _begins_anew(self) -> bool:
        """Whether it was cut (logrotate's copytruncate), or is written under its name elsewhere by now.

        logrotate makes the new file first; until the daemon is told of it, it goes on in the old one.
        """
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except OSError:
            named = None  # it is being rotated
        own = os.fstat(self._fd)
        if own.st_size < self._offset:
            self._start_at_0()
            return True
        if named is None or (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino):
            return False
        if own.st_size > self._offset:
            return True
        if stat.S_ISREG(named.st_mode) and not named.st_size:
            return False
        try:
            fd = open_system_log(self.path)
        except OSError:
            return False
        os.close(self._fd)
        self._fd = fd
        self._start_at_0()
        return True

    def close(self) -> None:
        os.close(self._fd)

    def _start_at_0(self) -> None:
        self._offset, self._rest, self._skips = 0, b"", False
