"""CensusSource: who is looked at after a death, and while memory gets short; at what pace."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dying import running

from kerneld.model.effects import LookAround
from kerneld.model.facts import LookedAround
from kerneld.parse.pressure import told_pressure
from kerneld.parse.procfs import Meminfo
from kerneld.proc.cgroup import CgroupDir
from kerneld.proc.disk import free_bytes
from kerneld.proc.largest import COUNT, largest, members
from kerneld.proc.process import list_pids, read_process
from kerneld.sources import census
from kerneld.sources.census import CensusSource
from kerneld.sources.host_history import HostHistory

MIB = 1 << 20
HOLDER = "import sys; held = b'x' * (400 << 20); print('held', flush=True); sys.stdin.readline()"
PRESSURE = (
    b"some avg10=41.20 avg60=5.10 avg300=1.00 total=8223305\n"
    b"full avg10=30.00 avg60=4.00 avg300=0.50 total=5002787\n"
)


@contextmanager
def holder() -> Iterator[int]:
    """A process of 400 MiB: its pid."""
    argv = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def order() -> LookAround:
    process = read_process(os.getpid(), boot_id="b", pidfd_inode=None)
    assert process is not None
    return LookAround(process, str(Path(__file__).resolve()))


class Short(HostHistory):
    """A host of 1 GiB of which this much is left."""

    def __init__(self, left_mib: int) -> None:
        super().__init__("/proc")
        self._left = left_mib

    def _total_if_below(self, share: float) -> int | None:
        return 1024 * MIB if self._left < share * 1024 else None


def test_the_largest_are_told_with_their_owners_in_order() -> None:
    breaths: list[int] = []
    with holder() as pid:
        found = largest(list_pids(), lambda: breaths.append(1))
    assert len(found) <= COUNT
    assert [one.rss_bytes for one in found] == sorted((o.rss_bytes for o in found), reverse=True)
    (ours,) = [one for one in found if one.pid == pid]
    assert (ours.uid, ours.rss_bytes > 400 * MIB) == (os.getuid(), True)
    assert breaths, "it lets go between slices"


def test_threads_of_linux_and_the_gone_hold_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert largest([2, gone.pid, 1 << 22], lambda: None) == ()


def test_a_death_is_answered_by_a_look_at_all_and_the_free_disk() -> None:
    with holder() as pid, running(CensusSource()) as it:
        it.source.control(order())
        seen = it.next()
    assert isinstance(seen, LookedAround)
    assert seen.key == order().process.key
    everybody = seen.surroundings[0]
    assert everybody.cgroup is None
    assert pid in {one.pid for one in everybody.largest}
    free = os.statvfs(__file__)
    assert seen.disk_free_bytes == pytest.approx(free.f_bavail * free.f_frsize, rel=0.05)


def test_a_thousand_deaths_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(census, "largest", lambda *_, **__: looks.append(1) or ())
    source = CensusSource()
    for _ in range(1000):
        source.control(order())
    with running(source) as it:
        told = [it.next() for _ in range(1000)]
    assert all(isinstance(one, LookedAround) for one in told)
    assert len(looks) == 1


def test_while_memory_is_short_all_are_looked_at_unasked_at_a_pace() -> None:
    source = CensusSource()
    with holder() as pid, running(source) as it:
        source.grows_short(Short(left_mib=150), [])
        source.grows_short(Short(left_mib=150), [])
        seen = it.next()
        assert isinstance(seen, LookedAround)
        assert seen.key is None
        assert pid in {one.pid for one in seen.surroundings[0].largest}
        source.grows_short(Short(left_mib=150), [])
        assert it.silent(0.3), "the next look rests 2 s, and longer where it costs more"


def test_a_calm_shortage_may_cost_less_than_an_urgent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> tuple[()]:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        return ()

    monkeypatch.setattr(census, "largest", slow)
    rests = []
    for left in (150, 50):
        source = CensusSource()
        with running(source) as it:
            source.grows_short(Short(left_mib=left), [])
            it.next()
        rests.append(source.next_short_s - time.monotonic())
    assert rests[0] > 20
    assert 1.5 < rests[1] < 5


def test_with_enough_memory_nobody_is_looked_at() -> None:
    source = CensusSource()
    with running(source) as it:
        source.grows_short(Short(left_mib=900), [])
        assert it.silent(0.3)


@pytest.mark.needs_root
@pytest.mark.needs_memcg
def test_those_under_a_limit_are_found_below_it_too() -> None:
    root = Path("/sys/fs/cgroup/memory")
    folder = (root if root.is_dir() else root.parent) / f"kerneld-test-census-{os.getpid()}"
    below = folder / "below"
    source = CensusSource()
    for made in (folder, below):
        made.mkdir()
    try:
        with holder() as pid, running(source) as it:
            (below / "cgroup.procs").write_text(str(pid))
            assert members(str(folder)) == [pid]
            source.grows_short(Short(left_mib=900), [CgroupDir(1, "/census", str(folder))])
            seen = it.next()
    finally:
        for made in (below, folder):
            made.rmdir()
    assert isinstance(seen, LookedAround)
    (under,) = seen.surroundings
    assert (under.cgroup, [one.pid for one in under.largest]) == ("/census", [pid])


def test_a_cgroup_that_is_gone_has_nobody(tmp_path: Path) -> None:
    assert members(str(tmp_path / "gone")) == []


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "autofs"])
def test_a_disk_that_answers_when_it_likes_is_not_asked(tmp_path: Path, kind: str) -> None:
    mounts = f"21 1 8:1 / / rw - ext4 /dev/sda rw\n22 21 0:9 / /net rw - {kind} x rw\n"
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(mounts)
    assert free_bytes("/net/home/n.ipynb", proc_root=str(tmp_path)) is None
    assert free_bytes("/home/n.ipynb", proc_root=str(tmp_path))


def test_pressure_is_told_as_linux_words_it() -> None:
    assert told_pressure(PRESSURE) == "some avg10=41.20 full avg10=30.00"
    assert told_pressure(b"") is None


def test_the_host_is_told_as_it_was_before_the_death(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "memory").write_bytes(PRESSURE)
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1000 kB\nMemAvailable: 90 kB\nSwapTotal: 50 kB\nSwapFree: 7 kB\n")
    history = HostHistory(str(tmp_path))
    history.open()
    history.sample(10.0)
    assert (history.short_of(), history.is_urgent) == (1000 * 1024, True)
    meminfo.write_text("MemTotal: 1000 kB\nMemAvailable: 900 kB\nSwapTotal: 50 kB\nSwapFree: 50 kB\n")
    history.sample(11.0)
    history.close()
    account = history.account(10.5)
    assert (account.host_available_bytes, account.host_swap_free_bytes) == (90 * 1024, 7 * 1024)
    assert account.psi_memory == "some avg10=41.20 full avg10=30.00"
    assert history.account(9.0).host_total_bytes is None
    assert history.last.memory == Meminfo(1000 * 1024, 900 * 1024, 50 * 1024, 50 * 1024)
