"""The system's journal to ManagerActs: journalctl follows it as a child, the reader process parses it.

Records hold users' words, so nothing of them is looked at here but where a line ends. One batch is
on its way at a time: what the reader has not answered waits in the pipe, and after that in the journal.
"""

import os
import select
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, datetime

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import Effect, ReadJournal
from kerneld.model.facts import SourceLost, SourceState
from kerneld.model.wire import JournalParsed
from kerneld.parse.managers import FIELDS, MATCHES
from kerneld.proc.capabilities import limit_children
from kerneld.proc.files import find_syslog
from kerneld.sources.batches import BATCH_BYTES, Batches
from kerneld.sources.child import Bounds, spawn
from kerneld.sources.source import Mailbox, Outlet, beat_s

PROGRAM, PLACES = "journalctl", "/usr/bin:/bin:/run/current-system/sw/bin"
FOLDERS = ("/var/log/journal", "/run/log/journal")
MAX_LINE_BYTES = 512 * 1024
"""systemd-coredump writes at most 64 frames of 64 threads: 370 KiB with names of 60 letters"""
NO_JOURNAL = "no systemd journal is kept here"
CALM_MS = 20
"""a record that takes another one back comes behind it at once"""
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
        syslog = find_syslog()
        instead = f"; {syslog}, which anybody writes into, is read in its place" if syslog else ""
        raise SourceUnavailable(f"{NO_JOURNAL}{instead}")
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
        self._since = since
        self._mailbox = Mailbox(latest=1)
        self._batches = Batches(self.name, read, self._mailbox) if read else None
        self._cursor: str | None = None

    def control(self, effect: Effect) -> None:
        """No order concerns the journal."""

    def wake(self) -> None:
        self._mailbox.wake()

    def parsed(self, told: JournalParsed) -> None:
        if self._batches is not None:
            self._batches.parsed(told)

    def run(self, outlet: Outlet) -> None:
        """One life of one journalctl. Started again, it goes on behind what was parsed last."""
        batches = self._batches
        if batches is None:
            raise SourceUnavailable("its reader process is turned off", "[iopub] enabled = true")
        limit_children(())
        follower = Follower(check_journal(find_journal()), self._arguments())
        try:
            outlet.emit(SourceState(datetime.now(UTC), self.name, True))
            while not outlet.stopping.is_set():
                outlet.tick()
                batches.wait(follower.fd, 1000 * beat_s())
                batch = follower.take()
                if follower.lost:
                    reason = "a record of the journal is too long"
                    outlet.emit(SourceLost(datetime.now(UTC), self.name, follower.lost, reason))
                    follower.lost = 0
                told = batches.hand_over(batch, "journal", outlet) if batch else None
                if told is not None:
                    self._cursor = told.cursor or self._cursor
        finally:
            follower.end()

    def _arguments(self) -> list[str]:
        fields = f"--output-fields={','.join(FIELDS)}"
        shape = ["--all", "--output=json", fields]  # without --all a field of 4 KiB is left out
        fixed = [PROGRAM, "--quiet", "--no-pager", "--follow", "--no-tail", *shape]
        since = f"--since=@{self._since.timestamp():.6f}"
        place = since if self._cursor is None else f"--after-cursor={self._cursor}"
        return [*fixed, place, *MATCHES]


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
