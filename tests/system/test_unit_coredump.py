"""What systemd-coredump finds in a kernel's core is told: a real core, a real stack, a real journal."""

from collections.abc import Iterator
from functools import partial

import pytest
from cores import crash, install
from machine import PID_1, Machine, wait_for
from managed import journal_is_read
from notebook import Notebook
from test_service import settled_end_of, watched

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Confidence

pytestmark = [
    pytest.mark.needs_systemd,
    pytest.mark.needs_root,
    pytest.mark.needs_coredump,
    pytest.mark.timeout(90),
]
SETTLE_S = 30.0


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    with Machine(tmp_path_factory.mktemp("cores") / "machine", PID_1) as machine:
        machine.trace_nothing()
        machine.path("/etc/kerneld/config.toml").write_text(f"[daemon]\nsettle_s = {SETTLE_S}\n")
        install(machine)
        machine.start()
        with Notebook(machine) as notebook:
            wait_for(partial(journal_is_read, machine), 15, "the journal is read")
            watched(machine, notebook)
            crash(machine, notebook)
            yield settled_end_of(machine, notebook)


def test_the_native_stack_is_told(end: Incident) -> None:
    assert end.fault is not None
    assert end.fault.kind == "segfault"
    first, *others = (end.fault.native_stack or "").splitlines()
    assert first.startswith("#0  crash_in_c (libcrashing.so + 0x"), end.fault.native_stack
    assert any("libffi" in line for line in others)


def test_it_is_among_the_proof(end: Incident) -> None:
    assert (end.cause, end.confidence) == (Cause.SEGFAULT, Confidence.CERTAIN)
    assert end.exit.core_dumped
    said = [piece.text for piece in end.because if piece.source == "journal"]
    assert len(said) == 1
    assert said[0].startswith(f"systemd-coredump: Process {end.process.pid} (python")


def test_it_is_waited_for_and_no_longer(end: Incident) -> None:
    assert end.revision == 2
    assert end.settled_at is not None
    assert (end.settled_at - end.died_at).total_seconds() < SETTLE_S / 2
