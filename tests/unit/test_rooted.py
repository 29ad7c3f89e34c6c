"""Files of another root: opened below it alone; nothing that lies there is trusted or waited for."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

from container import Container
from rig import OTHER, PLAIN

from kerneld.discover.table import FileTable
from kerneld.errors import UnsafeFile
from kerneld.proc.process import boot_id, read_process
from kerneld.proc.rooted import Elsewhere, open_in_root, where

pytestmark = pytest.mark.needs_root

CONTENT = b'{"shell_port": 1}'
HELD = ["sh", "-c", "echo ready; read line; echo again; read line"]
PATH = "/home/kernel-1.json"
# a FUSE filesystem whose server answers nothing: whoever touches it waits for ever
DEAF_FUSE = """
import ctypes, os, sys
os.makedirs("/home/fuse")
fd = os.open("/dev/fuse", os.O_RDWR)
told = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"x", b"/home/fuse", b"fuse", 0, told):
    print("none", flush=True)
else:
    print("ready", flush=True)
sys.stdin.readline()
"""
OVERLAY = (
    "mkdir -p /home/low /home/up /home/work /home/over && "
    "mount -t overlay -o lowerdir=/home/low,upperdir=/home/up,workdir=/home/work none /home/over && "
    "echo ready || echo none; read line; rm /home/over/kernel-1.json; echo again; read line"
)


@dataclass
class Room:
    """A process in a root of its own, seen from outside."""

    container: Container
    pid: int

    def outside(self, path: str) -> Path:
        """As root of the host may write it; nothing in there is followed by the code under test."""
        return Path(f"/proc/{self.pid}/root{path}")

    def plant(self, path: str = PATH, uid: int = PLAIN) -> None:
        self.outside(path).write_bytes(CONTENT)
        os.chown(self.outside(path), uid, uid)

    def place(self, path: str = PATH) -> Elsewhere:
        found = where(path, self.pid, ())
        assert found is not None
        return found

    def open(self, path: str = PATH, uid: int = PLAIN) -> int:
        return open_in_root(path, self.place(path), owner_uid=uid)


@contextmanager
def room(folder: Path, argv: list[str] = HELD, **options: object) -> Iterator[Room]:
    container = Container(folder, argv, **options)  # type: ignore[arg-type]
    try:
        said = container.await_line()
        if said != "ready":
            pytest.skip(f"no such thing here: {said}")
        yield Room(container, container.first)
    finally:
        container.end()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where every user may enter: a user namespace mounts its root there."""
    with tempfile.TemporaryDirectory(prefix="kerneld-test-", dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[Room]:
    with room(folder / "plain", uid=PLAIN) as made:
        yield made


def test_a_file_of_another_root_is_read_there_and_nowhere_else(plain: Room) -> None:
    plain.plant()
    assert not Path(PATH).exists()
    fd = plain.open()
    assert os.read(fd, 100) == CONTENT
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert where(str(Path(__file__)), os.getpid(), ()) is None


def _link_out(room: Room) -> None:
    room.outside(PATH).symlink_to("/etc/passwd")


def _link_folder(room: Room) -> None:
    room.outside("/home/way").symlink_to("/etc")


def _fifo(room: Room) -> None:
    os.mkfifo(room.outside(PATH))
    os.chown(room.outside(PATH), PLAIN, PLAIN)


def _device(room: Room) -> None:
    """Root of a container makes any device; to open one may set a watchdog or rewind a tape."""
    os.mknod(room.outside(PATH), 0o20666, os.makedev(1, 3))
    os.chown(room.outside(PATH), PLAIN, PLAIN)


def _folder(room: Room) -> None:
    room.outside(PATH).mkdir()


def _second_name(room: Room) -> None:
    room.plant()
    os.link(room.outside(PATH), room.outside("/home/second"))


def _of_another(room: Room) -> None:
    room.plant(uid=OTHER)


def _huge(room: Room) -> None:
    room.plant()
    os.truncate(room.outside(PATH), 1 << 40)


HOSTILE: dict[str, tuple[Callable[[Room], None], str, str]] = {
    "link out of the root": (_link_out, PATH, "symbolic link"),
    "folder that is a link": (_link_folder, "/home/way/passwd", "symbolic link"),
    "link of Linux's own": (lambda _: None, "/proc/self/root/etc/passwd", "symbolic link"),
    "FIFO": (_fifo, PATH, "no regular file"),
    "device": (_device, PATH, "no regular file"),
    "folder": (_folder, PATH, "no regular file"),
    "second name": (_second_name, PATH, "second name"),
    "another's": (_of_another, PATH, f"belongs to uid {OTHER}"),
    "a TiB": (_huge, PATH, "has 1099511627776 bytes"),
    "upwards": (lambda _: None, "/home/../etc/passwd", "leads upwards"),
    "very deep": (lambda _: None, "/home" + "/x" * 99, "too long"),
}


@pytest.mark.parametrize(("prepare", "path", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_container_plants_is_refused(
    plain: Room, prepare: Callable[[Room], None], path: str, words: str
) -> None:
    for old in plain.outside("/home").iterdir():
        old.rmdir() if old.is_dir() and not old.is_symlink() else old.unlink()
    prepare(plain)
    with pytest.raises(UnsafeFile, match=words):
        open_in_root(path, plain.place(), owner_uid=PLAIN)


def test_a_missing_file_is_missing(plain: Room) -> None:
    with pytest.raises(FileNotFoundError):
        plain.open("/home/nothing.json")


@pytest.mark.timeout(20)
def test_a_filesystem_that_answers_nothing_is_not_asked(folder: Path) -> None:
    """Not even for the name of a folder below it: this test would hang."""
    with room(folder / "r", [sys.executable, "-c", DEAF_FUSE]) as deaf:
        for path in ("/home/fuse/kernel-1.json", "/home/fuse/deep/kernel-1.json", "/home/fuse"):
            with pytest.raises(UnsafeFile, match=r"stall whoever opens it \(fuse\)"):
                deaf.open(path, uid=0)


def test_an_overlay_of_roots_is_read_and_one_of_a_users_is_not(folder: Path) -> None:
    """A user's own may lie on a FUSE filesystem below."""
    path = "/home/over/kernel-1.json"
    with room(folder / "root", ["sh", "-c", OVERLAY]) as made:
        made.plant(path)
        os.close(made.open(path))
    with (
        room(folder / "user", ["sh", "-c", OVERLAY], user=PLAIN) as made,
        pytest.raises(UnsafeFile, match=r"\(overlay\)"),
    ):
        made.open(path)


def test_root_of_a_user_namespace_is_the_user_that_it_is_outside(folder: Path) -> None:
    with room(folder / "r", user=PLAIN) as mapped:
        subprocess.run(
            ["nsenter", "-t", str(mapped.pid), "-a", "sh", "-c", f"echo {{}} > {PATH}"], check=True
        )
        process = read_process(mapped.pid, boot_id=boot_id(), pidfd_inode=None)
        assert process is not None
        assert (process.uid, process.ns_pid) == (PLAIN, 1)
        os.close(mapped.open(uid=process.uid))
        with pytest.raises(UnsafeFile, match=f"belongs to uid {PLAIN}"):
            mapped.open(uid=0)


def test_a_process_that_is_gone_lets_nobody_in(folder: Path) -> None:
    with room(folder / "r", uid=PLAIN) as left:
        left.plant()
        place = left.place()
        os.kill(left.pid, signal.SIGKILL)
        left.container.process.wait()
        with pytest.raises(UnsafeFile, match="the process is gone"):
            open_in_root(PATH, place, owner_uid=PLAIN)


def test_another_root_is_not_entered_in_its_place(plain: Room, folder: Path) -> None:
    """A pid may be another container's by now, or a process's of the host."""
    with room(folder / "r", uid=PLAIN) as other:
        for pid in (other.pid, os.getpid()):
            with pytest.raises(UnsafeFile, match="no process with its root is left"):
                open_in_root(PATH, Elsewhere(plain.place().root, (pid,)), owner_uid=PLAIN)
        plain.plant()
        os.close(
            open_in_root(PATH, Elsewhere(plain.place().root, (other.pid, plain.pid)), owner_uid=PLAIN)
        )


def test_two_containers_with_one_path_have_two_files(plain: Room, folder: Path) -> None:
    """The same inner pid, the same user, the same path; and another user's, and the host's own."""
    plain.plant()
    with room(folder / "same", uid=PLAIN) as same, room(folder / "other", uid=OTHER) as other:
        same.outside(PATH).write_bytes(b"same")
        os.chown(same.outside(PATH), PLAIN, PLAIN)
        other.plant(uid=OTHER)
        with closing(FileTable()) as table:
            found = []
            for each in (plain, same, other):
                process = read_process(each.pid, boot_id=boot_id(), pidfd_inode=None)
                assert process is not None
                assert process.ns_pid == 1
                found.append(table.find(process, PATH, ()))
            assert all(one.is_elsewhere and not one.problem for one in found)
            handles = [one.handle for one in found]
            assert len({*handles, table.number(PLAIN, PATH)}) == 4
            opened = [table.refresh(handle) for handle in handles]
            texts = [os.read(one.fd, 100) for one in opened if one]
            assert texts == [CONTENT, b"same", CONTENT]
            for one in opened:
                os.close(one.fd if one else -1)


def test_a_removal_inside_is_seen_outside(folder: Path) -> None:
    with room(folder / "r", ["sh", "-c", OVERLAY]) as over, closing(FileTable()) as table:
        path = "/home/over/kernel-1.json"
        over.plant(path, uid=0)
        process = read_process(over.pid, boot_id=boot_id(), pidfd_inode=None)
        assert process is not None
        handle = table.find(process, path, ()).handle
        opened = table.refresh(handle)
        assert opened is not None
        os.close(opened.fd)
        assert table.removal(handle) is None
        assert over.container.process.stdin is not None
        over.container.process.stdin.write("go\n")
        over.container.process.stdin.flush()
        assert over.container.await_line() == "again"
        assert table.removal(handle) is not None
