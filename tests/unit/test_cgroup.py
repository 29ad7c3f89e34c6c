"""Cgroup paths become directories, limits and counters; a removed cgroup says so."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kerneld.model.process import CgroupLocation
from kerneld.proc.cgroup import CgroupDir, CgroupWatch, binding, cgroup_dirs, cgroup_limits

TREE = Path(__file__).parent.parent / "captured/proc/ipykernel-v1"
ROOTS = {"proc_root": str(TREE / "proc"), "cgroup_root": str(TREE / "cgroup")}
V1 = Path("/sys/fs/cgroup/memory")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_path_is_found_under_the_controllers_own_mount() -> None:
    dirs = cgroup_dirs(CgroupLocation(version=1, path="/kdcapture/user-1000.slice"), **ROOTS)
    assert [one.path for one in dirs] == ["/kdcapture/user-1000.slice", "/kdcapture", "/"]
    assert all(Path(one.directory, "memory.limit_in_bytes").exists() for one in dirs)


def test_a_path_outside_of_the_mount_is_not_followed() -> None:
    location = CgroupLocation(version=1, path="/../../etc")
    assert cgroup_dirs(location, **ROOTS) == ()


def write_tree(root: Path, mount_root: str) -> dict[str, str]:
    """Assembled: a host with cgroup v2 alone, whose files this machine has not."""
    (root / "proc/self").mkdir(parents=True)
    line = f"30 1 0:26 {mount_root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (root / "proc/self/mountinfo").write_text(line)
    own = root / "cgroup/user.slice/job"
    own.mkdir(parents=True)
    for directory, limit in ((own, "max"), (own.parent, "1000000")):
        (directory / "memory.max").write_text(limit + "\n")
        (directory / "memory.current").write_text("900000\n")
        events = "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"
        (directory / "memory.events.local").write_text(events)
    return {"proc_root": str(root / "proc"), "cgroup_root": str(root / "cgroup")}


def test_cgroup_v2_is_read_with_the_ancestor_that_has_the_limit(tmp_path: Path) -> None:
    dirs = cgroup_dirs(CgroupLocation(version=2, path="/user.slice/job"), **write_tree(tmp_path, "/"))
    assert [(limit.limit_bytes, limit.path) for limit in cgroup_limits(dirs)] == [
        (1_000_000, "/user.slice")
    ]
    watch = CgroupWatch(dirs)
    own, above = watch.read(NOW)
    watch.close()
    assert (own.version, own.path, own.limit_bytes, own.peak_bytes) == (
        2,
        "/user.slice/job",
        None,
        None,
    )
    assert (above.path, above.limit_bytes, above.usage_bytes) == ("/user.slice", 1_000_000, 900_000)
    assert (above.oom, above.oom_kill, above.at) == (2, 1, NOW)


def test_a_containers_mount_shows_a_part_of_the_hierarchy(tmp_path: Path) -> None:
    roots = write_tree(tmp_path, "/docker/abc")
    dirs = cgroup_dirs(CgroupLocation(version=2, path="/docker/abc/user.slice/job"), **roots)
    assert [limit.path for limit in cgroup_limits(dirs)] == ["/docker/abc/user.slice"]
    assert cgroup_dirs(CgroupLocation(version=2, path="/docker/other"), **roots) == ()


def test_an_old_hierarchy_counts_each_cgroup_alone(tmp_path: Path) -> None:
    """Assembled: memory.use_hierarchy 0, as before Linux 5.11."""
    (tmp_path / "memory.use_hierarchy").write_text("0\n")
    own, above = CgroupDir(1, "/a/b", f"{tmp_path}/b"), CgroupDir(1, "/a", str(tmp_path))
    assert binding((own, above)) == (own,)


def test_files_that_are_not_there_read_as_none(tmp_path: Path) -> None:
    watch = CgroupWatch((CgroupDir(2, "/x", str(tmp_path)),))
    (reading,) = watch.read(NOW)
    watch.close()
    assert (reading.oom, reading.oom_kill, reading.usage_bytes, reading.limit_bytes) == (None,) * 4


@pytest.fixture
def memcg() -> Iterator[Path]:
    """A real v1 memory cgroup with a limit of 60 MiB on the parent, removed afterwards."""
    if not V1.is_dir():
        pytest.skip("the memory controller is in cgroup v2 here")
    parent = V1 / f"kerneld-test-{os.getpid()}"
    child = parent / "victim"
    child.mkdir(parents=True)
    (parent / "memory.limit_in_bytes").write_text(str(60 << 20))
    yield child
    for directory in (child, parent):
        for _ in range(200):
            try:
                directory.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)


HOG = "import os,sys; open(sys.argv[1], 'w').write('0'); x = [b'1' * (1 << 20) for _ in range(200)]"


@pytest.mark.needs_root
@pytest.mark.needs_memcg
def test_a_real_kill_raises_the_victims_own_counter(memcg: Path) -> None:
    path = "/" + str(memcg.relative_to(V1))
    watch = CgroupWatch(cgroup_dirs(CgroupLocation(version=1, path=path)))
    before = watch.read(datetime.now(UTC))
    ended = subprocess.run([sys.executable, "-c", HOG, str(memcg / "cgroup.procs")], timeout=30)
    after = watch.read(datetime.now(UTC))
    assert ended.returncode == -9
    assert [reading.path for reading in after] == [path, os.path.dirname(path)]
    assert [(b.oom_kill, a.oom_kill) for b, a in zip(before, after, strict=True)] == [(0, 1), (0, 0)]
    assert (after[0].limit_bytes, after[1].limit_bytes) == (None, 60 << 20)
    assert (after[1].peak_bytes or 0) >= 0.9 * (60 << 20)
    assert watch.usage_bytes() == tuple(reading.usage_bytes for reading in watch.read(NOW))
    memcg.rmdir()
    assert watch.read(NOW) == ()
    assert watch.usage_bytes() == ()
    watch.close()
