"""The system's journal to ManagerActs: journalctl follows it as a child, the reader process parses it.

Records hold users' words, so nothing of them is looked at here but where a line ends. One batch is
on its way at a time: what the reader has not answered waits in the pipe, and after that in the journal.
"""

import os
import select
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect, ReadJournal
from kerneld.model.facts import SourceLost, SourceState
from kerneld.model.wire import JournalOrder, JournalParsed
from kerneld.parse.managers import FIELDS, MATCHES
from kerneld.proc.capabilities import limit_children
from kerneld.sources.child import Bounds, spawn
from kerneld.sources.source import Mailbox, Outlet

PROGRAM, PLACES = "journalctl", "/usr/bin:/bin:/run/current-system/sw/bin"
FOLDERS = ("/var/log/journal", "/run/log/journal")
BATCH_BYTES = 16 * 1024
"""what it tells must fit into one datagram of the reader"""
MAX_LINE_BYTES = 512 * 1024
"""systemd-coredump writes at most 64 frames of 64 threads: 370 KiB with names of 60 letters"""
NO_JOURNAL = "no systemd journal is kept here"
CALM_MS = 20
"""a record that takes another one back comes behind it at once"""
ANSWER_S = 5.0
TICK_S = 4.0
_BOUNDS = Bounds(file_bytes=0, files=4096)


def find_journal(folders: tuple[str, ...] = FOLDERS, *, machine_id: str = "/etc/machine-id") -> str:
    """The system's own file, which journald holds open. Raises SourceUnavailable."""
    try:
        with open(machine_id, encoding="ascii") as file:
            name = file.read().strip()
    except (OSError, ValueError):
        name = ""
    files = [f"{folder}/{name}/system.journal" for folder in folders if name]
    found = next((file for file in files if os.path.exists(file)), None)
    if found is None:
        raise SourceUnavailable(NO_JOURNAL)
    return found


def check_journal(file: str) -> str:
    """journalctl's own path, once it could read the file with the rights of a child of this thread.

    Raises SourceUnavailable.
    """
    program = shutil.which(PROGRAM, path=PLACES)
    if program is None:
        raise SourceUnavailable(f"{PROGRAM} is not there", "install systemd's own package")
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    try:
        arguments = [PROGRAM, "--quiet", "--no-pager", "--lines=0", f"--file={file}"]
        _, status = os.waitpid(spawn(program, arguments, _BOUNDS, out=null, err=None), 0)
    except OSError as error:
        raise SourceUnavailable(f"{program} can't be started: {error.strerror}") from error
    finally:
        os.close(null)
    if status:
        raise SourceUnavailable(
            f"{file} may not be read", "let the unit keep SupplementaryGroups=systemd-journal"
        )
    return program


