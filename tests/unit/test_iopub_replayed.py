"""What real kernels of four makes said, replayed: subscription, parser and session hear their cells."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kerneld.model.said import CellStarted, KernelStatus, SessionFact, ShutdownAnnounced
from kerneld.model.session import Session
from kerneld.parse.iopub import (
    Publisher,
    Refusal,
    language_of,
    own_topics,
    parse_iopub,
    topics_of,
)
from kerneld.reader.voice import Voice

CAPTURED = Path(__file__).parent.parent / "captured" / "iopub"


@dataclass(frozen=True)
class Said:
    """told: what the parser made of what the subscription let through; unheard: topics it did not."""

    cells: tuple[str, ...]
    told: tuple[SessionFact | Refusal, ...]
    unheard: tuple[bytes, ...]

    @property
    def session(self) -> Session:
        session = Session(listening=True)
        for fact in self.told:
            assert not isinstance(fact, Refusal), fact
            session = session.heard_of(fact)
        return session


def replayed(make: str, *, key: bytes | None = None) -> Said:
    """As Ears, Voice and the reader's desk hear it: first all of a make's topics, then its own."""
    file = json.loads((CAPTURED / f"{make}.json").read_text())
    language = language_of(make, "xpython" if make == "xeus" else make)
    publisher = Publisher(
        handle=7, key=key or file["key"].encode(), scheme=file["scheme"], language=language
    )
    topics, voice, told, unheard = topics_of(make), Voice(), [], []
    for message in file["messages"]:
        frames = [frame.encode(errors="surrogateescape") for frame in message["frames"]]
        if not frames[0].startswith(topics):
            unheard.append(frames[0])
            continue
        own = own_topics(frames[0])
        topics = own[1] if own else topics
        at = datetime.fromisoformat(file["began_at"]) + timedelta(seconds=message["after_s"])
        fact = parse_iopub(
            frames, publisher, at=at, is_own=lambda header, at=at: voice.is_own(header, at=at)
        )
        told += [fact] if fact is not None else []
    return Said(tuple(file["cells"]), tuple(told), tuple(unheard))


# how its failed cell is told, and whether it says goodbye. bash_kernel's errors have no topic, as its
# output has none: to hear them would be to hear that, and a stopped listener would make kernels grow
MAKES = {
    "ipykernel": ((True, "ZeroDivisionError"), True),
    "xeus": ((True, "ZeroDivisionError"), True),
    "bash": ((False, None), True),
    "irkernel": ((True, "ERROR"), False),
}
each_make = pytest.mark.parametrize("make", MAKES)


@each_make
def test_cells_begin_and_end_with_source_and_count(make: str) -> None:
    said = replayed(make)
    started = [fact for fact in said.told if isinstance(fact, CellStarted)]
    assert [(cell.execution_count, cell.source) for cell in started] == list(enumerate(said.cells, 1))
    digests = [hashlib.sha256(source.encode()).hexdigest() for source in said.cells]
    assert [cell.sha256 for cell in started] == digests
    session = said.session
    first, second = session.finished
    assert (first.code, first.failed, first.error) == (said.cells[0].splitlines()[0], False, None)
    assert (second.failed, second.error) == MAKES[make][0]
    assert 0 <= first.duration_s < 1
    assert (session.busy, session.running, session.last_cell) == (False, (), started[-1])


@each_make
def test_each_cell_is_busy_while_it_runs(make: str) -> None:
    told = replayed(make).told
    served = [fact for fact in told if isinstance(fact, KernelStatus) and fact.parent_type]
    of_cells = [fact.state for fact in served if fact.parent_type == "execute_request"]
    assert of_cells == ["busy", "idle", "busy", "idle"]
    begun = next(i for i, fact in enumerate(told) if isinstance(fact, CellStarted))
    session = Session(listening=True)
    for fact in told[: begun + 1]:
        assert not isinstance(fact, Refusal)
        session = session.heard_of(fact)
    assert session.busy
    assert session.cell == told[begun]


@each_make
def test_an_end_that_was_asked_for_is_announced_by_all_but_irkernel(make: str) -> None:
    said = [fact.restart for fact in replayed(make).told if isinstance(fact, ShutdownAnnounced)]
    assert said == ([False] if MAKES[make][1] else [])


@each_make
def test_no_output_is_heard_where_topics_tell_it(make: str) -> None:
    """IRkernel's topics are its clients' names: there everything is heard."""
    unheard = b" ".join(replayed(make).unheard)
    assert (b"execute_result" in unheard) is (make in ("ipykernel", "xeus"))
    assert (b"<IDS|MSG>" in unheard) is (make == "bash")
    assert (unheard == b"") is (make == "irkernel")


@each_make
def test_another_key_believes_none_of_it(make: str) -> None:
    assert set(replayed(make, key=b"another").told) == {Refusal.SIGNATURE}
