"""`kerneld demo` as root and as a plain user: the right incident in time, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from memcg import MemoryCgroup
from rig import Person, Restricted, World, children, is_running, wait_for

from kerneld.demo.memory_cgroup import LIMIT_BYTES

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(120)]
IN_TIME_S = 20.0
DEMO = [sys.executable, "-m", "kerneld", "demo"]
CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    try:
        with Restricted():
            yield made
    finally:
        made.remove()


class Demo:
    """One run, and every process that it was seen to start."""

    def __init__(self, person: Person, **environ: str) -> None:
        self.person = person
        self.before = _tree(person.home)
        self.seen: set[int] = set()
        self.began_s = time.monotonic()
        self.process = person.popen(
            DEMO,
            env=person.environ() | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def look(self) -> None:
        todo = [self.process.pid]
        while todo:
            try:
                found = set(children(todo.pop()))
            except (FileNotFoundError, ProcessLookupError):
                continue
            todo += found - self.seen
            self.seen |= found

    def finish(self) -> tuple[str, str]:
        """Output and errors, once it has ended; who it started is noted on the way."""
        while self.process.poll() is None:
            self.look()
            time.sleep(0.05)
        self.took_s = time.monotonic() - self.began_s
        return self.process.communicate()

    def kernel(self) -> int | None:
        self.look()
        return next((pid for pid in self.seen if b"ipykernel_launcher" in _argv(pid)), None)

    def assert_nothing_is_left(self) -> None:
        assert self.seen, "it started processes"
        assert not [pid for pid in self.seen if is_running(pid)]
        assert _tree(self.person.home) == self.before
        assert not _cgroups(self.process.pid)


def _argv(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _tree(home: Path) -> set[Path]:
    return set(home.rglob("*"))


def _cgroups(pid: int) -> list[Path]:
    return [found for root in CGROUPS if (found := root / f"kerneld-demo-{pid}").exists()]


@pytest.mark.needs_memcg
@pytest.mark.needs_kmsg
def test_root_sees_memory_run_out(world: World) -> None:
    demo = Demo(world.root)
    page, errors = demo.finish()
    assert demo.process.returncode == 0, errors
    assert demo.took_s <= IN_TIME_S
    assert page.startswith("demo/demo.ipynb ran out of memory")
    assert re.search(r"incident \d+, certain\n", page), "others may die meanwhile"
    assert re.search(
        r"^Cell \[1\] had run for \d+\.\d s when the kernel reached the 300 MiB", page, re.M
    )
    assert "large_list.append(np.random.rand(1000))" in page
    assert page.endswith("To record your own kernels: kerneld run\n")
    assert errors == "", "progress is for terminals"
    demo.assert_nothing_is_left()


def test_a_user_without_a_scope_sees_a_segfault_and_why(world: World) -> None:
    demo = Demo(world.plain)
    page, errors = demo.finish()
    assert demo.process.returncode == 0, errors
    assert demo.took_s <= IN_TIME_S
    assert page.startswith("demo/demo.ipynb crashed in compiled code (segfault)")
    assert "   4  ctypes.string_at(0)" in page
    assert "It was a segfault and not the memory, because " in page
    demo.assert_nothing_is_left()


def _systemd_run(folder: Path, before_exec: str) -> dict[str, str]:
    """A `systemd-run` that starts the command in place, as one with --scope does."""
    folder.mkdir(mode=0o755)
    script = folder / "systemd-run"
    script.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\n{before_exec}\nexec "$@"\n'
    )
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.needs_memcg
def test_a_user_with_a_scope_sees_memory_run_out(world: World) -> None:
    """The scope is a real cgroup with a real limit; only who made it is the test instead of systemd."""
    with MemoryCgroup("demo-scope", LIMIT_BYTES) as cgroup:
        members = cgroup.folder / "cgroup.procs"
        os.chown(members, world.plain.uid, world.plain.uid)
        demo = Demo(world.plain, **_systemd_run(world.folder / "scope", f"echo $$ >{members}"))
        page, errors = demo.finish()
        assert demo.process.returncode == 0, errors
        assert page.startswith("demo/demo.ipynb probably ran out of memory")
        assert "a segfault" not in page
        demo.assert_nothing_is_left()


def test_a_limit_that_is_not_in_force_is_found_out(world: World) -> None:
    """A systemd-run that promises a limit and sets none must not cost the machine its memory."""
    demo = Demo(world.plain, **_systemd_run(world.folder / "no-scope", "true"))
    page, errors = demo.finish()
    assert demo.process.returncode == 0, errors
    assert "crashed in compiled code (segfault)" in page
    assert "its memory limit is not in force" in " ".join(page.split())
    demo.assert_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("moment", ["recorder", "kernel", "death"])
def test_stopped_on_the_way_it_leaves_nothing(world: World, moment: str, number: int) -> None:
    demo = Demo(world.root)
    moments = {
        "recorder": lambda: demo.look() or len(demo.seen) > 0,
        "kernel": lambda: demo.kernel() is not None,
        "death": lambda: (pid := demo.kernel()) is not None and not is_running(pid),
    }
    if moment == "death":
        wait_for(moments["kernel"], 15, "the demo's kernel")
        pid = demo.kernel()
        assert pid is not None
        wait_for(lambda: not is_running(pid), 15, "its death")
    else:
        wait_for(moments[moment], 15, moment)
    demo.process.send_signal(number)
    page, errors = demo.finish()
    assert demo.process.returncode == -number
    assert "Traceback" not in errors
    assert page == ""
    demo.assert_nothing_is_left()


def test_killed_it_leaves_no_process(world: World) -> None:
    """SIGKILL can't be answered: a folder stays, and an empty cgroup; no daemon and no kernel."""
    demo = Demo(world.root)
    wait_for(lambda: demo.kernel() is not None, 15, "the demo's kernel")
    demo.process.kill()
    demo.process.wait()
    wait_for(lambda: not any(is_running(pid) for pid in demo.seen), 10, "its children are gone")
    for cgroup in _cgroups(demo.process.pid):
        cgroup.rmdir()


