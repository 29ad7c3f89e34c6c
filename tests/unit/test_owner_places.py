"""Crashes through the owner: a first verdict, then what was found of their place, then settled."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from owner_rig import LATER, desk, ended, kernel_seen
from store_rig import NOW, a_process

from kerneld.model.effects import PlaceFault
from kerneld.model.facts import Fact, FaultPlaced, PortsHeard
from kerneld.model.place import FaultPlace
from kerneld.model.records import LogEvent, LogRecord, ManagerAct
from kerneld.model.vocabulary import Cause, State

KERNEL = 4_194_306
"""a pid that Linux never gives"""


def fault_line(pid: int) -> LogRecord:
    line = f"python3[{pid}]: segfault at 0 ip 00007f00000010fd sp 00007ffd0 error 4 in libfoo.so[1000]"
    event = LogEvent(
        kind="segfault",
        pid=pid,
        ip="00007f00000010fd",
        object="libfoo.so[10fd,7f0000001000+1000]",
        line=line,
    )
    return LogRecord(at=NOW, event=event, tgid=pid)


def crash() -> list[Fact]:
    """Of a kernel that had come up."""
    heard = PortsHeard(NOW, a_process(KERNEL).key)
    return [kernel_seen(KERNEL), heard, fault_line(KERNEL), ended(KERNEL, signal=11)]


def test_a_fault_is_placed_after_its_first_verdict_which_is_then_revised(tmp_path: Path) -> None:
    """The line comes before the death; what is found raises the revision, once, before it settles."""
    with desk(tmp_path / "kerneld" / "k.db") as at:
        at.owner.feed(crash())
        (first,) = at.store.ends()
        assert (first.cause, first.revision, first.state) == (Cause.SEGFAULT, 1, State.PROVISIONAL)
        assert "of package" not in first.summary
        (order,) = [effect for effect in at.effects if isinstance(effect, PlaceFault)]
        assert (order.key, order.object) == (a_process(KERNEL).key, "libfoo.so")
        place = FaultPlace(ip=order.ip, symbol="boom", package="foo", version="1.2")
        at.owner.feed([FaultPlaced(order.uuid, place)])
        at.owner.reconsider()
        (told,) = at.store.ends()
        assert (told.revision, told.state) == (2, State.PROVISIONAL)
        assert told.fault is not None
        assert (told.fault.symbol, told.fault.package, told.fault.version) == ("boom", "foo", "1.2")
        assert "in libfoo.so's function boom, of package foo 1.2." in told.summary
        assert "foo 1.2" in told.advice[0].text
        at.owner.settle(LATER)
        assert [end.revision for end in at.told] == [2]
        assert sum(isinstance(effect, PlaceFault) for effect in at.effects) == 1


def test_a_certain_fault_settles_early_only_once_it_is_placed(tmp_path: Path) -> None:
    with desk(tmp_path / "kerneld" / "k.db") as at:
        at.owner.feed(crash())
        waits = at.owner.correlator.next_due()
        (order,) = [effect for effect in at.effects if isinstance(effect, PlaceFault)]
        unknown = FaultPlace(ip=order.ip, unknown=("libfoo.so was mapped too late",))
        at.owner.feed([FaultPlaced("of nobody", unknown), FaultPlaced(order.uuid, unknown)])
        at.owner.reconsider()
        due = at.owner.correlator.next_due()
        assert waits is not None
        assert due is not None
        assert due < waits
        at.owner.settle(LATER)
        (end,) = at.told
    assert end.revision == 1
    assert [blind.reason for blind in end.blind if blind.source == "fault-place"] == list(
        unknown.unknown
    )


def test_a_core_is_waited_for_and_its_stack_revises_the_verdict(tmp_path: Path) -> None:
    """systemd-coredump tells of it seconds after the death. 128: by its status a core was dumped."""
    with desk(tmp_path / "kerneld" / "k.db") as at:
        unplaced = FaultPlaced("", FaultPlace(unknown=("there is no line of it",)))
        at.owner.feed([*crash()[:2], ended(KERNEL, signal=128 + 11)])
        (order,) = [effect for effect in at.effects if isinstance(effect, PlaceFault)]
        at.owner.feed([replace(unplaced, uuid=order.uuid)])
        at.owner.reconsider()
        waits = at.owner.correlator.next_due()
        core = ManagerAct(
            at=NOW + timedelta(seconds=3),
            manager="systemd-coredump",
            did="dumped-core",
            pid=KERNEL,
            signal=11,
            native_stack="#0  boom (libfoo.so + 0x10fd)",
            line=f"Process {KERNEL} (python3) of user 1000 dumped core.",
        )
        at.owner.feed([core])
        at.owner.reconsider()
        due = at.owner.correlator.next_due()
        assert waits is not None
        assert due is not None
        assert due < waits
        at.owner.settle(LATER)
        (end,) = at.told
    assert end.revision == 2
    assert end.fault is not None
    assert (end.fault.kind, end.fault.native_stack) == ("segfault", core.native_stack)
    assert [piece.text for piece in end.because if piece.source == "journal"] == [
        f"systemd-coredump: {core.line}"
    ]


@pytest.mark.parametrize(
    "changes", [{"signal": 6}, {"pid": KERNEL - 1}, {"at": NOW - timedelta(days=1)}], ids=str
)
def test_another_processs_core_tells_nothing_of_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    with desk(tmp_path / "kerneld" / "k.db") as at:
        core = ManagerAct(
            at=NOW, manager="systemd-coredump", did="dumped-core", pid=KERNEL, signal=11,
            native_stack="#0  boom", line="Process",
        )  # fmt: skip
        at.owner.feed([*crash()[:2], ended(KERNEL, signal=128 + 11), core.model_copy(update=changes)])
        at.owner.reconsider()
        at.owner.settle(LATER)
        (end,) = at.told
    assert end.fault is None
