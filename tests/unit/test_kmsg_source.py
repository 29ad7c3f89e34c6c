"""Promises of the Linux log's source, on real crashes, real OOM kills and forgeries of them."""

import ctypes
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kerneld.errors import SourceUnavailable
from kerneld.model.facts import Fact, SourceLost, SourceState
from kerneld.model.records import LogRecord
from kerneld.model.vocabulary import Trust
from kerneld.proc.threads import tgid_of
from kerneld.sources.kmsg import KmsgSource
from kerneld.sources.source import Outlet

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")
DEADLINE_S = 30.0
SEGFAULT = "import ctypes; ctypes.string_at(0)"
FORGED = (
    "Out of memory: Killed process 4242 (python3) total-vm:1kB, anon-rss:1kB, file-rss:1kB, "
    "shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0"
)


class Tap:
    """A running source and what it has told so far."""

    def __init__(self, source: KmsgSource) -> None:
        self.source = source
        self.facts: queue.Queue[Fact] = queue.Queue()
        self.outlet = Outlet(self.facts, source.name)
        self.problem: SourceUnavailable | None = None
        self.told: list[Fact] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.source.run(self.outlet)
        except SourceUnavailable as problem:
            self.problem = problem

    def until(self, wanted: Callable[[Fact], bool], within_s: float = DEADLINE_S) -> Fact | None:
        deadline = time.monotonic() + within_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                fact = self.facts.get(timeout=left_s)
            except queue.Empty:
                return None
            self.told.append(fact)
            if wanted(fact):
                return fact
        return None

    def up(self) -> None:
        assert self.until(lambda fact: isinstance(fact, SourceState) and fact.up)

    def line_of(self, pid: int, within_s: float = DEADLINE_S) -> LogRecord | None:
        def names(fact: Fact) -> bool:
            return isinstance(fact, LogRecord) and pid in (fact.event.pid, fact.tgid)

        fact = self.until(names, within_s)
        return fact if isinstance(fact, LogRecord) else None

    def stop(self) -> None:
        self.outlet.stopping.set()
        self.source.wake()
        self._thread.join(5)
        assert not self._thread.is_alive()


@contextmanager
def tapped(source: KmsgSource) -> Iterator[Tap]:
    tap = Tap(source)
    try:
        yield tap
    finally:
        tap.stop()


