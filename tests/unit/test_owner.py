"""Deaths through the owner into a real store: each end once, in its role, under its policy."""

from pathlib import Path

from owner_rig import LATER, desk, ended, kernel_seen
from store_rig import a_process

from kerneld.daemon.absence import deaths_unseen
from kerneld.model.vocabulary import Scope

SERVER, KERNEL = 4_194_305, 4_194_306
"""pids that Linux never gives"""


def test_a_process_in_both_roles_has_an_end_in_each(tmp_path: Path) -> None:
    """A server that executes a kernel's command line stays the server of its own kernels."""
    with desk(tmp_path / "kerneld" / "k.db") as at:
        at.owner.feed([kernel_seen(KERNEL, server=SERVER), kernel_seen(SERVER)])
        tracked = {(life.process.pid, life.scope) for life in at.store.tracked()}
        assert tracked == {(KERNEL, Scope.KERNEL), (SERVER, Scope.KERNEL), (SERVER, Scope.SERVER)}
        at.owner.feed([ended(SERVER)])
        at.owner.settle(LATER)
        both = {end.scope: end.uuid for end in at.store.ends()}
    assert set(both) == {Scope.SERVER, Scope.KERNEL}


def test_an_end_has_one_uuid_whether_it_was_seen_or_found_later(tmp_path: Path) -> None:
    with desk(tmp_path / "kerneld" / "k.db") as at:
        at.owner.feed([kernel_seen(KERNEL, server=SERVER), kernel_seen(SERVER)])
        lives = at.store.tracked()
        at.owner.feed([ended(SERVER), ended(KERNEL)])
        seen = {end.uuid for end in at.store.ends()}
        cases = deaths_unseen(lives, (), host=at.owner.host, heard_at=None)
    assert {case.uuid for case in cases} == seen
    assert {case.process.key for case in cases} == {a_process(SERVER).key, a_process(KERNEL).key}
