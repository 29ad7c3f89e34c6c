"""proc.pidfd: identity, life and status of real processes."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from dying import ENDS, is_zombie, key_of, let_go, until, waiting

from kerneld.proc.pidfd import (
    Life,
    ZombieStatus,
    exit_info,
    is_alive,
    is_reaped,
    is_still,
    life_of,
    open_pidfd,
    pidfd_inode,
    zombie_status,
)


@pytest.fixture
def sleeper():  # type: ignore[no-untyped-def]
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = open_pidfd(process.pid)
    yield process, pidfd
    os.close(pidfd)
    process.kill()
    process.wait()


def test_a_pidfd_is_closed_on_exec(sleeper) -> None:  # type: ignore[no-untyped-def]
    assert os.get_inheritable(sleeper[1]) is False


def test_a_pidfd_of_nobody_is_refused(sleeper) -> None:  # type: ignore[no-untyped-def]
    process, _ = sleeper
    process.kill()
    process.wait()
    with pytest.raises(ProcessLookupError):
        open_pidfd(process.pid)


def test_an_inode_is_the_process_s_own_or_none(sleeper) -> None:  # type: ignore[no-untyped-def]
    process, pidfd = sleeper
    again, mine = open_pidfd(process.pid), open_pidfd(os.getpid())
    one, same, other = pidfd_inode(pidfd), pidfd_inode(again), pidfd_inode(mine)
    os.close(again)
    os.close(mine)
    assert one == same
    assert one is None or one != other


def test_what_is_no_pidfd_has_no_inode_and_no_exit() -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    assert pidfd_inode(null) is None
    assert exit_info(null) is None
    os.close(null)


@pytest.mark.parametrize("end", ENDS)
def test_life_zombie_and_reap(end: str, tmp_path: Path) -> None:
    code, status = ENDS[end]
    process = waiting(code, tmp_path)
    pidfd, key = open_pidfd(process.pid), key_of(process.pid)
    try:
        assert is_alive(pidfd)
        assert is_still("/proc", key)
        assert life_of("/proc", key) is Life.ALIVE
        assert zombie_status("/proc", key, pidfd) is None
        assert exit_info(pidfd) is None
        let_go(process)
        until(lambda: is_zombie(process.pid))
        assert not is_alive(pidfd)
        assert not is_still("/proc", key)
        assert not is_reaped(pidfd)
        assert life_of("/proc", key) is Life.ENDED
        zombie = zombie_status("/proc", key, pidfd)
        assert zombie is not None
        assert (zombie.status_raw & ~0x80, zombie.proven) == (status, True)
        assert exit_info(pidfd) is None
        process.wait()
        assert is_reaped(pidfd)
        assert zombie_status("/proc", key, pidfd) is None
        info = exit_info(pidfd)
        assert info is None or info.status_raw == zombie.status_raw
    finally:
        os.close(pidfd)


def test_another_start_tick_is_another_process() -> None:
    process = waiting("exit 3")
    pidfd = open_pidfd(process.pid)
    key = key_of(process.pid)
    other = key.model_copy(update={"start_ticks": key.start_ticks + 1})
    assert not is_still("/proc", other)
    let_go(process)
    until(lambda: is_zombie(process.pid))
    assert zombie_status("/proc", key, pidfd) == ZombieStatus(768, True)
    assert zombie_status("/proc", other, pidfd) is None
    process.wait()
    os.close(pidfd)


def test_another_inode_is_another_process(sleeper) -> None:  # type: ignore[no-untyped-def]
    process, pidfd = sleeper
    key = key_of(process.pid, pidfd)
    assert is_still("/proc", key)
    if key.pidfd_inode is not None:
        assert not is_still("/proc", key.model_copy(update={"pidfd_inode": key.pidfd_inode + 1}))


def test_a_comm_that_imitates_the_rest_of_stat_is_no_zombie(tmp_path: Path) -> None:
    """Hostile: a program named `x) Z 1 1 1` is alive whatever its name says."""
    program = tmp_path / "x) Z 1 1 1"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "1000"])
    until(lambda: b"x) Z" in Path(f"/proc/{process.pid}/stat").read_bytes())
    key = key_of(process.pid)
    assert life_of("/proc", key) is Life.ALIVE
    process.kill()
    process.wait()


def test_a_process_whose_main_thread_left_lingers() -> None:
    child = os.fork()
    if child == 0:
        threading.Thread(target=time.sleep, args=(1000,)).start()
        import ctypes

        ctypes.CDLL(None).pthread_exit(None)
    key, pidfd = key_of(child), open_pidfd(child)
    until(lambda: life_of("/proc", key) is Life.LINGERING)
    assert is_alive(pidfd)
    os.kill(child, signal.SIGKILL)
    until(lambda: life_of("/proc", key) is Life.ENDED)
    assert zombie_status("/proc", key, pidfd) == ZombieStatus(signal.SIGKILL, True)
    os.waitpid(child, 0)
    os.close(pidfd)
