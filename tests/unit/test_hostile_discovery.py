"""One user's folders, files and ports without end: the others' share of discovery stays theirs."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from dying import is_zombie, until

from kerneld.discover.folders import MAX_FOLDERS_OF_USER, MAX_WATCHES_OF_USER, Folders
from kerneld.discover.known import FILES_PER_KERNEL, PROCESSES_PER_KERNEL, Known
from kerneld.discover.ports import Ports
from kerneld.discover.scan import ProcessScan
from kerneld.discover.table import FileTable
from kerneld.model.effects import FindListener, ProbePorts
from kerneld.model.process import Connection, Process
from kerneld.proc.files import is_own_folder, means_the_same
from kerneld.proc.process import boot_id, read_process

UID = os.getuid()


@pytest.fixture
def folders() -> Iterator[Folders]:
    made = Folders(lambda: None)
    made.start()
    yield made
    made.stop()


def told(folders: Folders, path: Path, deadline_s: float = 5) -> bool:
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if (UID, str(path)) in set(folders.changed()):
            return True
        time.sleep(0.01)
    return False


def a_process(pid: int) -> Process:
    process = read_process(pid, boot_id=boot_id(), pidfd_inode=None)
    assert process is not None
    return process


def connection(shell: int, iopub: int) -> Connection:
    ports = {"shell_port": shell, "iopub_port": iopub, "stdin_port": 1, "control_port": 1, "hb_port": 1}
    return Connection(
        transport="tcp",
        ip="127.0.0.1",
        **ports,
        signature_scheme="hmac-sha256",
        kernel_name="",
        key_digest="",
    )


def test_files_that_are_gone_keep_no_number(tmp_path: Path) -> None:
    """Each removal of a file unknown by then took one of its user's 256 numbers, for ever."""
    table = FileTable()
    for number in range(1000):
        assert table.open_named(UID, str(tmp_path / f"kernel-{number}.json")) is None
    assert table.of_user == Counter()


def test_a_file_that_a_process_names_keeps_its_number_while_it_is_not_there(tmp_path: Path) -> None:
    table = FileTable()
    path = str(tmp_path / "kernel-1.json")
    handle = table.number(UID, path)
    assert table.open_named(UID, path) is None
    assert table.number(UID, path) == handle


def test_a_folder_that_comes_back_is_watched_again(folders: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "runtime"
    for name in ("kernel-a.json", "kernel-b.json"):
        folder.mkdir()
        folders.look(UID, [str(folder)])
        (folder / name).write_text("{}")
        assert told(folders, folder / name)
        (folder / name).unlink()
        folder.rmdir()
        folders.look(UID, [])


def test_a_folder_that_was_made_anew_between_two_looks_is_watched(
    folders: Folders, tmp_path: Path
) -> None:
    folder = tmp_path / "runtime"
    folder.mkdir()
    folders.look(UID, [str(folder)])
    folder.rmdir()
    folder.mkdir()
    until = time.monotonic() + 5
    while not folders._gone and time.monotonic() < until:
        time.sleep(0.01)
    folders.look(UID, [str(folder)])
    assert set(folders.changed()) == set()
    (folder / "kernel-1.json").write_text("{}")
    assert told(folders, folder / "kernel-1.json")


def test_folders_that_come_and_go_never_end_the_discovery(folders: Folders, tmp_path: Path) -> None:
    """A folder that vanished between the look at it and its watch raised in the source's thread."""
    folder = tmp_path / "flapping"
    stop = threading.Event()

    def flap() -> None:
        while not stop.is_set():
            folder.mkdir()
            folder.rmdir()

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        for _ in range(300):
            folders.look(UID, [str(folder)])
    finally:
        stop.set()
        thread.join()
    folder.mkdir()
    (folder / "kernel-1.json").write_text("{}")
    # what the last folder before it left behind may be told late: a look or two later it is forgotten
    until = time.monotonic() + 10
    while not told(folders, folder / "kernel-1.json", deadline_s=0.1) and time.monotonic() < until:
        folders.look(UID, [str(folder)])
    (folder / "kernel-2.json").write_text("{}")
    assert told(folders, folder / "kernel-2.json")


def test_a_user_has_so_many_watches_and_folders(folders: Folders, tmp_path: Path) -> None:
    before = threading.active_count()
    for number in range(3 * MAX_FOLDERS_OF_USER):
        (tmp_path / str(number)).mkdir()
        folders.add(str(tmp_path / str(number)), UID)
    assert threading.active_count() - before <= 2 * MAX_WATCHES_OF_USER
    (tmp_path / str(MAX_FOLDERS_OF_USER - 1) / "kernel-1.json").write_text("{}")
    folders.look(UID, [])
    assert told(folders, tmp_path / str(MAX_FOLDERS_OF_USER - 1) / "kernel-1.json"), "it is listed"


@pytest.mark.parametrize("place", ["link", "link/inside", "file", "missing", "/proc/self/cwd"])
def test_no_link_and_no_file_is_a_folder_of_kernels(tmp_path: Path, place: str) -> None:
    (tmp_path / "real" / "inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    assert is_own_folder(str(tmp_path / "real" / "inside"), UID)
    assert not is_own_folder(str(tmp_path / place), UID)


@pytest.fixture
def sleepers() -> Iterator[list[Process]]:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2 * PROCESSES_PER_KERNEL)]
    yield [a_process(child.pid) for child in children]
    for child in children:
        child.kill()
        child.wait()


