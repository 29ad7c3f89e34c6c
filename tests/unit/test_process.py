"""A pid becomes a Process, from a captured tree and from real processes."""

import os
import resource
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kerneld.model.process import CgroupLocation, Process
from kerneld.model.vocabulary import LimitKind
from kerneld.proc.process import (
    boot_id,
    host,
    list_pids,
    read_argv,
    read_process,
    read_stat,
    started_at,
    user_name,
)

TREE = Path(__file__).parent.parent / "captured/proc/ipykernel-v1"
ROOTS = {"proc_root": str(TREE / "proc"), "cgroup_root": str(TREE / "cgroup")}
PID = 11799
SLICE = "/kdcapture/user-1000.slice"


def read(pid: int) -> Process | None:
    return read_process(pid, boot_id=boot_id(), pidfd_inode=None)


def test_the_captured_kernel() -> None:
    process = read_process(PID, boot_id="b", pidfd_inode=7, **ROOTS)
    assert process is not None
    assert (process.key.boot_id, process.key.pid, process.key.start_ticks) == ("b", PID, 314873)
    assert process.key.pidfd_inode == 7
    assert (process.comm, process.ppid, process.pgid, process.sid) == ("python", 11796, PID, PID)
    assert (process.uid, process.unit) == (65534, "jupyter-ana-singleuser.service")
    assert process.cgroup == CgroupLocation(version=1, path=f"{SLICE}/{process.unit}")
    assert process.environ["JUPYTERHUB_USER"] == "ana"
    assert "JUPYTERHUB_API_TOKEN" not in process.environ
    assert process.ns_pid is None
    assert process.same_network_namespace


def test_a_limit_counts_wherever_it_stands_tightest_first() -> None:
    """The slice above allows less than the service's own cgroup."""
    process = read_process(PID, boot_id="b", pidfd_inode=None, **ROOTS)
    assert process is not None
    assert [(limit.kind, limit.limit_bytes, limit.path) for limit in process.limits] == [
        (LimitKind.CGROUP, 2 << 30, SLICE),
        (LimitKind.CGROUP, 3 << 30, f"{SLICE}/jupyter-ana-singleuser.service"),
        (LimitKind.RLIMIT_AS, 16 << 30, None),
    ]


def test_argv_and_pids_of_the_captured_tree() -> None:
    assert list_pids(ROOTS["proc_root"]) == [PID]
    assert read_argv(PID, proc_root=ROOTS["proc_root"])[1:4] == ["-m", "ipykernel_launcher", "-f"]


def test_what_is_gone_is_none() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert read(child.pid) is None
    assert read_stat(child.pid) is None
    assert read_argv(child.pid) == []
    assert read(0) is None


def test_a_zombie_is_still_a_process_without_a_command_line() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        process = read(child.pid)
        assert process is not None
        assert (process.comm, process.environ, read_argv(child.pid)) == ("sleep", {}, [])
    finally:
        child.wait()


def test_own_limits_and_environment_of_a_real_child() -> None:
    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))

    environ = {"JPY_PARENT_PID": str(os.getpid()), "JPY_API_TOKEN": "secret", "HOME": "/h"}
    before = datetime.now(UTC)
    child = subprocess.Popen(["/bin/sleep", "60"], env=environ, preexec_fn=bound)
    try:
        process = read(child.pid)
        assert process is not None
        kinds = {limit.kind: limit.limit_bytes for limit in process.limits}
        assert kinds[LimitKind.RLIMIT_AS] == 8 << 30
        assert kinds[LimitKind.RLIMIT_DATA] == 4 << 30
        assert process.environ == {"JPY_PARENT_PID": str(os.getpid()), "HOME": "/h"}
        assert (process.ppid, process.uid) == (os.getpid(), os.getuid())
        assert process.user_name == user_name(os.getuid())
        assert before - timedelta(seconds=0.02) <= process.started_at <= datetime.now(UTC)
    finally:
        child.kill()
        child.wait()


@pytest.mark.needs_root
def test_another_network_namespace_is_seen() -> None:
    child = subprocess.Popen(["unshare", "--net", "sleep", "60"], start_new_session=True)
    try:
        deadline = time.monotonic() + 10
        while read_argv(child.pid)[:1] != ["sleep"] and time.monotonic() < deadline:
            time.sleep(0.01)
        process = read(child.pid)
        assert process is not None
        assert not process.same_network_namespace
    finally:
        child.kill()
        child.wait()


@pytest.mark.needs_root
def test_a_pid_namespace_gives_a_second_pid() -> None:
    child = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo $$; exec sleep 60"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"1\n"
        inner = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        process = read(int(inner[0]))
        assert process is not None
        assert process.ns_pid == 1
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_a_start_time_is_the_same_at_every_reading() -> None:
    assert len({started_at(12345) for _ in range(200)}) == 1


def test_this_process_is_found_by_itself() -> None:
    assert os.getpid() in list_pids()
    assert read_argv(os.getpid()) == Path("/proc/self/cmdline").read_text().split("\0")[:-1]
    assert host().boot_id == boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert user_name(0) == "root"
    assert user_name(4_000_000_000) is None
