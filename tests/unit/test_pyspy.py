"""py-spy as a child of the collector: its rights, its bounds, its end; and the source that runs it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dying import running, until

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import ForgetMemory, ReadStack, SampleMemory, WatchStacks
from kerneld.model.growth import GrowthAccount
from kerneld.model.process import Process
from kerneld.model.wire import StackParsed
from kerneld.parse.stacks import MAX_TEXT_BYTES, NoStacks, parse_stacks
from kerneld.proc.capabilities import Capability
from kerneld.proc.process import boot_id, read_process
from kerneld.sources import pyspy
from kerneld.sources.memory import MemorySource
from kerneld.sources.pyspy import DEADLINE_S, OUTPUT_BYTES, Dump, check_rights, find_py_spy
from kerneld.sources.stack_target import NOT_PYTHON
from kerneld.sources.stacks import StacksSource

PROGRAM = """import sys
print("ready", flush=True)
held = []
for line in sys.stdin:
    for _ in range(int(line)):
        held.append(b"1" * (1 << 20))
    print("grown", flush=True)
"""


class Grower:
    """A Python that grows on line 6 of its file, by as many MiB as it is told."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "grower.py"
        self.file.write_text(PROGRAM)
        argv = [sys.executable, str(self.file)]
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()
        process = read_process(self.child.pid, boot_id=boot_id(), pidfd_inode=None)
        assert process is not None
        self.process: Process = process

    def _answer(self) -> None:
        assert self.child.stdout is not None
        assert self.child.stdout.readline()

    def grow(self, mib: int) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{mib}\n")
        self.child.stdin.flush()
        self._answer()


@pytest.fixture
def grower(tmp_path: Path) -> Iterator[Grower]:
    grower = Grower(tmp_path)
    yield grower
    grower.child.kill()
    grower.child.wait()


def script(folder: Path, text: str) -> str:
    path = folder / "py-spy"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def end_of(dump: Dump, within_s: float = 10) -> bytes:
    """What it wrote, when it is over."""
    until(dump.is_over, within_s)
    out, cpu_s = dump.take()
    assert cpu_s >= 0
    try:
        return os.pread(out, 2 * OUTPUT_BYTES, 0)
    finally:
        os.close(out)


# ---------------------------------------------------------------- the child


def test_it_reads_a_python_that_goes_on(grower: Grower) -> None:
    told = parse_stacks(end_of(Dump(find_py_spy(), grower.child.pid, 0.0)))
    assert not isinstance(told, NoStacks)
    (frame,) = told.frames
    assert (frame.file, frame.line) == (str(grower.file), 4)
    grower.grow(1)


def test_a_late_one_is_killed_and_nobody_waits_for_it(tmp_path: Path) -> None:
    began_s = time.monotonic()
    dump = Dump(script(tmp_path, "exec sleep 60"), os.getpid(), began_s)
    assert not dump.is_over()
    assert not dump.is_late(began_s)
    assert dump.is_late(began_s + DEADLINE_S + 0.1)
    dump.kill()
    until(dump.is_over, 5)
    dump.bury()
    assert time.monotonic() - began_s < 5


def test_its_words_are_bounded_by_linux(tmp_path: Path) -> None:
    said = end_of(Dump(script(tmp_path, "sleep 0.2; exec yes"), os.getpid(), 0.0))
    assert len(said) == OUTPUT_BYTES
    assert isinstance(parse_stacks(said[:MAX_TEXT_BYTES]), NoStacks)


def test_it_stands_behind_all_others(tmp_path: Path) -> None:
    text = 'sleep 0.2; cat /proc/self/oom_score_adj; ulimit -c; set | grep -c "^HOME="'
    score, core, homes = end_of(Dump(script(tmp_path, text), os.getpid(), 0.0)).split()
    assert (int(score), core, homes) == (500, b"0", b"0"), "no core, nothing of our environment"


@pytest.mark.needs_root
def test_it_keeps_two_rights_and_the_thread_all_of_its_own(tmp_path: Path) -> None:
    told: dict[str, str] = {}

    def rights(text: str) -> str:
        return next(line.split()[1] for line in text.splitlines() if line.startswith("CapEff"))

    def start() -> None:
        pyspy.leave_rights_behind()
        told["child"] = end_of(Dump(script(tmp_path, "cat /proc/self/status"), 1, 0.0)).decode()
        told["thread"] = Path("/proc/thread-self/status").read_text()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    wanted = sum(1 << right for right in (Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH))
    assert int(rights(told["child"]), 16) == wanted
    assert rights(told["thread"]) == rights(Path("/proc/self/status").read_text())


