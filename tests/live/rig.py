"""People, roles and daemons of the live tests: numeric users that exist nowhere, and what they run."""

import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kerneld.model.incident import Incident

ROOT, PLAIN, SERVICE, OTHER = 0, 20417, 20418, 20419
SERVICE_CAPS = "-all,+dac_read_search,+sys_ptrace,+syslog,+net_admin"
ROLES = ("root", "service", "plain")
DMESG_RESTRICT = Path("/proc/sys/kernel/dmesg_restrict")
SCRIPTS = Path(sysconfig.get_path("scripts"))
PATIENCE = float(os.environ.get("KERNELD_TESTS_PATIENCE", "1"))
"""by which every deadline is longer: for an emulated machine"""


class RigError(Exception):
    """The machine did not do what the rig needs; the message says what mends it."""


def wait_for(ready: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Look until it is so; the deadline is the only clock that a test may depend on."""
    until = time.monotonic() + deadline_s * PATIENCE
    while not ready():
        if time.monotonic() > until:
            raise RigError(f"{what}: not within {deadline_s:g} s")
        time.sleep(0.05)


@dataclass(frozen=True)
class Person:
    """A numeric uid with a home of its own (0700), and with or without the service's capabilities."""

    uid: int
    home: Path
    capable: bool = False

    def command(self, argv: Sequence[str]) -> list[str]:
        if not self.capable:
            return list(argv)
        who = [f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--no-new-privs"]
        caps = [f"--{of}={SERVICE_CAPS}" for of in ("bounding-set", "inh-caps", "ambient-caps")]
        return ["setpriv", *who, *caps, "--", *argv]

    def environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{SCRIPTS}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.home / "tmp"),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }

    def popen(self, argv: Sequence[str], **options: object) -> subprocess.Popen[str]:
        """Start as this person; a service gets its rights from setpriv, which must start as root."""
        ids = {} if self.capable else {"user": self.uid, "group": self.uid, "extra_groups": []}
        fixed = {"env": self.environ(), "cwd": self.home, "text": True, "start_new_session": True}
        return subprocess.Popen(self.command(argv), **{**fixed, **ids, **options})  # type: ignore[call-overload]

    def run(self, argv: Sequence[str], deadline_s: float = 60) -> subprocess.CompletedProcess[str]:
        with self.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=deadline_s)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)


class World:
    """Homes below one folder that all may pass; removed at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kerneld-live-"))
        self.folder.chmod(0o755)
        self.root = self._person("root", ROOT)
        self.plain = self._person("plain", PLAIN)
        self.service = self._person("service", SERVICE, capable=True)
        self.other = self._person("other", OTHER)
        self._check_interpreter()

    def role(self, name: str) -> Person:
        return {"root": self.root, "service": self.service, "plain": self.plain}[name]

    def _person(self, name: str, uid: int, *, capable: bool = False) -> Person:
        home = self.folder / name
        for folder in (home, home / "tmp", home / "run"):
            folder.mkdir(mode=0o700)
            os.chown(folder, uid, uid)
        return Person(uid, home, capable)

    def _check_interpreter(self) -> None:
        """A plain user must be able to run this very interpreter with its packages."""
        try:
            done = self.plain.run([sys.executable, "-c", "import kerneld, ipykernel, jupyter_server"])
        except PermissionError:
            done = None
        if done is None or done.returncode:
            said = done.stderr.strip().rpartition("\n")[2] if done else "permission denied"
            self.remove()
            raise RigError(
                f"{sys.executable} can't be used by uid {PLAIN} ({said}): make the virtual environment "
                "and the checkout where every user may read, such as /opt, not below /root"
            )

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Restricted:
    """Sets dmesg_restrict to 1, as most hosts have it, and puts back what was there."""

    def __enter__(self) -> None:
        self._before = DMESG_RESTRICT.read_text()
        if self._before.strip() != "1":
            DMESG_RESTRICT.write_text("1")

    def __exit__(self, *_: object) -> None:
        if self._before.strip() != "1":
            DMESG_RESTRICT.write_text(self._before)


class Traced:
    """The signal trace as the unit's pre-start sets it up; tracefs is mounted where it was not."""

    ROOT = Path("/sys/kernel/tracing")

    def __enter__(self) -> None:
        self._mounted = not (self.ROOT / "instances").exists()
        if self._mounted:
            subprocess.run(["mount", "-t", "tracefs", "nodev", self.ROOT], check=True)
        self._trace("up")

    def __exit__(self, *_: object) -> None:
        self._trace("down")
        if self._mounted:
            subprocess.run(["umount", self.ROOT], check=True)

    def _trace(self, word: str) -> None:
        done = subprocess.run([sys.executable, "-m", "kerneld.tracing", word], check=False)
        if done.returncode:
            raise RigError(f"no signal trace here: `python -m kerneld.tracing {word}` says why")


class Daemon:
    """A daemon in one role with a database of its own; what it says on stderr is kept in `lines`.

    python: the interpreter whose kerneld it is. flags: the interpreter's, at the next start.
    """

    def __init__(
        self, person: Person, name: str = "kerneld", *, settings: str = "", python: str = sys.executable
    ) -> None:
        self.person = person
        self.db = person.home / "state" / f"{name}.db"
        if not self.db.parent.exists():
            self.db.parent.mkdir(mode=0o700)
            os.chown(self.db.parent, person.uid, person.uid)
        self._python, self.flags = python, list[str]()
        self._argv = ["-m", "kerneld.daemon", "--db", str(self.db), "--force"]
        if settings:
            config = self.db.with_suffix(".toml")
            config.write_text(settings)
            os.chown(config, person.uid, person.uid)
            self._argv += ["--config", str(config)]
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def launch(self) -> subprocess.Popen[str]:
        argv = [self._python, *self.flags, *self._argv]
        return self.person.popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def start(self, deadline_s: float = 30) -> None:
        """Return when it has said that it is ready."""
        self.process = self.launch()
        said: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process, said), daemon=True).start()
        until = time.monotonic() + deadline_s
        while True:
            try:
                line = said.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                told = "".join(self.lines[-30:])
                raise RigError(f"the daemon of uid {self.person.uid} did not become ready:\n{told}")
            if "kerneld ready" in line:
                return

    def _listen(self, process: subprocess.Popen[str], said: "queue.Queue[str | None]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.lines.append(line)
            said.put(line)
        said.put(None)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, deadline_s: float = 20) -> float:
        """SIGTERM; how many seconds it took to end."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RigError(f"the daemon of uid {self.person.uid} did not stop") from None
        return time.monotonic() - began

    def ends(self) -> list[Incident]:
        return read_ends(self.db)


def read_ends(db: Path) -> list[Incident]:
    """Every end in a database, requested ones too; [] before the daemon has made it."""
    from kerneld.store import Store

    if not db.exists():
        return []
    with Store.read(db) as store:
        return list(store.ends())


class Witness:
    """A pidfd of one's own on a process: tells when it died, whoever reaps it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def wait_dead(self, deadline_s: float = 30) -> None:
        if not select.select([self._fd], [], [], deadline_s * PATIENCE)[0]:
            raise RigError(f"process {self.pid} lives: it was to die within {deadline_s:g} s")
        os.close(self._fd)


def children(pid: int) -> list[int]:
    """The pids of a process's children, all its threads' included."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends meanwhile
            found += [int(child) for child in task.read_text().split()]
    return found


def is_running(pid: int) -> bool:
    """Lives, and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
