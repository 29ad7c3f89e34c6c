"""Rings never lose the peak; the sampler knows real processes' memory and their cgroup's kills."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.model.effects import ForgetMemory, SampleMemory
from kerneld.model.process import Process
from kerneld.proc.cgroup import CgroupDir
from kerneld.proc.memory import ProcessMemory
from kerneld.proc.process import boot_id, boot_seconds, read_process
from kerneld.sources.cgroup_history import CgroupHistory, Slot
from kerneld.sources.memory import MemorySource
from kerneld.sources.memory_track import ACCOUNT_SAMPLES
from kerneld.sources.ring import CAPACITY, UNIT_BYTES, Ring
from kerneld.sources.source import Outlet

MIB = 1 << 20
V1 = Path("/sys/fs/cgroup/memory")

# ---------------------------------------------------------------- rings


@given(st.lists(st.integers(0, 1 << 32), min_size=1, max_size=5000), st.floats(0.05, 3.0))
def test_a_ring_keeps_its_bounds_its_order_its_maximum_and_its_end(
    values: list[int], pace_s: float
) -> None:
    values = [min(value, (1 << 32) - 1) for value in values]
    ring = Ring(100.0)
    for index, value in enumerate(values):
        ring.append(100.0 + index * pace_s, value * UNIT_BYTES)
    times, kept = ring.window()
    assert len(ring) <= CAPACITY
    assert list(times) == sorted(times)
    assert max(kept) == max(values)
    assert kept[-1] == values[-1]
    assert times[-1] == pytest.approx((len(values) - 1) * pace_s * 100, abs=1.01)
    for time_ticks, value in zip(times, kept, strict=True):
        index = round(time_ticks / 100 / pace_s)
        assert value in values[max(0, index - 1) : index + 2]


@given(st.lists(st.integers(0, 3), min_size=2, max_size=300), st.data())
def test_a_plateau_is_what_all_its_samples_were(values: list[int], data: st.DataObject) -> None:
    """At every moment, in every window and for growth, against the list of all samples."""
    ring = Ring(0.0)
    for second, value in enumerate(values):
        ring.append(float(second), value * UNIT_BYTES)
    last = len(values) - 1
    since = data.draw(st.integers(0, last), "since")
    until = data.draw(st.integers(since, last), "until")
    assert ring.last_at(since + 0.4) == values[since] * UNIT_BYTES
    assert ring.first_at(since, within_s=0.5) == values[since] * UNIT_BYTES
    assert ring.most(since, until) == max(values[since : until + 1]) * UNIT_BYTES
    pairs = ring.pairs(until, at_most=1000, since_s=since)
    assert pairs[0] == (until - since, values[since] * UNIT_BYTES)
    assert pairs[-1] == (0.0, values[until] * UNIT_BYTES)
    if since < until:
        growth = (values[until] - values[since]) * UNIT_BYTES / (until - since)
        assert ring.growth_bytes_per_s(until, over_s=until - since) == pytest.approx(growth)


def test_a_process_that_stands_still_takes_two_places() -> None:
    ring = Ring(0.0)
    for second in range(100_000):
        ring.append(float(second), 7 * UNIT_BYTES)
    assert len(ring) == 1
    ring.append(100_000.0, 8 * UNIT_BYTES)
    assert ring.pairs(100_000.0, at_most=9) == (
        (100_000.0, 7 * UNIT_BYTES),
        (1.0, 7 * UNIT_BYTES),
        (0.0, 8 * UNIT_BYTES),
    )


@pytest.mark.parametrize("changes", [1, 2, 3])
def test_a_plateau_begins_when_it_began_however_often_it_is_thinned(changes: int) -> None:
    """A kernel that rested at 5 GiB for an hour was shown to hold little for all of it."""
    ring = Ring(0.0)
    for second in range(changes):
        ring.append(float(second), second * UNIT_BYTES)
    for second in range(changes, 3600):
        ring.append(float(second), 99 * UNIT_BYTES)
    for tick in range(2 * CAPACITY):
        ring.append(3600 + tick / 20, tick % 9 * UNIT_BYTES)
    assert {ring.last_at(at) for at in (10.0, 1800.0, 3598.0)} == {99 * UNIT_BYTES}


@given(
    st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=1500, unique=True), st.integers(2, 300)
)
def test_thinned_pairs_keep_the_peak_and_the_last_sample(values: list[int], at_most: int) -> None:
    ring = Ring(0.0)
    for second, value in enumerate(values):
        ring.append(float(second), value * UNIT_BYTES)
    pairs = ring.pairs(len(values) + 4.0, at_most=at_most)
    assert len(pairs) <= at_most
    assert pairs[-1] == (5.0, values[-1] * UNIT_BYTES)
    assert max(size for _, size in pairs) == max(values) * UNIT_BYTES
    ages = [age for age, _ in pairs]
    assert ages == sorted(ages, reverse=True)
    assert len(set(ages)) == len(ages)


def test_samples_after_the_death_are_none_of_it() -> None:
    ring = Ring(0.0)
    for second in range(10):
        ring.append(float(second), second * UNIT_BYTES)
    assert ring.pairs(4.5, at_most=100)[-1] == (0.5, 4 * UNIT_BYTES)
    assert ring.pairs(-1.0, at_most=100) == ()
    last_two = ring.pairs(9.0, at_most=100, since_s=8.0)
    assert last_two == ((1.0, 8 * UNIT_BYTES), (0.0, 9 * UNIT_BYTES))


def test_growth_is_over_the_last_seconds_alone() -> None:
    ring = Ring(0.0)
    assert ring.growth_bytes_per_s(10.0, over_s=10.0) is None
    for second in range(101):
        ring.append(float(second), max(1000, 1000 + (second - 90) * 7) * UNIT_BYTES)
    assert ring.growth_bytes_per_s(100.0, over_s=10.0) == pytest.approx(7.0 * UNIT_BYTES)
    assert ring.growth_bytes_per_s(80.0, over_s=10.0) == 0.0


def test_more_than_a_place_holds_is_told_as_the_most() -> None:
    ring = Ring(0.0)
    ring.append(0.0, 1 << 60)
    assert ring.last_at(0.0) == ((1 << 32) - 1) * UNIT_BYTES


def test_a_reader_never_sees_torn_columns() -> None:
    """Every value is its own time in ticks, so a torn pair shows; each stands for three ticks."""
    ring, stop = Ring(0.0), threading.Event()

    def write() -> None:
        ticks = 0
        while not stop.is_set():
            ticks += 1
            ring.append(ticks / 100 + 0.001, (ticks - ticks % 3) * UNIT_BYTES)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            times, values = ring.window()
            assert [ticks - ticks % 3 for ticks in times] == list(values)
    finally:
        stop.set()
        writer.join()


# ---------------------------------------------------------------- cgroup history


def history_of(*slots: Slot) -> CgroupHistory:
    history = CgroupHistory((CgroupDir(1, "/x", "/nowhere"),))
    history._slots.extend(slots)
    return history


def slot(at_s: float, oom_kill: int, usage_bytes: int) -> Slot:
    control = f"oom_kill_disable 0\nunder_oom 0\noom_kill {oom_kill}\n".encode()
    raw = (control, str(usage_bytes).encode(), b"9223372036854771712\n", b"")
    return Slot(at_s, datetime.now(UTC), (raw,), [usage_bytes])


def test_a_reading_between_the_kill_and_the_death_is_not_from_before() -> None:
    history = history_of(slot(7.0, 0, 10), slot(8.0, 0, 50), slot(8.9, 1, 90), slot(10.0, 1, 5))
    (before,) = history.before(alive_s=9.2)
    assert (before.oom_kill, before.usage_bytes) == (0, 90)


def test_with_one_reading_alone_that_one_is_before() -> None:
    (before,) = history_of(slot(9.0, 4, 10)).before(alive_s=9.2)
    assert (before.oom_kill, before.usage_bytes) == (4, 10)
    assert history_of().before(alive_s=9.2) == ()


# ---------------------------------------------------------------- real processes

GROWER = """
import os, sys
if len(sys.argv) > 1: open(sys.argv[1], "w").write("0")
held = []
print("ready", flush=True)
for line in sys.stdin:
    held.append(b"1" * (int(line) << 20))
    print("grown", flush=True)
