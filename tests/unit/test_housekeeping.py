"""Housekeeping: how 300 busy kernels do is told in turns, for a death waits for as long as it takes."""

from pathlib import Path

import pytest
from owner_rig import Healthy, desk, kernel_seen

from kerneld.config import Retention
from kerneld.daemon import housekeeping
from kerneld.daemon.housekeeping import RESTATED_A_ROUND, Housekeeping
from kerneld.live import LiveWriter, read_living
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Mode
from kerneld.sources.memory import MemorySource
from kerneld.sources.memory_track import LivingMemory

COUNT = 300
MIB = 1 << 20


class Growing(MemorySource):
    """Every kernel holds more at each question."""

    def __init__(self) -> None:
        super().__init__(busy_hz=1)
        self.held_bytes = 100 * MIB

    def rss_bytes(self, key: ProcessKey) -> int | None:
        return self.held_bytes

    def living(self, key: ProcessKey) -> LivingMemory | None:
        return LivingMemory(self.held_bytes, None, None, ())


def test_a_crowd_of_growing_kernels_is_told_in_turns_and_none_is_left_out(tmp_path: Path) -> None:
    live_path = tmp_path / "k.db.live"
    memory = Growing()
    with desk(tmp_path / "k.db") as at, LiveWriter(live_path) as live:
        keeping = Housekeeping(at.store, memory, Retention(), live=live, mode=Mode.USER)
        at.owner.feed([kernel_seen(1000 + number) for number in range(COUNT)])
        keeping.do(at.owner, Healthy())
        first = {state.key: state.at for state in read_living(live_path).states}
        assert len(first) == COUNT, "the new are told at once"
        told = dict(first)
        for _ in range(COUNT // RESTATED_A_ROUND + 1):
            memory.held_bytes += 50 * MIB
            keeping.do(at.owner, Healthy())
            now = {state.key: state.at for state in read_living(live_path).states}
            assert sum(now[key] != told[key] for key in now) <= RESTATED_A_ROUND
            told = now
        assert all(told[key] > first[key] for key in first)


def test_one_at_rest_is_told_again_only_when_it_is_old_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_path = tmp_path / "k.db.live"
    with desk(tmp_path / "k.db") as at, LiveWriter(live_path) as live:
        keeping = Housekeeping(at.store, Growing(), Retention(), live=live, mode=Mode.USER)
        at.owner.feed([kernel_seen(1000)])
        keeping.do(at.owner, Healthy())
        (state,) = read_living(live_path).states
        keeping.do(at.owner, Healthy())
        assert read_living(live_path).states == (state,)
        monkeypatch.setattr(housekeeping, "RESTATED_S", 0.0)
        keeping.do(at.owner, Healthy())
        (again,) = read_living(live_path).states
        assert again.at > state.at
