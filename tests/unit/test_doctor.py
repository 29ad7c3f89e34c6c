"""The doctor as a person runs it: what it claims is what this process can do, and nothing is changed.

Each broken state is made by really taking the right away, from a process of the doctor's own.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kerneld.doctor import core_dumps, places
from kerneld.doctor.check import RUN_AS_ROOT
from kerneld.doctor.told import told_by_daemon
from kerneld.live import read_living
from kerneld.model.living import DaemonState, SourceHealth
from kerneld.model.vocabulary import Mode
from kerneld.outputs.safe import cells
from kerneld.sources.journal import NO_JOURNAL
from kerneld.store import Store
from kerneld.store.connection import connect_untouched
from kerneld.store.wholeness import Wholeness, look_over

PLAIN = 20417
PAGE_BYTES = 4096
DOCTOR = [sys.executable, "-m", "kerneld", "doctor"]
AS_PLAIN = ["setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups"]
WITHOUT_SYSLOG = ["setpriv", "--bounding-set=-syslog,-sys_admin", "--inh-caps=-syslog,-sys_admin"]
WITHOUT_FILES = ["setpriv", "--bounding-set=-dac_read_search,-dac_override,-sys_ptrace"]
IN_A_CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc"]

needs_root = pytest.mark.needs_root


class Patient:
    """A home of its own, for root or for the plain user, below a folder that all may pass."""

    def __init__(self, home: Path, uid: int) -> None:
        self.home, self.uid = home, uid
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        self.database = home / "state" / "kerneld" / "kerneld.db"

    def examine(self, *arguments: str, rights: list[str] | None = None) -> str:
        rights = rights if rights is not None else ([] if self.uid == os.geteuid() else AS_PLAIN)
        done = subprocess.run(
            [*rights, *DOCTOR, *arguments],
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def report(self, *arguments: str, rights: list[str] | None = None) -> dict:  # type: ignore[type-arg]
        return dict(json.loads(self.examine("--json", *arguments, rights=rights)))

    def checks(self, *arguments: str, rights: list[str] | None = None) -> dict[str, dict[str, object]]:
        report = self.report(*arguments, rights=rights)
        return {check["name"]: check for check in (*report["sources"], *report["places"])}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("doctor")
    for above in (made, *made.parents):
        if above.stat().st_uid == os.geteuid() and above not in (Path("/"), Path("/tmp")):
            above.chmod(above.stat().st_mode | 0o011)
    return made


@pytest.fixture
def root(folder: Path) -> Patient:
    return Patient(folder / "root", 0)


@pytest.fixture
def plain(folder: Path) -> Patient:
    return Patient(folder / "plain", PLAIN)


@pytest.fixture
def own(folder: Path) -> Patient:
    return Patient(folder / "own", os.geteuid())


@pytest.fixture
def daemon(own: Patient) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kerneld.daemon", "--db", str(own.database), "--force"],
        env={"HOME": str(own.home), "PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "kerneld ready" in line:
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def _told_by_daemon(patient: Patient) -> dict:  # type: ignore[type-arg]
    """Its first words come within two seconds of its start."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        report = patient.report("--db", str(patient.database))
        if report["daemon"] and report["daemon"]["sources"]:
            return report
    raise AssertionError("the daemon's account did not come")


def test_the_page_fits_80_columns(own: Patient) -> None:
    lines = own.examine().splitlines()
    assert lines[0].startswith("kerneld does not run. Started from here, ")
    assert max(map(cells, lines)) <= 80


def test_nothing_is_changed(own: Patient) -> None:
    own.examine()
    assert list(own.home.iterdir()) == []


def test_every_lack_says_what_it_costs(own: Patient) -> None:
    for check in own.checks().values():
        assert check["says"]
        assert check["works"] is not False or check["costs"], check


@needs_root
@pytest.mark.needs_kmsg
def test_root_lacks_nothing_here(root: Patient) -> None:
    checks = root.checks()
    names = ("exit status", "proc connector", "taskstats", "Linux log", "iopub", "database")
    assert {name: checks[name]["works"] for name in names} == dict.fromkeys(names, True)


