"""The /dev/shm of a process: found by its mounts, entered where it is safe, remembered as it fills."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kerneld.parse.mounts import mount_at
from kerneld.proc.shm import open_shm, room
from kerneld.sources import shm_history
from kerneld.sources.shm_history import ShmHistory

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TMPFS = b"36 35 0:23 / /dev/shm rw,nosuid shared:5 - tmpfs tmpfs rw\n"
OVER = b"40 36 0:99 / /dev/shm rw - fuse.sshfs evil rw\n"
OWN = "mount -t tmpfs -o size=1m tmpfs /dev/shm && echo mounted && exec sleep 60"


@pytest.mark.parametrize(
    ("mountinfo", "device"),
    [
        (TMPFS, (0, 23)),
        (TMPFS + OVER, None),
        (OVER + TMPFS, (0, 23)),
        (b"36 35 0:23 / /dev/shm\\040x rw - tmpfs tmpfs rw\n", None),
        (b"36 35 x:y / /dev/shm rw - tmpfs tmpfs rw\n", None),
        (b"36 35 0:23 / /dev/shm", None),
        (b"", None),
    ],
    ids=["a tmpfs", "covered by another", "mounted over", "a longer name", "no number", "cut", "none"],
)
def test_what_is_mounted_last_counts(mountinfo: bytes, device: tuple[int, int] | None) -> None:
    assert mount_at(mountinfo, "/dev/shm", kind="tmpfs") == device


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("options", "size"), [(["-m"], 1 << 20), (["-m", "-U", "-r"], None)], ids=["mount", "user"]
)
def test_another_namespaces_is_entered_only_where_no_user_can_mount(
    options: list[str], size: int | None
) -> None:
    argv = ["unshare", *options, "sh", "-c", OWN]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "mounted\n":
                pytest.skip("no such namespace here")
            fd = open_shm(process.pid)
            assert (fd is None) is (size is None)
            if fd is not None:
                assert room(fd)[0] == size
                os.close(fd)
        finally:
            process.kill()


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert open_shm(1, proc_root=str(tmp_path)) is None


def test_the_least_room_of_the_last_two_seconds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process held is free again when its death is told."""
    free = iter([0, 500, 3, 900, 1])
    monkeypatch.setattr(shm_history, "room", lambda _: (1000, next(free)))
    history = ShmHistory(os.open("/", os.O_PATH))
    for at_s in (7.0, 8.5, 9.9):
        history.sample(at_s)
    seen = history.fullest(10.0, NOW, 10.01)
    later = history.fullest(10.0, NOW, 15.0)
    history.close()
    assert seen is not None
    assert (seen.size_bytes, seen.free_bytes) == (1000, 3)
    assert later == seen, "what others do later is another story"
    assert (NOW - seen.at).total_seconds() == pytest.approx(0.1)