def test_without_a_kernel_that_starts_it_says_what_to_install(world: World, tmp_path: Path) -> None:
    broken = world.folder / "broken"
    broken.mkdir(mode=0o755)
    (broken / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')\n")
    demo = Demo(world.plain, PYTHONPATH=str(broken))
    page, errors = demo.finish()
    assert demo.process.returncode == 1
    assert page == ""
    assert errors.count("\n") == 1
    assert "no kernel today" in errors
    assert "pip install 'kerneld[demo]'" in errors
    demo.assert_nothing_is_left()


def test_a_broken_kernelspec_is_passed_over_for_the_next(world: World) -> None:
    share = world.folder / "share"
    spec = share / "kernels" / "python3"
    spec.mkdir(mode=0o755, parents=True)
    words = ["/bin/sh", "-c", "echo gone with the environment; exit 1", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": words}))
    demo = Demo(world.root, JUPYTER_PATH=str(share))
    page, errors = demo.finish()
    assert demo.process.returncode == 0, errors
    assert re.search(r"incident \d+, ", page)
    demo.assert_nothing_is_left()


def test_root_runs_nothing_that_another_user_can_write(world: World) -> None:
    """A kernelspec is a command line: a user's, found on the way, is not for root to start."""
    share = world.folder / "planted"
    spec = share / "kernels" / "python3"
    spec.mkdir(mode=0o755, parents=True)
    proof = world.folder / "planted-ran"
    words = ["/usr/bin/touch", str(proof), "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": words}))
    os.chown(spec / "kernel.json", world.plain.uid, world.plain.uid)
    demo = Demo(world.root, JUPYTER_PATH=str(share))
    _, errors = demo.finish()
    assert demo.process.returncode == 0, errors
    assert not proof.exists()
