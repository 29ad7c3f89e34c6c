"""The line that grew: real kernels that grow on known lines, watched by a service with its rights."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from growing import PROGRAMS, agreement, charged, notebook_of, on_right_lines, play, settled
from memcg import LogWitness
from report import NEEDED, story
from rig import Daemon, World

from kerneld.model.case import Case
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause
from kerneld.store import Store

pytestmark = NEEDED
AT_ONCE = 2
"""as many kernels as stacks are taken of"""
MANY_DUMPS = 10


@dataclass
class Grown:
    ends: dict[str, Incident]
    cases: dict[str, Case | None]
    said: list[str]
    world: World
    log: LogWitness

    def dumps(self, name: str) -> int:
        case = self.cases[name]
        assert case is not None
        assert case.memory.growth is not None
        return case.memory.growth.dumps

    def told(self, name: str) -> str:
        return f"{story(self.ends[name])}\n{self.dumps(name)} dumps: {charged(self.ends[name])}"


@pytest.fixture(scope="module")
def grown() -> Iterator[Grown]:
    world, log = World(), LogWitness()
    daemon = Daemon(world.service)
    try:
        daemon.start()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            playing = {n: pool.submit(play, world, n, program) for n, program in PROGRAMS.items()}
        pids = {name: played.result() for name, played in playing.items()}
        ends = {name: settled(daemon, pid) for name, pid in pids.items()}
        daemon.stop()
        with Store.read(daemon.db) as store:
            cases = {name: store.case(end.uuid) for name, end in ends.items()}
        yield Grown(ends, cases, daemon.lines, world, log)
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.kill()
        log.close()
        world.remove()


@pytest.mark.parametrize("name", PROGRAMS)
def test_growth_is_charged_to_the_right_lines(grown: Grown, name: str) -> None:
    """95 % where there were many stacks; else at least the line on top is right."""
    end, program = grown.ends[name], PROGRAMS[name]
    told = charged(end)
    assert told, grown.told(name)
    assert max(told, key=lambda place: told[place]) in program.truth, grown.told(name)
    if grown.dumps(name) >= MANY_DUMPS:
        assert on_right_lines(end, program) >= 0.95, grown.told(name)


def test_rows_add_up_to_all_that_grew(grown: Grown) -> None:
    for end in grown.ends.values():
        assert sum(row.share for row in end.growth_lines) == pytest.approx(1.0, abs=0.01)


def test_the_articles_line_is_named(grown: Grown) -> None:
    end = grown.ends["article"]
    assert end.cause is Cause.OOM_CGROUP, story(end)
    first = end.growth_lines[0]
    assert (first.function, first.line, first.execution_count) == ("<module>", 4, 1)
    assert first.code == "    large_list.append(np.random.rand(1000))"
    assert first.bytes == pytest.approx(1 << 30, rel=0.15)
    assert first.share >= 0.95
    assert end.cell is not None
    assert end.cell.line == 4
    assert "Line 4 had grown it by" in end.summary
    assert end.stack is not None
    assert end.stack.frames[0].line in (3, 4)


def test_the_articles_notebook_limit_and_peak_are_told(grown: Grown) -> None:
    """The peak within 1 % of what Linux itself logged of this process."""
    end = grown.ends["article"]
    assert end.notebook is not None
    assert end.notebook.path == notebook_of(grown.world, "article")
    assert end.memory.limit_bytes == PROGRAMS["article"].limit_bytes
    logged = grown.log.oom_rss_bytes(end.process.pid)
    assert logged is not None
    assert end.memory.peak_bytes == pytest.approx(logged, rel=0.01)


def test_a_service_keeps_the_line_and_not_the_cell(grown: Grown) -> None:
    """Its code policy is `line`."""
    end = grown.ends["article"]
    assert end.cell is not None
    assert end.cell.source is None
    assert end.growth_lines[0].code


def test_lines_that_grew_in_turn_have_each_its_own(grown: Grown) -> None:
    assert agreement(grown.ends["two-lines"], PROGRAMS["two-lines"]) >= 0.8, grown.told("two-lines")


@pytest.mark.parametrize(("name", "grown_bytes"), [("comprehension", 440e6), ("earlier-cell", 440e6)])
def test_a_cell_that_ended_is_told_with_its_memory(grown: Grown, name: str, grown_bytes: float) -> None:
    """What it allocated is known. The first cell may begin before its kernel is listened to."""
    last = grown.ends[name].cells[-1]
    assert last.execution_count == 2
    assert last.before_bytes is not None
    assert last.change_bytes == pytest.approx(grown_bytes, rel=0.02)
    assert last.peak_bytes == pytest.approx(last.before_bytes + last.change_bytes, rel=0.01)
    assert last.code == PROGRAMS[name].cells[1].splitlines()[0]


def test_no_source_failed(grown: Grown) -> None:
    assert not [line for line in grown.said if "failed" in line or "Traceback" in line]
