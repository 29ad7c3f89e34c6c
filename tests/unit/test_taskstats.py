"""TaskstatsSource: status and true peak of a watched process, by Linux's own account."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dying import ENDS, Running, let_go, open_fds, running, until, waiting, watch

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import WatchExit
from kerneld.model.vocabulary import ExitHow, PeakHow
from kerneld.parse.netlink import parse_task_end
from kerneld.proc.netlink import receive
from kerneld.sources import taskstats
from kerneld.sources.taskstats import TaskstatsSource, open_taskstats

ALL = os.environ.get("KERNELD_TESTS") == "all"


def available() -> bool:
    try:
        open_taskstats("/sys").close()
    except SourceUnavailable:
        return False
    return True


needs_taskstats = pytest.mark.skipif(not (available() or ALL), reason="no taskstats here: run as root")


def watched(pid: int, it: Running) -> WatchExit:
    order = watch(pid)
    os.close(order.pidfd)
    it.source.control(order)
    assert isinstance(it.source, TaskstatsSource)
    until(lambda: pid in it.source._leaders.pids)
    time.sleep(0.02)
    return order


@needs_taskstats
@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_told_with_its_status(end: str, tmp_path: Path) -> None:
    code, status = ENDS[end]
    with running(TaskstatsSource()) as it:
        process = waiting(code, tmp_path)
        order = watched(process.pid, it)
        let_go(process)
        process.wait()
        learned = it.learned()
        assert learned.key == order.key
        assert learned.reading is not None
        assert learned.reading.status_raw is not None
        assert learned.reading.how is ExitHow.TASKSTATS
        assert learned.reading.proven
        assert learned.reading.status_raw & ~0x80 == status
        assert it.silent(0.05)


GROW = """
import os, sys, threading
threads = [threading.Thread(target=sys.stdin.read) for _ in range(int(sys.argv[1]))]
for thread in threads: thread.start()
filled = bytearray(150 << 20)
del filled
hwm = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(hwm[0].split()[1], flush=True)
sys.stdin.readline()
os.abort()
"""


@needs_taskstats
@pytest.mark.parametrize("threads", [0, 4])
def test_the_peak_is_linux_s_own_within_a_percent(threads: int, tmp_path: Path) -> None:
    with running(TaskstatsSource()) as it:
        process = subprocess.Popen(
            [sys.executable, "-c", GROW, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        watched(process.pid, it)
        hwm_bytes = int(process.stdout.readline()) * 1024
        process.kill() if threads else let_go(process)
        process.wait()
        learned = it.learned()
        assert learned.peak is not None
        assert learned.peak.how == PeakHow.TASKSTATS
        assert not learned.peak.lower_bound
        assert abs(learned.peak.peak_bytes - hwm_bytes) <= hwm_bytes // 100
        assert it.silent(0.05), "one process, one account"


@needs_taskstats
def test_linux_lays_the_message_out_as_the_filter_reads_it() -> None:
    """The pid at its fixed offset, single and many-threaded; ac_pid agrees with it."""
    with open_taskstats("/sys") as sock:
        process = waiting("exit 3")
        taskstats.narrow(sock, taskstats.taskstats_filter, {process.pid})
        let_go(process)
        process.wait()
        time.sleep(0.02)
        messages, lost = receive(sock)
        assert not lost
        ends = [end for end in (parse_task_end(one.payload) for one in messages) if end]
        assert [(end.tid, end.status_raw) for end in ends] == [(process.pid, 768)]
        assert ends[0].peak_bytes
        assert ends[0].version >= 8


@needs_taskstats
def test_other_processes_are_not_told() -> None:
    with running(TaskstatsSource()) as it:
        process = waiting("exit 0")
        watched(process.pid, it)
        for _ in range(20):
            subprocess.run(["true"], check=True)
        assert it.silent(0.1)
        let_go(process)
        assert it.learned().key.pid == process.pid
        process.wait()


@needs_taskstats
def test_two_hundred_at_once_are_all_told() -> None:
    children = [subprocess.Popen(["sleep", "1000"]) for _ in range(200)]
    with running(TaskstatsSource()) as it:
        for child in children:
            watched_quietly(child.pid, it)
        until(lambda: len(it.source._leaders.pids) == 200)  # type: ignore[attr-defined]
        time.sleep(0.1)
        for child in children:
            child.kill()
        told = {it.learned().key.pid for _ in children}
        for child in children:
            child.wait()
    assert told == {child.pid for child in children}


def watched_quietly(pid: int, it: Running) -> None:
    order = watch(pid)
    os.close(order.pidfd)
    it.source.control(order)


def test_refusals_are_said_with_their_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise PermissionError(1, "no")

    monkeypatch.setattr(taskstats, "open_netlink", refuse)
    with pytest.raises(SourceUnavailable) as told:
        open_taskstats("/sys")
    assert "CAP_NET_ADMIN" in told.value.remedy


SCRIPT = """
from kerneld.errors import SourceUnavailable as U
from kerneld.sources.taskstats import open_taskstats
try: open_taskstats("/sys")
except U as u: print(u.reason, "|", u.remedy)
"""


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("prefix", "word"),
    [
        (["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"], "CAP_NET_ADMIN"),
        (["unshare", "--pid", "--fork"], "pid namespace"),
    ],
    ids=["no-capability", "pid-namespace"],
)
def test_linux_s_own_refusal_is_told(prefix: list[str], word: str) -> None:
    told = subprocess.run(
        [*prefix, sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30
    )
    assert word in told.stdout, told.stderr


@needs_taskstats
def test_a_stop_leaves_no_descriptor() -> None:
    before = open_fds()
    with running(TaskstatsSource()) as it:
        pass
    os.close(it.source._mailbox.fd)  # type: ignore[attr-defined]
    assert open_fds() == before