def crash(tap: Tap, code: str, *args: str) -> tuple[LogRecord, int]:
    """Crash a Python until Linux logs it (10 lines in 5 s at most); not reaped before it was read."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        process = subprocess.Popen([sys.executable, "-c", code, *args])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        record = tap.line_of(process.pid, 1.5)
        assert process.wait() < 0
        if record is not None:
            return record, process.pid
    raise AssertionError("Linux logged no crash")


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Path]:
    is_v1 = V1.is_dir()
    folder = (V1 if is_v1 else V2) / f"kerneld-test-kmsg-{os.getpid()}"
    folder.mkdir()
    try:
        limit = "memory.limit_in_bytes" if is_v1 else "memory.max"
        (folder / limit).write_text(str(limit_bytes))
        yield folder
    finally:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                folder.rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{folder} stays busy"
                time.sleep(0.05)


def oom_kill(folder: Path, limit_bytes: int) -> int:
    """Let a Python die of the limit; its pid."""
    code = f"import sys; sys.stdin.readline(); x = b'x' * {4 * limit_bytes}"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as victim:
        (folder / "cgroup.procs").write_text(str(victim.pid))
        victim.communicate(b"\n", timeout=DEADLINE_S)
    assert victim.returncode == -9
    return victim.pid


@pytest.mark.needs_root
@pytest.mark.needs_kmsg
class TestRealLog:
    def test_a_crash_is_told_with_its_process_and_its_time(self) -> None:
        with tapped(KmsgSource()) as tap:
            tap.up()
            began = datetime.now(UTC)
            record, pid = crash(tap, SEGFAULT)
        assert record.event.kind == "segfault"
        assert record.event.trust is Trust.KERNEL
        assert record.tgid == record.event.pid == pid
        assert record.sequence is not None
        assert record.event.line_number is None
        assert record.event.time == record.at
        assert began - timedelta(milliseconds=100) <= record.at <= datetime.now(UTC)

    def test_a_thread_s_crash_names_the_thread(self) -> None:
        code = (
            "import ctypes, threading, sys\n"
            "def die():\n"
            "    print(threading.get_native_id(), flush=True)\n"
            "    ctypes.string_at(0)\n"
            "threading.Thread(target=die).start()\n"
        )
        with tapped(KmsgSource()) as tap:
            tap.up()
            for _ in range(5):
                process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
                out, _ = process.communicate(timeout=DEADLINE_S)
                record = tap.line_of(int(out), 1.5)
                if record is not None:
                    break
        assert record is not None
        assert record.event.pid == int(out) != process.pid
        assert record.tgid in (process.pid, None)

    @pytest.mark.needs_memcg
    def test_an_oom_kill_is_one_record_and_a_restart_finds_it_again(self) -> None:
        limit_bytes = 60 << 20
        with tapped(KmsgSource()) as tap:
            tap.up()
            with memory_cgroup(limit_bytes) as folder:
                pid = oom_kill(folder, limit_bytes)
                record = tap.line_of(pid)
        assert record is not None
        event = record.event
        assert (event.kind, event.constraint) == ("oom_memcg", "CONSTRAINT_MEMCG")
        assert event.oom_cgroup == f"/{folder.name}"
        assert event.uid == 0
        assert pid in [row.pid for row in event.top]
        assert (event.anon_rss_kb or 0) > 30_000
        with tapped(KmsgSource()) as again:
            again.up()
        assert [r.sequence for r in again.told if isinstance(r, LogRecord) and r.event.pid == pid] == [
            record.sequence
        ]

    def test_a_library_named_like_a_kill_line_gives_its_crash_and_no_kill(self, tmp_path: Path) -> None:
        source = tmp_path / "die.c"
        source.write_text("void die(void) { *(volatile int *)0 = 1; }\n")
        library = tmp_path / f"x\n{FORGED}"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        with tapped(KmsgSource()) as tap:
            tap.up()
            record, pid = crash(tap, "import ctypes, sys; ctypes.CDLL(sys.argv[1]).die()", str(library))
            tap.until(lambda fact: False, 0.2)
        assert (record.event.kind, record.event.pid) == ("segfault", pid)
        assert "Killed process 4242" in (record.event.object or "")
        assert not [f for f in tap.told if isinstance(f, LogRecord) and f.event.pid == 4242]

    def test_what_user_space_writes_into_the_log_is_no_event(self) -> None:
        with tapped(KmsgSource()) as tap:
            tap.up()
            with open("/dev/kmsg", "wb", buffering=0) as log:
                # without its newline the record stays open for more, and nobody can read it
                log.write(f"<3>{FORGED}\n".encode())
            crash(tap, SEGFAULT)
        assert not [f for f in tap.told if isinstance(f, LogRecord) and f.event.pid == 4242]

    def test_a_user_without_rights_is_told_why_and_what_to_do(self) -> None:
        if Path("/proc/sys/kernel/dmesg_restrict").read_text().strip() == "0":
            pytest.skip("kernel.dmesg_restrict is 0: everybody may read the log")
        code = (
            "from kerneld.sources.kmsg import KmsgSource\n"
            "from kerneld.sources.source import Outlet\n"
            "from kerneld.errors import SourceUnavailable\n"
            "import queue, os\n"
            "os.setuid(65534)\n"
            "try:\n    KmsgSource().run(Outlet(queue.Queue(), 'x'))\n"
            "except SourceUnavailable as problem:\n    print(problem.reason, '|', problem.remedy)\n"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        reason, remedy = out.stdout.split("|")
        assert "CAP_SYSLOG" in reason
        assert "CAP_SYSLOG" in remedy


def test_no_log_is_told_with_a_remedy(tmp_path: Path) -> None:
    with tapped(KmsgSource(str(tmp_path / "kmsg"))) as tap:
        tap.until(lambda fact: False, 0.1)
    assert tap.problem is not None
    assert "--device /dev/kmsg" in tap.problem.remedy


def test_another_pid_namespace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "pid").symlink_to("pid:[4026532198]")
    with tapped(KmsgSource(proc_root=str(tmp_path))) as tap:
        tap.until(lambda fact: False, 0.1)
    assert tap.problem is not None
    assert "pid namespace" in tap.problem.reason
    assert "--pid=host" in tap.problem.remedy


@pytest.fixture
def packets() -> Iterator[tuple[str, int]]:
    """A pipe of packets: one read is one record, as the device has it. Its path, and where to write."""
    reader, writer = os.pipe2(os.O_DIRECT)
    yield f"/proc/self/fd/{reader}", writer
    os.close(reader)
    os.close(writer)


def segfault_record(sequence: int, pid: int) -> bytes:
    line = f"python[{pid}]: segfault at 0 ip 0 sp 0 error 4 in libc.so.6[1,2+3]"
    return f"6,{sequence},{int(time.monotonic() * 1e6)},-;{line}\n".encode()


def test_lost_records_are_counted_and_reading_goes_on(packets: tuple[str, int]) -> None:
    path, writer = packets
    with tapped(KmsgSource(path)) as tap:
        os.write(writer, segfault_record(10, 2**30 + 1))
        os.write(writer, b"no record\n")
        os.write(writer, segfault_record(17, 2**30 + 2))
        record = tap.line_of(2**30 + 2)
    assert record is not None
    assert (record.sequence, record.tgid) == (17, None)
    assert [f.count for f in tap.told if isinstance(f, SourceLost)] == [6]


def test_started_again_it_tells_nothing_twice(packets: tuple[str, int]) -> None:
    path, writer = packets
    source = KmsgSource(path)
    for sequences in ((10, 11), (10, 11, 12)):
        with tapped(source) as tap:
            for sequence in sequences:
                os.write(writer, segfault_record(sequence, 2**30 + sequence))
            assert tap.line_of(2**30 + sequences[-1])
    assert [f.sequence for f in tap.told if isinstance(f, LogRecord)] == [12]
    assert not [f for f in tap.told if isinstance(f, SourceLost)]


def test_an_event_that_waits_for_more_is_told_when_nothing_comes(packets: tuple[str, int]) -> None:
    path, writer = packets
    with tapped(KmsgSource(path)) as tap:
        stamp = int(time.monotonic() * 1e6)
        os.write(writer, f"6,1,{stamp},-;x[1073741825]: segfault at 0 ip 0 sp 0 error 14\n".encode())
        record = tap.line_of(2**30 + 1)
    assert record is not None
    assert record.event.object is None


def test_a_line_s_time_is_right_though_the_log_s_clock_is_not(packets: tuple[str, int]) -> None:
    """Live lines show how far the two clocks are apart."""
    path, writer = packets
    with tapped(KmsgSource(path)) as tap:
        tap.up()
        before = datetime.now(UTC)
        stamp = int((time.monotonic() - 50) * 1e6)
        os.write(
            writer, f"6,1,{stamp},-;x[1073741825]: segfault at 0 ip 0 sp 0 error 4 in x[1+2]\n".encode()
        )
        record = tap.line_of(2**30 + 1)
    assert record is not None
    assert before - timedelta(milliseconds=5) <= record.at <= datetime.now(UTC)


def test_a_thread_s_process_is_told_only_while_it_can_be_that_thread() -> None:
    now = datetime.now(UTC)
    found: list[tuple[int | None, ...]] = []

    def look() -> None:
        ctypes.CDLL(None).prctl(15, b"worker", 0, 0, 0)
        tid = threading.get_native_id()
        found.append((
            tgid_of(tid, comm="worker", at=now),
            tgid_of(tid, comm="another", at=now),
            tgid_of(tid, comm="worker", at=now - timedelta(hours=1)),
            tgid_of(2**30, comm="worker", at=now),
        ))  # fmt: skip

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [(os.getpid(), None, None, None)]
