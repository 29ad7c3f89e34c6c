"""Promises of the journal's source that need no journal: bounded, whole lines, nothing lost unsaid."""

import os
import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kerneld.errors import SourceUnavailable
from kerneld.model.effects import ReadJournal
from kerneld.model.facts import Fact
from kerneld.sources import journal
from kerneld.sources.journal import (
    BATCH_BYTES,
    MAX_LINE_BYTES,
    Follower,
    JournalSource,
    check_journal,
    find_journal,
)
from kerneld.sources.source import Outlet


def follower(script: str) -> Follower:
    return Follower("/bin/sh", ["sh", "-c", script])


def batches(of: Follower) -> Iterator[bytes]:
    """All that it says, until it ends."""
    try:
        while True:
            if batch := of.take():
                yield batch
            time.sleep(0.01)
    except SourceUnavailable:
        of.end()


def test_lines_come_whole_and_in_order() -> None:
    said = b"".join(batches(follower("printf 'one\\ntw'; sleep 0.2; printf 'o\\nthree\\n'; sleep 0.2")))
    assert said == b"one\ntwo\nthree\n"


def test_a_batch_is_small_however_much_is_said() -> None:
    many = follower("yes a line of twenty bytes | head -n 9000; sleep 0.3")
    sizes = [len(batch) for batch in batches(many)]
    assert sum(sizes) == 9000 * 23
    assert max(sizes) <= 2 * BATCH_BYTES


def test_a_line_without_an_end_is_given_up_and_counted() -> None:
    script = f"echo before; head -c {3 * MAX_LINE_BYTES} /dev/zero; echo; echo after; sleep 0.3"
    of = follower(script)
    assert b"".join(batches(of)) == b"before\nafter\n"
    assert of.lost == 1


def test_its_end_is_told_and_its_child_is_gone() -> None:
    of = follower("exit 3")
    time.sleep(0.2)
    with pytest.raises(SourceUnavailable, match="ended"):
        of.take()
    of.end()


def test_a_child_that_hears_nothing_is_ended() -> None:
    of = follower("trap '' TERM PIPE; sleep 600")
    began = time.monotonic()
    of.end()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("written", ["", "not-a-machine\n", None], ids=["empty", "unknown", "none"])
def test_where_no_journal_is_kept_it_says_so(tmp_path: Path, written: str | None) -> None:
    if written is not None:
        (tmp_path / "machine-id").write_text(written)
    with pytest.raises(SourceUnavailable, match="no systemd journal"):
        find_journal((str(tmp_path),), machine_id=str(tmp_path / "machine-id"))


def test_the_systems_own_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "machine-id").write_text("77\n")
    (tmp_path / "77").mkdir()
    file = tmp_path / "77" / "system.journal"
    file.touch()
    assert find_journal((str(tmp_path),), machine_id=str(tmp_path / "machine-id")) == str(file)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "system.journal"
    file.write_bytes(b"no journal")
    with pytest.raises(SourceUnavailable, match="may not be read"):
        check_journal(str(file))


def test_a_batch_is_handed_over_again_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that was started again has not heard of it."""
    monkeypatch.setattr("kerneld.sources.batches.ANSWER_S", 0.1)
    monkeypatch.setattr(journal, "find_journal", lambda: "")
    monkeypatch.setattr(journal, "check_journal", lambda _: "/bin/sh")
    monkeypatch.setattr(JournalSource, "_arguments", lambda _: ["sh", "-c", "echo a line; sleep 600"])
    asked: queue.Queue[ReadJournal] = queue.Queue()
    source = JournalSource(read=asked.put, since=datetime.now(UTC))
    facts: queue.Queue[Fact] = queue.Queue()
    outlet = Outlet(facts, source.name)
    thread = threading.Thread(target=source.run, args=(outlet,))
    thread.start()
    first, again = asked.get(timeout=10), asked.get(timeout=10)
    outlet.stopping.set()
    source.wake()
    thread.join(10)
    assert not thread.is_alive()
    assert first.order == again.order
    assert [os.pread(order.fd, 99, 0) for order in (first, again)] == [b"a line\n"] * 2


def test_without_a_reader_it_says_so() -> None:
    source = JournalSource(read=None, since=datetime.now(UTC))
    with pytest.raises(SourceUnavailable, match="turned off"):
        source.run(Outlet(queue.Queue(), source.name))