# ---------------------------------------------------------------- whether it may at all


@pytest.mark.parametrize(
    ("scope", "capable", "remedy"),
    [
        ("0", False, None),
        ("1", True, None),
        ("1", False, "sudo sysctl kernel.yama.ptrace_scope=0"),
        ("2", True, None),
        ("3", True, ""),
        ("", False, None),
    ],
)
def test_yama_decides_who_may_read(
    tmp_path: Path, scope: str, capable: bool, remedy: str | None
) -> None:
    (tmp_path / "self").mkdir()
    mask = 1 << Capability.SYS_PTRACE if capable else 0
    (tmp_path / "self/status").write_text(f"CapEff:\t{mask:016x}\n")
    yama = tmp_path / "sys/kernel/yama"
    yama.mkdir(parents=True)
    if scope:
        (yama / "ptrace_scope").write_text(f"{scope}\n")
    if remedy is None:
        check_rights(str(tmp_path))
        return
    with pytest.raises(SourceUnavailable) as refused:
        check_rights(str(tmp_path))
    assert (scope in refused.value.reason, refused.value.remedy) == (True, remedy)


def test_without_the_binary_the_remedy_is_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyspy.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(SourceUnavailable) as refused:
        find_py_spy()
    assert refused.value.remedy == f"{tmp_path}/python -m pip install py-spy"


# ---------------------------------------------------------------- the source


class Reader:
    """Answers as the reader process does. fds: how many stacks it got."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[StackParsed], None] = lambda _: None

    def read(self, order: ReadStack) -> None:
        self.asked += 1
        told = parse_stacks(os.pread(order.fd, MAX_TEXT_BYTES, 0))
        os.close(order.fd)
        if isinstance(told, NoStacks):
            self.answer(StackParsed(number=order.number, problem=told.reason, no_python=told.no_python))
        else:
            self.answer(StackParsed(number=order.number, threads=told.threads, frames=told.frames))


def wired() -> tuple[StacksSource, MemorySource, Reader]:
    reader = Reader()
    stacks, memory = StacksSource(read=reader.read), MemorySource(busy_hz=50)
    reader.answer, memory.on_grown = stacks.parsed, stacks.grown
    return stacks, memory, reader


def watch(grower: Grower, stacks: StacksSource, memory: MemorySource, language: str | None) -> None:
    """As the owner does when a kernel is found."""
    key = grower.process.key
    stacks.control(WatchStacks(grower.process, 1, language))
    memory.control(SampleMemory(grower.process))
    until(lambda: memory.rss_bytes(key) is not None)
    until(lambda: stacks.account(key) is not None)
    memory.mark_busy(key, True)


def told(stacks: StacksSource, grower: Grower) -> GrowthAccount:
    account = stacks.account(grower.process.key)
    assert account is not None
    return account


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "not-heard"])
def test_growth_is_charged_to_the_line_that_took_it(grower: Grower, heard: bool) -> None:
    """Also of a kernel whose iopub is not heard."""
    stacks, memory, reader = wired()
    with running(stacks), running(memory):
        watch(grower, stacks, memory, "python")
        if heard:
            stacks.mark_busy(grower.process.key, True)
            time.sleep(0.1)  # the account begins with what it holds now
        for _ in range(20):
            grower.grow(20)
        until(lambda: told(stacks, grower).dumps > 0)
        account = told(stacks, grower)
        stacks.control(ForgetMemory(grower.process.key))
        until(lambda: stacks.account(grower.process.key) is None)
    assert reader.asked > 0
    first = account.lines[0]
    assert (first.file, first.line) == (str(grower.file), 6)
    grown = sum(line.bytes for line in account.lines)
    assert grown == pytest.approx(400 << 20, rel=0.1 if heard else 0.5), "unheard it begins when seen"
    assert account.stack is not None
    assert account.blind == ""


def test_another_language_has_no_stack_and_that_is_told(grower: Grower) -> None:
    stacks, memory, reader = wired()
    with running(stacks), running(memory):
        watch(grower, stacks, memory, "R")
        grower.grow(100)
        until(lambda: (memory.rss_bytes(grower.process.key) or 0) > 100 << 20)
        assert (told(stacks, grower).blind, reader.asked) == (NOT_PYTHON, 0)


def test_a_process_that_dies_in_the_middle_ends_nothing(grower: Grower) -> None:
    stacks, memory, _ = wired()
    with running(stacks), running(memory):
        watch(grower, stacks, memory, "python")
        grower.grow(100)
        grower.child.send_signal(signal.SIGKILL)
        grower.child.wait()
        time.sleep(0.2)
        assert stacks.account(grower.process.key) is not None
