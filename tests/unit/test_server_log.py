"""What a server's log tells of a kernel's end: of that kernel and that life alone."""

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kerneld.parse.server_log import Asked, parse_server_log
from kerneld.sources.server_log import open_log

ID = "5b6ecd8d-a6f5-4d2e-a8d1-6a1f5d6b4a3c"
BORN = datetime(2026, 11, 27, 8, 49, 20, tzinfo=UTC)
ASKED = Asked(ID, 4242, BORN)


def stamped(said: str, *, seconds: float = 5, level: str = "I") -> str:
    at = BORN + timedelta(seconds=seconds)
    return f"[{level} {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} ServerApp] {said}\n"


def deeds(text: str) -> list[str]:
    return [act.did for act in parse_server_log(text, ASKED, zone=UTC)]


SAID = {
    "culled": f"Culling 'idle' kernel 'python3' ({ID}) with 0 connections due to 3 seconds of "
    "inactivity.",
    "shut-down": f"Kernel shutdown: {ID}",
    "restarted": f"Kernel restarted: {ID}",
    "autorestarted": f"kernel {ID} restarted",
}


@pytest.mark.parametrize(("did", "said"), SAID.items(), ids=SAID)
def test_what_was_asked_of_the_server(did: str, said: str) -> None:
    [act] = parse_server_log(stamped(said, level="W"), ASKED, zone=UTC)
    assert (act.did, act.kernel_id, act.manager) == (did, ID, "jupyter")
    assert act.at == BORN + timedelta(seconds=5)
    assert deeds(stamped(said.replace(ID[:8], "00000000"))) == [], "another kernel's"
    assert deeds(stamped(said, seconds=-5)) == [], "an earlier life's"
    assert deeds(f"{said}\n") == [], "no line of the server's"
    assert deeds(stamped(f"x {said}")) == []


def traceback(last: str, *frames: str) -> str:
    return "Traceback (most recent call last):\n" + "".join(f"{line}\n" for line in (*frames, last))


REASONS = {
    "no ipykernel": (
        "/usr/bin/python3: No module named ipykernel_launcher\n",
        "there is no module ipykernel_launcher",
    ),
    "a dependency": (
        traceback("ModuleNotFoundError: No module named 'zmq.backend'"),
        "there is no module zmq.backend",
    ),
    "a broken one": (
        traceback("ImportError: cannot import name 'Namespace' from 'traitlets'"),
        "a package could not be imported: traitlets",
    ),
    "a missing library": (
        traceback("ImportError: libzmq.so.5: cannot open shared object file: No such file"),
        "a compiled package could not be loaded",
    ),
    "a port": (
        traceback("zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:37001')"),
        "one of its ports was in use",
    ),
    "a full disk": (traceback("OSError: [Errno 28] No space left on device"), "the disk was full"),
    "a hidden module": (
        traceback(
            "ImportError: hidden",
            '  File "/usr/lib/python3.11/tempfile.py", line 45, in <module>',
            "    from random import Random as _Random",
            '  File "/home/ana/notebooks/random.py", line 4, in <module>',
            "    raise ImportError('hidden')",
        ),
        "random.py hides Python's own module of that name",
    ),
    "a module of a package that is only called so": (
        traceback(
            "OSError: [Errno 28] No space left on device",
            '  File "/home/ana/project/shop/main.py", line 1, in <module>',
            "    from shop import random",
            '  File "/home/ana/project/shop/random.py", line 4, in <module>',
        ),
        "the disk was full",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REASONS.values(), ids=REASONS)
def test_why_a_start_failed(text: str, reason: str) -> None:
    [act] = parse_server_log(stamped("Kernel started: x", seconds=0) + text, ASKED, zone=UTC)
    assert (act.did, act.pid, act.line) == ("start-failed", 4242, reason)
    assert parse_server_log(text + stamped("later", seconds=-5), ASKED, zone=UTC) == (), (
        "of another start"
    )


def test_the_next_starts_last_words_are_not_this_ones() -> None:
    before, own, after = (REASONS[name] for name in ("a port", "no ipykernel", "a hidden module"))
    text = (
        stamped("Kernel started: x", seconds=-0.9) + before[0]
        + stamped("AsyncIOLoopKernelRestarter: restarting kernel (1/5), new random ports", seconds=0)
        + own[0]
        + stamped("AsyncIOLoopKernelRestarter: restarting kernel (2/5), new random ports", seconds=3)
        + after[0]
    )  # fmt: skip
    [act] = parse_server_log(text, ASKED, zone=UTC)
    assert act.line == own[1]


@given(some.text(max_size=400))
def test_any_text_costs_nothing(text: str) -> None:
    parse_server_log(text, ASKED, zone=UTC)


@pytest.mark.parametrize(
    "stamp", ["2026-99-99 08:49:25.123", "9999-12-31 23:59:59.999", "٢٠٢٦-11-27 08:49:25.123"]
)
def test_a_stamp_that_is_no_time_is_no_crash(stamp: str) -> None:
    """The process that reads this hears all notebooks."""
    for line in (f"Kernel shutdown: {ID}\n", "x\n" + traceback("OSError: [Errno 28] x")):
        parse_server_log(f"[I {stamp} ServerApp] {line}", ASKED, zone=timezone(timedelta(hours=-9)))


def test_a_long_line_of_quotes_takes_no_time() -> None:
    assert deeds(stamped("Culling '" + "' kernel '" * 30_000)) == []


@pytest.mark.parametrize("what", ["a pipe", "a folder", "another user's file"])
def test_only_a_regular_file_of_the_servers_user_is_opened(tmp_path: Path, what: str) -> None:
    (tmp_path / "1/fd").mkdir(parents=True)
    target = tmp_path / "target"
    if what == "a pipe":
        os.mkfifo(target)
    elif what == "a folder":
        target.mkdir()
    else:
        target.touch()
    (tmp_path / "1/fd/2").symlink_to(target)
    owner = os.geteuid() + (what == "another user's file")
    assert open_log(1, owner, proc_root=str(tmp_path)) is None


def test_the_servers_own_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "1/fd").mkdir(parents=True)
    (tmp_path / "server.log").write_text("said")
    (tmp_path / "1/fd/2").symlink_to(tmp_path / "server.log")
    fd = open_log(1, os.geteuid(), proc_root=str(tmp_path))
    assert fd is not None
    with open(fd) as log:
        assert log.read() == "said"
    assert open_log(2, os.geteuid(), proc_root=str(tmp_path)) is None
