"""A path that a user planted is refused at once, whatever it is; root follows nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kerneld.discover.table import FileTable
from kerneld.errors import UnsafeFile
from kerneld.proc import mount_table
from kerneld.proc.files import means_the_same, open_connection_file

CONTENT = b'{"shell_port": 1}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def plain(folder: Path) -> Path:
    path = folder / "kernel-1.json"
    path.write_bytes(CONTENT)
    return path


def symlink(folder: Path) -> Path:
    path = folder / "link.json"
    path.symlink_to("/etc/shadow")
    return path


def linked_folder(folder: Path) -> Path:
    (folder / "real").mkdir()
    plain(folder / "real")
    (folder / "linked").symlink_to(folder / "real")
    return folder / "linked" / "kernel-1.json"


def hard_link(folder: Path) -> Path:
    os.link(plain(folder), folder / "second.json")
    return folder / "second.json"


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo.json")
    return folder / "fifo.json"


def sparse(folder: Path) -> Path:
    path = folder / "sparse.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    return path


def magic_link(folder: Path) -> Path:
    return Path(f"/proc/self/fd/{os.open(plain(folder), os.O_RDONLY)}")


@pytest.mark.parametrize(
    "plant",
    [
        symlink,
        linked_folder,
        hard_link,
        fifo,
        sparse,
        magic_link,
        lambda f: f,
        lambda _: Path("/dev/null"),
    ],
    ids=["symlink", "linked-folder", "hard-link", "fifo", "sparse", "magic-link", "folder", "device"],
)
def test_what_is_no_plain_file_of_the_owner_is_refused_at_once(
    folder: Path, plant: Callable[[Path], Path]
) -> None:
    path = plant(folder)
    began = time.monotonic()
    with pytest.raises(UnsafeFile):
        open_connection_file(str(path), owner_uid=os.getuid())
    assert time.monotonic() - began < 0.5


def test_a_plain_file_of_the_owner_is_opened(folder: Path) -> None:
    fd = open_connection_file(str(plain(folder)), owner_uid=os.getuid())
    assert os.read(fd, 100) == CONTENT
    os.close(fd)


def test_a_file_of_another_owner_is_refused(folder: Path) -> None:
    with pytest.raises(UnsafeFile, match="belongs to uid"):
        open_connection_file(str(plain(folder)), owner_uid=os.getuid() + 1)


@pytest.mark.parametrize("path", ["relative.json", "", "/tmp/a\0b"])
def test_a_path_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafeFile):
        open_connection_file(path, owner_uid=os.getuid())


def test_a_race_between_file_and_link_never_wins(folder: Path) -> None:
    """Renames swap a plain file and a link to a secret; what was opened is never the secret."""
    secret = folder / "secret"
    secret.write_bytes(b"SECRET")
    target, spare = folder / "kernel-1.json", folder / "spare"
    plain(folder)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            spare.symlink_to(secret)
            spare.rename(target)
            spare.write_bytes(CONTENT)
            spare.rename(target)

    thread = threading.Thread(target=swap)
    thread.start()
    opened = 0
    try:
        for _ in range(5000):
            try:
                fd = open_connection_file(str(target), owner_uid=os.getuid())
            except (UnsafeFile, FileNotFoundError):
                continue
            assert os.read(fd, 100) in (CONTENT, b"")
            os.close(fd)
            opened += 1
    finally:
        stop.set()
        thread.join()
    assert opened


def test_the_table_tells_a_new_version_once_and_a_removal_once(folder: Path) -> None:
    path = plain(folder)
    table = FileTable()
    handle = table.number(os.getuid(), str(path))
    first = table.refresh(handle)
    assert first is not None
    os.close(first.fd)
    assert table.refresh(handle) is None
    path.unlink()
    plain(folder).write_bytes(CONTENT + b" ")
    assert table.removal(handle) is None, "rewritten is not removed"
    again = table.refresh(handle)
    assert again is not None
    os.close(again.fd)
    path.unlink()
    removed = table.removal(handle)
    assert removed is not None
    assert abs(removed.at.timestamp() - time.time()) < 5
    assert table.removal(handle) is None
    table.close()


def test_an_empty_file_is_waited_for(folder: Path) -> None:
    """Jupyter's write is not atomic: an empty file is seen before the full one."""
    path = folder / "kernel-2.json"
    path.touch()
    table = FileTable()
    handle = table.number(os.getuid(), str(path))
    assert table.refresh(handle) is None
    path.write_bytes(CONTENT)
    opened = table.refresh(handle)
    assert opened is not None
    os.close(opened.fd)
    table.close()


@pytest.mark.needs_root
def test_a_mount_namespace_is_another_place_only_where_something_else_is_mounted() -> None:
    """A service's sandbox has a namespace of its own, with the host's files in the host's places."""
    path = "/var/tmp/kernel-1.json"
    hold = "mount --make-rprivate / && {} && echo ready && exec sleep 60"
    same, other = (
        subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", hold.format(also)], stdout=subprocess.PIPE, text=True
        )
        for also in ("true", "mount -t tmpfs none /var/tmp")
    )
    try:
        for child in (same, other):
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        assert means_the_same(path, same.pid)
        assert not means_the_same(path, other.pid)
    finally:
        for child in (same, other):
            child.kill()
            child.wait()


@pytest.mark.needs_root
def test_what_is_mounted_after_the_first_look_is_seen_at_the_next(folder: Path) -> None:
    """And what is taken away again; in a mount namespace of its own."""
    program = f"""
import os, subprocess
from kerneld.proc.mount_table import own_mountinfo
place = {str(folder)!r}
seen = [place.encode() in own_mountinfo() for _ in range(2)]
subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
seen += [place.encode() in own_mountinfo() for _ in range(2)]
subprocess.run(["umount", place], check=True)
print(*seen, place.encode() in own_mountinfo())
"""
    shell = 'mount --make-rprivate / && exec "$@"'
    told = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == ["False", "False", "True", "True", "False"], told.stderr


def test_a_table_of_mounts_that_could_not_be_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its change is told once: behind a reading that failed the old one was believed for good."""
    table = mount_table._Table()
    whole = table.read()
    told = iter([[(0, 0)]])

    class Changed:
        """A poll that tells of one change."""

        def poll(self, _: int) -> list[tuple[int, int]]:
            return next(told, [])

    table._change = Changed()  # type: ignore[assignment]
    table._data = b"old"
    with monkeypatch.context() as short:
        short.setattr(os, "read", refuse)
        with pytest.raises(OSError, match="no memory"):
            table.read()
    assert table.read() == whole


def refuse(*_: object) -> bytes:
    raise OSError("no memory")