@needs_root
def test_a_plain_user_lacks_taskstats_and_sees_the_own_kernels_only(plain: Patient) -> None:
    checks = plain.checks()
    assert checks["exit status"]["works"] is True
    assert checks["taskstats"]["works"] is False
    assert checks["taskstats"]["costs"] == "The peak of memory is a lower bound, from samples."
    assert checks["taskstats"]["remedy"] == 'sudo "$(command -v kerneld)" run'
    assert f"uid {PLAIN}" in str(checks["whose kernels"]["says"])
    assert checks["database"]["works"] is True


@needs_root
@pytest.mark.needs_kmsg
def test_a_linux_log_that_may_not_be_read_is_told(root: Patient) -> None:
    if Path("/proc/sys/kernel/dmesg_restrict").read_text().strip() != "1":
        pytest.skip("kernel.dmesg_restrict is 0: anyone may read the Linux log")
    log = root.checks(rights=WITHOUT_SYSLOG)["Linux log"]
    assert log["works"] is False
    assert "CAP_SYSLOG" in str(log["says"])


@needs_root
@pytest.mark.needs_kmsg
def test_in_a_container_the_log_names_others_and_netlink_is_silent(root: Patient) -> None:
    checks = root.checks(rights=IN_A_CONTAINER)
    assert checks["Linux log"]["works"] is False
    assert "pids are those of the host" in str(checks["Linux log"]["says"])
    assert checks["proc connector"]["works"] is False
    assert checks["exit status"]["works"] is True


@needs_root
def test_root_without_its_rights_over_files_says_so(root: Patient) -> None:
    """Tried on a living process of another user."""
    with subprocess.Popen([*AS_PLAIN, "sleep", "60"]) as other:
        try:
            assert root.checks()["whose kernels"]["works"] is True
            poor = root.checks(rights=WITHOUT_FILES)["whose kernels"]
        finally:
            other.kill()
    assert poor["works"] is False
    assert "CAP_DAC_READ_SEARCH" in str(poor["remedy"])


@needs_root
def test_a_folder_that_is_not_ones_own_takes_no_database(plain: Patient) -> None:
    theirs = plain.home / ".local" / "state" / "kerneld"
    theirs.mkdir(mode=0o755, parents=True)
    for above in (plain.home / ".local", plain.home / ".local" / "state"):
        os.chown(above, PLAIN, PLAIN)
    database = plain.checks()["database"]
    assert database["works"] is False
    assert "Permission denied (it belongs to root)" in str(database["says"])
    assert str(database["remedy"]) == f"sudo chown -R {PLAIN} {theirs}"


@needs_root
@pytest.mark.parametrize("place", ["/etc/kerneld.db", "/usr/lib/kerneld/kerneld.db"])
def test_nobody_is_told_to_take_a_folder_of_the_system(plain: Patient, place: str) -> None:
    database = plain.checks("--db", place)["database"]
    assert (database["works"], database["remedy"]) == (False, "")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"\x1f\x8b")])
def test_what_is_no_database_is_told(own: Patient, make: Callable[[Path], None]) -> None:
    path = own.home / "other"
    make(path)
    os.chown(path, own.uid, own.uid)
    database = own.checks("--db", str(path))["database"]
    assert (database["works"], database["remedy"]) == (False, "")
    assert f"{path}: it is no " in str(database["says"])


def test_the_way_out_of_a_shared_home_can_be_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command as it is told, but below another folder and with `echo` in the recorder's place."""
    monkeypatch.setattr(places, "is_slow", lambda _: True)
    remedy = places.database(tmp_path / "kerneld.db", daemon_runs=False).remedy
    command = remedy.replace("/var/tmp", str(tmp_path)).replace("kerneld run --db", "echo")
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    with Store.open(Path(told.strip())):
        pass


def test_the_filesystem_of_a_relative_path_is_told(own: Patient) -> None:
    assert "()" not in str(own.checks("--db", "tmp/kerneld.db")["runtime folder"]["costs"])