def is_full(known: Known, files: int = 0) -> bool:
    return known.is_one_too_many(os.getpid(), files=Counter({UID: files}), proc_root="/proc")


def test_a_users_processes_have_a_share_of_their_own(sleepers: list[Process]) -> None:
    """1,500 forks that named one and the same file were 1,500 descriptors and 1,500 kernels."""
    known = Known(max_kernels_per_user=2)
    for process in sleepers:
        assert not is_full(known)
        known.put(process, b"", 1)
    assert is_full(known)
    known.drop(sleepers[0].pid)
    assert not is_full(known)


def test_the_dead_take_no_share_reaped_or_not(sleepers: list[Process]) -> None:
    """A file keeps its number for a minute: 300 short notebooks in that time were 44 too many."""
    known = Known(max_kernels_per_user=2)
    for handle, process in enumerate(sleepers[:2]):
        known.put(process, b"", handle)
    assert is_full(known)
    os.kill(sleepers[0].pid, signal.SIGKILL)
    until(lambda: is_zombie(sleepers[0].pid))
    until(lambda: not is_full(known, files=2 * FILES_PER_KERNEL - 1), deadline_s=2)
    assert is_full(known, files=2 * FILES_PER_KERNEL), "what the dead left is limited too"


def test_a_scan_gives_way_between_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerneld.discover.scan.READS_A_BREATH", 4)
    pieces = list(ProcessScan().look())
    assert len(pieces) >= 2


def test_a_listener_is_heard_beside_a_thousand_that_never_listen() -> None:
    """Each is asked in turn, the newest first, and a turn ends although it is not through."""
    ports = Ports("/proc")
    silent = connection(1, 2)
    crowd = a_process(os.getpid()).key
    for number in range(1000):
        ports.find(FindListener(number, silent, UID))
    with (
        socket.create_server(("127.0.0.1", 0)) as shell,
        socket.create_server(("127.0.0.1", 0)) as iopub,
    ):
        list(ports.listeners())
        heard = connection(shell.getsockname()[1], iopub.getsockname()[1])
        ports.probe(ProbePorts(crowd, heard))
        ports.find(FindListener(5000, heard, UID))
        began = time.thread_time()
        found = list(ports.listeners())
        assert time.thread_time() - began < 0.5
        assert found == [(5000, os.getpid())]
        assert [key for _, key, heard in ports.looked() if heard] == [crowd]


MOUNTS = """
import ctypes, os, sys
uid = os.getuid()
libc = ctypes.CDLL(None)
if libc.unshare(0x10020000):
    sys.exit(77)
for number in range(8000):
    libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
print("mounted", flush=True)
sys.stdin.read()
"""


def test_a_users_own_mounts_are_not_read_without_end() -> None:
    """12,000 mounts on one point took the discovery 2 s for each process that had them."""
    with subprocess.Popen(
        [sys.executable, "-c", MOUNTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            pytest.skip("no user namespaces here")
        began = time.thread_time()
        assert not means_the_same("/tmp/kernel-1.json", process.pid)
        assert time.thread_time() - began < 0.5
        process.kill()
