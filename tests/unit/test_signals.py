"""The signal trace: its text parsed, and the sender of real signals named."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dying import Running, running, until, watch
from hypothesis import given
from hypothesis import strategies as st

from kerneld.errors import SourceUnavailable
from kerneld.model.records import SignalSent
from kerneld.parse.signals import MAX_RECORD_BYTES, parse_trace
from kerneld.proc import tracefs
from kerneld.proc.tracefs import instances, tracefs_root
from kerneld.sources import signals
from kerneld.sources.signals import SignalSource
from kerneld.sources.source import Outlet

CAPTURED = Path(__file__).parent.parent / "captured/trace"
MOUNT = "/sys/kernel/tracing"


def traced() -> bytes:
    """A trace pipe's bytes, without the header that says where they are from."""
    return (CAPTURED / "signals-6.18.txt").read_bytes().split(b"\n", 2)[2]


def test_a_captured_trace_is_read_whole() -> None:
    parsed = parse_trace(traced())
    assert [(s.sender_comm, s.number, s.code, s.delivered) for s in parsed.signals] == [
        ("bash", 9, 0, True),
        ("a pid=1 (\n) \x1b", 15, 0, True),
        ("python3", 9, 0, True),
        ("python3", 9, 128, True),
    ]
    assert (parsed.lost, parsed.rest) == (0, b"")


@pytest.mark.parametrize("size", [1, 7, 64])
def test_records_that_come_in_pieces_are_the_same(size: int) -> None:
    data, rest, found = traced(), b"", []
    for start in range(0, len(data), size):
        parsed = parse_trace(rest + data[start : start + size])
        rest = parsed.rest
        found += parsed.signals
    assert tuple(found) == parse_trace(data).signals


def test_lost_events_are_counted() -> None:
    parsed = parse_trace(b"CPU:1 [LOST 37 EVENTS]\n" + traced())
    assert (parsed.lost, len(parsed.signals)) == (37, 4)


NAMES = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)


@given(sender=NAMES, target=NAMES, pid=st.integers(1, 1 << 22), code=st.integers(-60, 128))
def test_no_name_shifts_or_forges_a_record(sender: bytes, target: bytes, pid: int, code: int) -> None:
    """trace_print_context pads the name to 16 columns; it is printed as it is."""
    record = (
        sender.rjust(16) + b"-4242    [001] d..1.  1897.900716: signal_generate: sig=9 errno=0 "
        b"code=%d comm=%s pid=%d grp=1 res=0\n" % (code, target, pid)
    )
    (found,) = parse_trace(record).signals
    assert (found.pid, found.code, found.sender_tid, found.number) == (pid, code, 4242, 9)


@given(st.binary(max_size=2000))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    assert len(parse_trace(data).rest) <= MAX_RECORD_BYTES


def test_a_flood_without_a_record_takes_no_time() -> None:
    began = time.process_time()
    parse_trace(b" -1 [" * 200_000)
    assert time.process_time() - began < 1


# ---------------------------------------------------------------- the source, on real signals


@pytest.fixture
def mounted() -> Iterator[str]:
    was = tracefs_root()
    if was is None:
        subprocess.run(["mount", "-t", "tracefs", "nodev", MOUNT], check=True)
    yield was or MOUNT
    if was is None:
        subprocess.run(["umount", MOUNT], check=True)


def watching(it: Running, pid: int) -> None:
    order = watch(pid)
    os.close(order.pidfd)
    it.source.control(order)
    until(lambda: pid in it.source._watched)  # type: ignore[attr-defined]


def asleep() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.mark.needs_root
def test_the_sender_of_a_signal_is_named(mounted: str) -> None:
    target = asleep()
    with running(SignalSource()) as it:
        watching(it, target.pid)
        os.kill(target.pid, signal.SIGTERM)
        sent = it.next()
        target.wait()
    assert isinstance(sent, SignalSent)
    assert (sent.pid, sent.signal, sent.by_linux) == (target.pid, 15, False)
    assert (sent.sender_pid, sent.sender_uid) == (os.getpid(), os.getuid())
    assert abs(sent.at.timestamp() - time.time()) < 5
    assert f"kerneld-{os.getpid()}" not in instances(mounted), "its instance goes with it"


@pytest.mark.needs_root
def test_a_thread_that_sends_is_known_as_its_process(mounted: str) -> None:
    target = asleep()
    with running(SignalSource()) as it:
        watching(it, target.pid)
        told = threading.Event()
        thread = threading.Thread(target=lambda: (os.kill(target.pid, signal.SIGKILL), told.wait()))
        thread.start()
        sent = it.next()
        told.set()
        thread.join()
        target.wait()
    assert isinstance(sent, SignalSent)
    assert sent.sender_pid == os.getpid()


@pytest.mark.needs_root
def test_what_a_killed_daemon_left_is_removed(mounted: str) -> None:
    gone = asleep()
    gone.kill()
    gone.wait()
    tracefs.make_instance(mounted, f"kerneld-{gone.pid}")
    with running(SignalSource()):
        assert f"kerneld-{os.getpid()}" in instances(mounted)
    assert f"kerneld-{gone.pid}" not in instances(mounted)


def test_without_tracefs_it_says_how_to_mount_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "tracefs_root", lambda: None)
    with pytest.raises(SourceUnavailable) as told:
        SignalSource().run(Outlet(queue.Queue(), "signal-trace"))
    assert "mount -t tracefs" in told.value.remedy