@needs_root
def test_a_disk_that_is_nearly_full_is_told(root: Patient) -> None:
    state = root.home / "state"
    state.mkdir()
    mount = f'mount -t tmpfs -o size=2m none {state} && exec "$@"'
    rights = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    database = root.checks("--db", str(root.database), rights=rights)["database"]
    assert database["works"] is False
    assert "MiB are free" in str(database["says"])


# with 3 s in the place of 10 for the silence after which nobody is taken to speak
SOON_SILENT = """import datetime, kerneld.live
kerneld.live.FRESH = datetime.timedelta(seconds=3)
from kerneld.cli.main import main
main()"""


@needs_root
def test_a_recorder_that_stands_still_is_told_by_its_lock(own: Patient) -> None:
    """As on a full disk: it can't say how the living do, and is there all the same."""
    own.database.parent.mkdir(parents=True, mode=0o700)
    argv = [sys.executable, "-m", "kerneld.daemon", "--db", str(own.database), "--force"]
    environ = {"HOME": str(own.home), "PATH": os.environ["PATH"]}
    with subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL) as recorder:

        def ask(*words: str) -> subprocess.CompletedProcess[str]:
            told = [sys.executable, "-c", SOON_SILENT, *words, "--db", str(own.database)]
            return subprocess.run(told, env=environ, capture_output=True, text=True, timeout=60)

        def asked_until(words: str) -> None:
            until_s = time.monotonic() + 30
            while words not in (told := ask("kernels")).stderr + told.stdout:
                assert time.monotonic() < until_s, told
                time.sleep(0.2)

        try:
            while read_living(Path(f"{own.database}.live")).daemon is None:
                time.sleep(0.05)
            recorder.send_signal(signal.SIGSTOP)
            who = f"process {recorder.pid} holds the database {own.database}, but {own.database}.live"
            asked_until(f"kerneld: what lives can't be told: {who} was last written ")
            report = json.loads(ask("doctor", "--json").stdout)
        finally:
            recorder.kill()
    assert (report["daemon"], report["silent_pid"]) == (None, recorder.pid)
    assert report["silent"].startswith(who)


def test_a_lock_that_nobody_holds_is_no_recorder(own: Patient) -> None:
    with Store.open(own.database):
        report = own.report("--db", str(own.database))
        assert (report["silent_pid"], report["silent"].rpartition(" was ")[2]) == (
            os.getpid(),
            "never written",
        )
        assert own.examine("--db", str(own.database)).startswith(f"Process {os.getpid()} holds the")
    assert own.database.with_name("kerneld.db.lock").exists()
    assert own.report("--db", str(own.database))["silent_pid"] is None


def test_damage_behind_a_right_header_is_told_and_nothing_touched(own: Patient) -> None:
    with Store.open(own.database):
        pass
    assert own.checks("--db", str(own.database))["database"]["works"] is True
    with own.database.open("r+b") as file:
        file.seek(2 * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    before = {file: file.read_bytes() for file in own.database.parent.iterdir()}
    database = own.checks("--db", str(own.database))["database"]
    assert database["works"] is False
    assert f"{own.database} is damaged: " in str(database["says"])
    assert {file: file.read_bytes() for file in own.database.parent.iterdir()} == before


def test_a_database_without_a_log_is_looked_over_under_its_locks(tmp_path: Path) -> None:
    """On a network filesystem it has none; while a recorder wrote, it was told to be damaged."""
    path = tmp_path / "shared.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE t (a)")
        seen, _ = connect_untouched(path)
        with contextlib.closing(seen) as reader:
            for rows in range(3):
                assert reader.execute("SELECT count(*) FROM t").fetchone() == (rows,)
                writer.execute("INSERT INTO t VALUES (1)")
    assert look_over(path) == Wholeness()
    assert [file.name for file in tmp_path.iterdir()] == ["shared.db"]


