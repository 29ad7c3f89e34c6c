"""Trees and log of Linux 6.1 with cgroup v2, as Debian 12 has them: limits, counters, OOM reports."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_kmsg import replay

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.fault_lines import fault_object
from kerneld.model.process import CgroupLocation, Process
from kerneld.model.readings import CgroupReading
from kerneld.model.vocabulary import Cause, Confidence, LimitKind
from kerneld.parse.cgroups import parse_memory_events
from kerneld.parse.procfs import parse_stat, parse_status
from kerneld.proc.cgroup import CgroupWatch, cgroup_dirs
from kerneld.proc.process import read_process

CAPTURED = Path(__file__).parent.parent / "captured/proc"
CASES = Path(__file__).parent.parent / "cases"
UNIT = "/team.slice/jupyter-team.service"
LIMIT = 480 << 20
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def pid_in(tree: Path) -> int:
    (found,) = (entry.name for entry in (tree / "proc").iterdir() if entry.name.isdigit())
    return int(found)


@pytest.fixture(scope="module")
def kernel() -> Process:
    tree = CAPTURED / "ipykernel-v2"
    roots = {"proc_root": str(tree / "proc"), "cgroup_root": str(tree / "cgroup")}
    process = read_process(pid_in(tree), boot_id="b", pidfd_inode=None, **roots)
    assert process is not None
    return process


def readings(when: str) -> tuple[CgroupReading, ...]:
    tree = CAPTURED / "oom-v2" / when
    location = CgroupLocation(version=2, path=UNIT)
    watch = CgroupWatch(cgroup_dirs(location, proc_root=str(tree), cgroup_root=str(tree / "cgroup")))
    try:
        return watch.read(NOW)
    finally:
        watch.close()


def test_a_kernel_in_a_unit_below_a_limited_slice(kernel: Process) -> None:
    assert (kernel.comm, kernel.uid, kernel.unit) == ("python", 1000, "jupyter-team.service")
    assert kernel.cgroup == CgroupLocation(version=2, path=UNIT)
    assert [(limit.kind, limit.limit_bytes, limit.path) for limit in kernel.limits] == [
        (LimitKind.CGROUP, LIMIT, "/team.slice")
    ]


def test_a_zombie_of_a_segfault_tells_its_status_and_no_memory() -> None:
    tree = CAPTURED / "ipykernel-v2-zombie"
    folder = tree / "proc" / str(pid_in(tree))
    stat = parse_stat((folder / "stat").read_bytes())
    assert stat is not None
    assert (stat.state, stat.exit_code) == ("Z", 11)
    assert parse_status((folder / "status").read_bytes()).hwm_bytes is None


def test_the_kill_is_counted_where_the_victim_was_and_the_limit_where_it_stands() -> None:
    """Debian 12's Linux has memory.peak; `oom` rises at the slice, `oom_kill` at the unit alone."""
    (own, slice_), (own_after, slice_after) = readings("before"), readings("after")
    assert [one.path for one in (own, slice_)] == [UNIT, "/team.slice"]
    assert (slice_.limit_bytes, own.limit_bytes) == (LIMIT, None)
    assert ((own_after.oom or 0) - (own.oom or 0), own.oom_kill, own_after.oom_kill) == (0, 0, 1)
    assert ((slice_after.oom or 0) - (slice_.oom or 0), slice_.oom_kill, slice_after.oom_kill) == (
        1,
        0,
        0,
    )
    assert (slice_after.peak_bytes or 0) >= 0.99 * LIMIT


def test_a_lost_status_leaves_the_counters_their_say() -> None:
    """The server that was stopped after the kill had reaped it before a plain user's daemon looked."""
    told = json.loads((CASES / "oom_cgroup_counters/hit_v2_stopped.json").read_text())["case"]
    lost = Case.model_validate(told).model_copy(update={"readings": ()})
    verdict = diagnose(lost).verdict
    assert (verdict.cause, verdict.confidence) == (Cause.OOM_CGROUP, Confidence.POSSIBLE)
    assert [piece.source for piece in verdict.against] == ["exit"]


def test_an_ancestors_events_count_its_descendants_kills_too() -> None:
    """Which is why the .local ones are read."""
    folder = CAPTURED / "oom-v2/after/cgroup/team.slice"
    both = [folder / "memory.events", folder / "memory.events.local"]
    assert [parse_memory_events(file.read_bytes()).oom_kill for file in both] == [1, 0]


def test_a_report_whose_limit_is_an_ancestors() -> None:
    [event] = replay("oom-memcg-v2-6.1.txt")
    assert (event.kind, event.constraint, event.uid) == ("oom_memcg", "CONSTRAINT_MEMCG", 1000)
    assert (event.cgroup, event.oom_cgroup) == (UNIT, "/team.slice")
    assert event.top[0].pid == event.pid, "the hog is the victim"
    assert event.totals is not None
    assert event.totals.limit_kb == LIMIT // 1024


def test_a_group_is_killed_whole_and_each_member_has_its_line() -> None:
    """memory.oom.group: the first victim's report is the others' too."""
    events = replay("oom-group-6.1.txt")
    assert len(events) > 1
    assert len({event.pid for event in events}) == len(events)
    assert {(e.kind, e.cgroup, e.oom_cgroup) for e in events} == {
        ("oom_memcg", "/system.slice/oom-group.service", "/system.slice/oom-group.service")
    }
    assert [event.has_group for event in events[1:]] == [True] * (len(events) - 1)


def test_a_segfault_line_without_an_offset_has_its_place_all_the_same() -> None:
    """Linux before 6.4 prints base and size: the offset is reckoned from ip."""
    [event] = replay("segfault-6.1.txt")
    name, offset = fault_object(event)
    assert (event.kind, event.comm, name) == ("segfault", "python", "libc.so.6")
    assert 0 < int(offset or "0", 16) < 0x200000