class JournalSource:
    """read: hands a batch to the reader process; its answer comes by `parsed`, in another thread.

    since: what happened before concerns nobody who is watched.
    """

    name = "journal"

    def __init__(self, *, read: Callable[[ReadJournal], None] | None, since: datetime) -> None:
        self._read, self._since = read, since
        self._mailbox = Mailbox(latest=1)
        self._inbox: deque[JournalParsed] = deque(maxlen=16)
        self._cursor: str | None = None
        self._number = 0

    def control(self, effect: Effect) -> None:
        """No order concerns the journal."""

    def wake(self) -> None:
        self._mailbox.wake()

    def parsed(self, told: JournalParsed) -> None:
        self._inbox.append(told)
        self._mailbox.wake()

    def run(self, outlet: Outlet) -> None:
        """One life of one journalctl. Started again, it goes on behind what was parsed last."""
        if self._read is None:
            raise SourceUnavailable("its reader process is turned off", "[iopub] enabled = true")
        limit_children(())
        follower = Follower(check_journal(find_journal()), self._arguments())
        try:
            outlet.emit(SourceState(datetime.now(UTC), self.name, True))
            while not outlet.stopping.is_set():
                outlet.tick()
                self._wait(follower.fd, 1000 * TICK_S)
                batch = follower.take()
                if follower.lost:
                    reason = "a record of the journal is too long"
                    outlet.emit(SourceLost(datetime.now(UTC), self.name, follower.lost, reason))
                    follower.lost = 0
                if batch:
                    self._hand_over(batch, self._read, outlet)
        finally:
            follower.end()

    def _arguments(self) -> list[str]:
        fields = f"--output-fields={','.join(FIELDS)}"
        shape = ["--all", "--output=json", fields]  # without --all a field of 4 KiB is left out
        fixed = [PROGRAM, "--quiet", "--no-pager", "--follow", "--no-tail", *shape]
        since = f"--since=@{self._since.timestamp():.6f}"
        place = since if self._cursor is None else f"--after-cursor={self._cursor}"
        return [*fixed, place, *MATCHES]

    def _wait(self, fd: int, timeout_ms: float) -> None:
        poll = select.poll()
        poll.register(self._mailbox.fd, select.POLLIN)
        if fd >= 0:
            poll.register(fd, select.POLLIN)
        poll.poll(timeout_ms)
        self._mailbox.drain()

    def _hand_over(self, batch: bytes, read: Callable[[ReadJournal], None], outlet: Outlet) -> None:
        """Until the reader has answered: one that was started again has not heard of the batch."""
        self._number += 1
        told = None
        while told is None and not outlet.stopping.is_set():
            read(ReadJournal(JournalOrder(number=self._number), _in_memory(batch)))
            told = self._answer(outlet)
        if told is not None:
            self._cursor = told.cursor or self._cursor
            for act in told.acts:
                outlet.emit(act)

    def _answer(self, outlet: Outlet) -> JournalParsed | None:
        until_s = time.monotonic() + ANSWER_S
        while not outlet.stopping.is_set() and (left_s := until_s - time.monotonic()) > 0:
            outlet.tick()
            while self._inbox:
                told = self._inbox.popleft()
                if told.number == self._number:
                    return told
            self._wait(-1, 1000 * left_s)
        return None


class Follower:
    """One journalctl at work. lost: records that were too long to be kept, since it was set to 0."""

    def __init__(self, program: str, arguments: list[str]) -> None:
        self.fd, out = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(self.fd, False)
            self._pid = spawn(program, arguments, _BOUNDS, out=out, err=None)
        except OSError as error:
            os.close(self.fd)
            raise SourceUnavailable(f"{program} can't be started: {error.strerror}") from error
        finally:
            os.close(out)
        self._rest = b""
        self._skips = False
        self.lost = 0

    def take(self) -> bytes:
        """Whole lines, up to a moment of silence; b"": none. Raises SourceUnavailable at its end."""
        data, self._rest = self._rest, b""
        calm = select.poll()
        calm.register(self.fd, select.POLLIN)
        while len(data) < BATCH_BYTES or b"\n" not in data:
            if (data and not calm.poll(CALM_MS)) or (block := self._read()) is None:
                break
            data = self._bounded(data + block)
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        return data[:end]

    def _read(self) -> bytes | None:
        """None: nothing is there yet."""
        try:
            block = os.read(self.fd, BATCH_BYTES)
        except BlockingIOError:
            return None
        if not block:
            raise SourceUnavailable(f"{PROGRAM} ended")
        return block

    def _bounded(self, data: bytes) -> bytes:
        """Without the rest of a line that is longer than any that tells something."""
        if self._skips:
            _, newline, data = data.partition(b"\n")
            self._skips = not newline
        if len(data) - (data.rfind(b"\n") + 1) > MAX_LINE_BYTES:
            self.lost += 1
            self._skips = True
            data = data[: data.rfind(b"\n") + 1]
        return data

    def end(self) -> None:
        os.close(self.fd)
        try:
            os.kill(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self._pid, 0)


def _in_memory(batch: bytes) -> int:
    """A file without a name, whose descriptor whoever takes it closes."""
    fd = os.memfd_create("kerneld-journal", os.MFD_CLOEXEC)
    os.write(fd, batch)
    return fd