def test_a_large_database_is_looked_over_for_a_while_only(tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    with contextlib.closing(sqlite3.connect(path)) as large:
        large.execute("CREATE TABLE t (a)")
        large.executemany("INSERT INTO t VALUES (?)", ([bytes(3000)] for _ in range(30_000)))
        large.commit()
    assert look_over(path) == Wholeness()
    assert look_over(path, within_s=0.005) == Wholeness(is_all=False)


def _runtime(patient: Patient) -> Path:
    folder = patient.home / ".local" / "share" / "jupyter" / "runtime"
    folder.mkdir(parents=True)
    for path in (folder, *folder.parents):
        if path == patient.home:
            break
        os.chown(path, patient.uid, patient.uid)
    return folder


def test_a_connection_file_behind_a_link_is_refused(own: Patient) -> None:
    folder = _runtime(own)
    (folder / "kernel-1.json").write_text("{}")
    assert own.checks()["connection files"]["works"] is True
    (folder / "kernel-2.json").symlink_to(folder / "kernel-1.json")
    files = own.checks()["connection files"]
    assert files["works"] is False
    assert "1 of 2 can't be opened" in str(files["says"])


@needs_root
def test_used_up_watches_are_told(plain: Patient) -> None:
    """inotify instances are counted by user: the plain one's are all taken."""
    _runtime(plain)
    take_all = (
        "import ctypes, sys; libc = ctypes.CDLL(None)\n"
        "while libc.inotify_init() >= 0: pass\n"
        "print('taken', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [*AS_PLAIN, sys.executable, "-c", take_all],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as hog:
        assert hog.stdout is not None
        assert hog.stdout.readline() == "taken\n"
        files = plain.checks()["connection files"]
        hog.kill()
    assert files["works"] is False
    assert "fs.inotify.max_user_instances" in str(files["remedy"])


def test_a_running_daemon_speaks_for_itself(own: Patient, daemon: subprocess.Popen[str]) -> None:
    report = _told_by_daemon(own)
    assert report["daemon"]["pid"] == daemon.pid
    assert [check["name"] for check in report["sources"]].count("exit status") == 1
    assert "scheduling" in {check["name"] for check in report["places"]}
    page = own.examine("--db", str(own.database))
    assert page.startswith(f"kerneld runs (pid {daemon.pid}, ")
    assert " 0 events lost). " in page
    assert max(map(cells, page.splitlines())) <= 80


def test_a_stopped_daemon_is_not_said_to_run(own: Patient, daemon: subprocess.Popen[str]) -> None:
    _told_by_daemon(own)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait(10)
    report = own.report("--db", str(own.database))
    assert report["daemon"] is None
    assert report["sources"], "the shell's own rights were tried instead"


@needs_root
def test_anothers_daemon_is_not_read_and_that_is_said(plain: Patient, folder: Path) -> None:
    theirs = Patient(folder / "theirs", 0)
    assert "Permission denied" in plain.report("--db", str(theirs.database))["unread"]


@pytest.mark.parametrize(
    ("mode", "remedy"), [(Mode.SYSTEM, "AmbientCapabilities=CAP_SYSLOG"), (Mode.USER, RUN_AS_ROOT)]
)
def test_a_users_recorder_has_no_unit_to_change(mode: Mode, remedy: str) -> None:
    deaf = SourceHealth(name="linux-log", up=False, reason="r", remedy="AmbientCapabilities=CAP_SYSLOG")
    daemon = DaemonState(
        pid=1, started_at=datetime.now(UTC), version="0", mode=mode, database="d", sources=(deaf,)
    )
    assert [check.remedy for check in told_by_daemon(daemon)] == [remedy]


@needs_root
def test_root_mends_no_journal_that_is_not_kept(plain: Patient) -> None:
    journal = plain.checks()["journal"]
    if NO_JOURNAL not in str(journal["says"]):
        pytest.skip("a systemd journal is kept here")
    assert journal["remedy"] == ""


def test_where_cores_go_is_told() -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    told = core_dumps()
    assert told.works is (True if "systemd-coredump" in pattern else None)
    assert told.works or told.says == f"core_pattern is `{pattern}`"