"""


class Grower:
    """A child that grows by as many MiB as it is told."""

    def __init__(self, *args: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", GROWER, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()
        process = read_process(self.child.pid, boot_id=boot_id(), pidfd_inode=None)
        assert process is not None
        self.process: Process = process

    def answer(self) -> str:
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def grow(self, mib: int) -> str:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{mib}\n")
        self.child.stdin.flush()
        return self.answer()

    def kill(self) -> datetime:
        self.child.kill()
        self.child.wait()
        return datetime.now(UTC)


@contextmanager
def sampling(source: MemorySource) -> Iterator[MemorySource]:
    outlet = Outlet(queue.Queue(100), source.name)
    thread = threading.Thread(target=source.run, args=(outlet,))
    thread.start()
    try:
        yield source
    finally:
        outlet.stopping.set()
        source.wake()
        thread.join(5)
        assert not thread.is_alive(), "a stop must not be blocked"


def wait_for(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.fixture
def grower() -> Iterator[Grower]:
    grower = Grower()
    yield grower
    grower.kill()


def test_known_growth_is_told_when_the_process_dies(grower: Grower) -> None:
    key = grower.process.key
    with sampling(MemorySource()) as source:
        source.control(SampleMemory(grower.process))
        wait_for(lambda: source.living(key))
        start = source.living(key)
        assert start is not None
        assert start.rss_bytes
        for _ in range(5):
            grower.grow(40)
        wait_for(lambda: (source.living(key).rss_bytes or 0) > start.rss_bytes + 199 * MIB)
        died_at = grower.kill()
        account = source.account(key, died_at)
        assert account.last_bytes == pytest.approx(start.rss_bytes + 200 * MIB, abs=2 * MIB)
        assert account.samples[0][1] == start.rss_bytes
        assert account.growth_bytes_per_s is not None
        assert account.growth_bytes_per_s > 10 * MIB
        assert {peak.how for peak in account.peaks} >= {"sample"}
        assert all(peak.lower_bound for peak in account.peaks)
        assert account.host_total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        time.sleep(1.2)
        again = source.account(key, died_at).model_copy(update={"shm": account.shm})
        assert again == account, "the ring outlives the process and gets no sample of a zombie"
        source.control(ForgetMemory(key))
        wait_for(lambda: source.living(key) is None)
        assert source.account(key, died_at).samples == ()


def test_a_growing_process_is_looked_at_more_often(grower: Grower) -> None:
    key = grower.process.key
    with sampling(MemorySource(busy_hz=20)) as source:
        source.control(SampleMemory(grower.process))
        wait_for(lambda: source.living(key))
        time.sleep(1.1)
        grower.grow(50)
        for _ in range(30):
            grower.grow(1)
            time.sleep(0.05)
        living = source.living(key)
        assert living is not None
        assert len(living.samples) >= 15


def test_a_marked_process_is_looked_at_more_often_at_once(grower: Grower) -> None:
    key = grower.process.key
    with sampling(MemorySource(busy_hz=20)) as source:
        source.control(SampleMemory(grower.process))
        wait_for(lambda: source.living(key))
        source.mark_busy(key, True)
        for _ in range(10):
            grower.grow(1)
            time.sleep(0.05)
        living = source.living(key)
        assert living is not None
        assert len(living.samples) >= 6


def test_vmhwm_remembers_what_samples_missed(grower: Grower) -> None:
    """The peak came and went before the first look."""
    subprocess.run(["true"])
    process = subprocess.Popen(
        [sys.executable, "-c", "x = b'1' * (300 << 20); del x; print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    seen = read_process(process.pid, boot_id=boot_id(), pidfd_inode=None)
    assert seen is not None
    with sampling(MemorySource()) as source:
        source.control(SampleMemory(seen))
        wait_for(lambda: source.living(seen.key))
        process.kill()
        process.wait()
        peaks = source.account(seen.key, datetime.now(UTC)).peaks
    process.communicate()
    assert [peak.how for peak in peaks] == ["vmhwm", "sample"]
    assert peaks[0].peak_bytes > 300 * MIB > peaks[1].peak_bytes


def test_children_and_grandchildren_count_in_the_tree() -> None:
    code = (
        "import subprocess, sys\n"
        "c = subprocess.Popen([sys.executable, '-c', '''import subprocess, sys\n"
        'g = subprocess.Popen([sys.executable, "-c", "x = b\'1\' * (80 << 20); print(1, flush=True);'
        " input()\"])\ng.wait()'''])\nc.wait()"
    )
    root = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert root.stdout is not None
        root.stdout.readline()
        process = read_process(root.pid, boot_id=boot_id(), pidfd_inode=None)
        assert process is not None
        with sampling(MemorySource()) as source:
            source.control(SampleMemory(process))
            wait_for(lambda: source.living(process.key))
            wait_for(lambda: (source.living(process.key).tree_bytes or 0) > 80 * MIB)
            living = source.living(process.key)
            assert living is not None
            assert (living.rss_bytes or 0) < 40 * MIB
            assert (source.account(process.key, datetime.now(UTC)).tree_peak_bytes or 0) > 90 * MIB
    finally:
        os.killpg(root.pid, 9)
        root.communicate()


def test_a_reused_pid_is_not_taken_for_its_forerunner(grower: Grower) -> None:
    other = grower.process.key.model_copy(update={"start_ticks": grower.process.key.start_ticks - 1})
    with pytest.raises(ProcessLookupError):
        ProcessMemory(other)


def test_no_descriptor_is_left_behind(grower: Grower) -> None:
    before = len(os.listdir("/proc/self/fd"))
    source = MemorySource()
    mailbox_fds = 1
    with sampling(source):
        for _ in range(3):
            source.control(SampleMemory(grower.process))
            wait_for(lambda: source.living(grower.process.key))
            source.control(ForgetMemory(grower.process.key))
            wait_for(lambda: not source.living(grower.process.key))
    assert len(os.listdir("/proc/self/fd")) == before + mailbox_fds


def test_a_process_that_is_gone_already_has_an_empty_account() -> None:
    grower = Grower()
    died_at = grower.kill()
    with sampling(MemorySource()) as source:
        source.control(SampleMemory(grower.process))
        wait_for(lambda: source.living(grower.process.key))
        account = source.account(grower.process.key, died_at)
    assert (account.samples, account.last_bytes, account.peaks) == ((), None, ())


def test_an_account_is_answered_fast_and_short(grower: Grower) -> None:
    source = MemorySource()
    source._begin(grower.process)
    ring = source._tracks[grower.process.key].ring
    start_s = boot_seconds()
    for tick in range(2000):
        ring.append(start_s + tick / 100, tick * UNIT_BYTES)
    account = source.account(grower.process.key, datetime.now(UTC).replace(year=2100))
    assert len(account.samples) <= ACCOUNT_SAMPLES
    assert account.samples[-1][1] == 1999 * UNIT_BYTES


@pytest.fixture
def memcg() -> Iterator[Path]:
    if not V1.is_dir():
        pytest.skip("the memory controller is in cgroup v2 here")
    directory = V1 / f"kerneld-test-memory-{os.getpid()}"
    directory.mkdir()
    (directory / "memory.limit_in_bytes").write_text(str(120 * MIB))
    yield directory
    for _ in range(200):
        try:
            directory.rmdir()
            break
        except OSError:
            time.sleep(0.02)


@pytest.mark.needs_root
@pytest.mark.needs_memcg
def test_a_real_oom_kill_is_in_the_delta_and_in_the_samples(memcg: Path) -> None:
    grower = Grower(str(memcg / "cgroup.procs"))
    key = grower.process.key
    with sampling(MemorySource()) as source:
        source.control(SampleMemory(grower.process))
        wait_for(lambda: source.living(key))
        grower.grow(40)
        time.sleep(1.2)
        while grower.grow(8) == "grown":
            time.sleep(0.02)
        grower.child.wait()
        died_at = datetime.now(UTC)
        at_once = source.cgroup_delta(key, datetime.now(UTC))
        account = source.account(key, died_at)
        time.sleep(1.5)
        later = source.cgroup_delta(key, datetime.now(UTC))
    assert grower.child.returncode == -9
    for delta in (at_once, later):
        assert delta is not None
        before, after = delta.before[0], delta.after[0]
        assert before.path == after.path == "/" + memcg.name
        assert (before.oom_kill, after.oom_kill) == (0, 1)
        assert (before.usage_bytes or 0) >= 0.8 * 120 * MIB
        assert after.limit_bytes == 120 * MIB
    assert (account.last_bytes or 0) > 90 * MIB
