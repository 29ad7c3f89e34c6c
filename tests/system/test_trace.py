"""The signal trace under a real systemd. A host has one, so nothing else that uses it runs beside."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import PID_1, Machine, wait_for
from notebook import Notebook
from test_service import settled_end_of, watched

from kerneld.model.vocabulary import Cause, Confidence

pytestmark = [pytest.mark.needs_systemd, pytest.mark.needs_root, pytest.mark.timeout(90)]
SOURCES = {
    "exits", "proc-connector", "taskstats", "linux-log", "signal-trace", "memory", "iopub",
    "discovery", "stacks", "journal",
}  # fmt: skip


def test_its_pre_start_makes_the_signal_trace_and_its_stop_removes_it(tmp_path: Path) -> None:
    """With root's rights (`+`), which the collector has not."""
    with Machine(tmp_path / "machine", PID_1) as machine:
        instance = machine.path("/sys/kernel/tracing/instances/kerneld")
        machine.start()
        assert instance.exists()
        machine.systemctl("stop", "kerneld")
        assert not instance.exists()


@pytest.fixture
def traced(sandbox: Machine) -> Iterator[Machine]:
    """A user manager gives no right by `+`: the trace is made and removed here."""
    sandbox.run(sys.executable, "-m", "kerneld.tracing", "up")
    yield sandbox
    sandbox.systemctl("stop", "kerneld")
    sandbox.run(sys.executable, "-m", "kerneld.tracing", "down")


def test_every_source_speaks_in_its_sandbox(traced: Machine) -> None:
    traced.start()

    wait_for(lambda: {s.name for s in traced.sources()} >= SOURCES, 30, "word of all ten sources")
    down = {source.name: source.reason for source in traced.sources() if not source.up}
    assert list(down) == ["journal"]
    assert down["journal"].startswith("no systemd journal is kept here")


def test_who_killed_a_kernel_is_told_by_the_signal_trace(traced: Machine) -> None:
    traced.start()
    with Notebook(traced) as notebook:
        watched(traced, notebook)
        os.kill(notebook.pid, signal.SIGKILL)
        notebook.reap()
        end = settled_end_of(traced, notebook)
    assert (end.cause, end.confidence) == (Cause.KILLED_BY_PROCESS, Confidence.CERTAIN)
    assert end.killer is not None
    assert (end.killer.pid, end.killer.uid) == (os.getpid(), 0)
