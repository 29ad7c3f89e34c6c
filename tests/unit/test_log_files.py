"""Promises of followed log files: whole lines, across rotations, of no file that a user could write."""

import os
import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kerneld.doctor import sources as doctor
from kerneld.errors import SourceUnavailable, UnsafeFile
from kerneld.model.effects import ReadJournal
from kerneld.model.facts import Fact, SourceLost, SourceState
from kerneld.model.records import ManagerAct
from kerneld.model.wire import MAX_DATAGRAM_BYTES, JournalOrder, JournalParsed, LogForm, Told
from kerneld.parse.log_files import Syslog, parse_slurmd
from kerneld.proc import files
from kerneld.proc.files import check_system_log, open_system_log
from kerneld.reader.journal import Journal
from kerneld.reader.outbox import datagram_of
from kerneld.sources import batches, journal, log_files
from kerneld.sources.batches import BATCH_BYTES
from kerneld.sources.log_files import MAX_LINE_BYTES, MOST_PARSED, LogFilesSource, Tail, wanted
from kerneld.sources.source import Outlet

CAPTURED = Path(__file__).parents[1] / "captured" / "log_files"
NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
ENDED = (
    b"[2026-11-27T13:56:06.355] [4.batch] error: *** JOB 4 ON vm CANCELLED AT 2026-11-27T13:56:06 ***\n"
)
KILL = b'earlyoom[1]: sending SIGKILL to process 7 uid 0 "x": badness 9, VmRSS 9 MiB'

# by `scontrol notify` ana had the first two of Slurm logged, by `logger` the first of earlyoom
SLURMD = [
    ("time-limit", "2.batch"), ("cancelled", "99.batch"), ("killed-for-memory", "1.batch"),
    ("cancelled", "1.batch"), ("killed-for-memory", "1.batch"), ("cancelled", "2.batch"),
    ("preempted", "3.batch"),
]  # fmt: skip
SYSLOG = [
    ("Slurm", "killed-for-memory", None, "1.batch"), ("Slurm", "cancelled", None, "1.batch"),
    ("Slurm", "killed-for-memory", None, "1.batch"), ("Slurm", "cancelled", None, "2.batch"),
    ("Slurm", "preempted", None, "3.batch"), ("earlyoom", "killed-for-memory", 4242, None),
    ("earlyoom", "killed-for-memory", 277, None),
]  # fmt: skip


# ---------------------------------------------------------------- what is read of a line


def test_slurmds_own_log_is_read_as_debian_writes_it() -> None:
    """What its user had it log, too: so nothing of it is vouched for."""
    acts = parse_slurmd((CAPTURED / "slurmd-22.05.log").read_bytes(), zone=UTC, latest=NOW)
    assert [(act.did, act.step) for act in acts] == SLURMD
    assert {act.is_vouched for act in acts} == {False}
    assert acts[-1].at == datetime(2026, 11, 27, 14, 40, 8, 711_000, tzinfo=UTC)


def test_a_syslog_is_read_as_rsyslog_writes_it() -> None:
    """It writes a newline as `#012`: what was forged over two lines is no line of Slurm's."""
    acts = Syslog(UTC).feed((CAPTURED / "syslog-8.2302.log").read_bytes(), latest=NOW)
    told = sorted((act.manager, act.did, act.pid or 0, act.step or "") for act in acts)
    assert told == sorted((manager, did, pid or 0, step or "") for manager, did, pid, step in SYSLOG)
    assert {act.is_vouched for act in acts} == {False}
    assert {act.at.second for act in acts} == {7, 8, 10}


NOTHING = {
    "no stamp": ENDED[26:],
    "a time of day alone": ENDED.replace(b"2026-11-27T", b"", 1),
    "no such month": ENDED.replace(b"2026-11", b"2026-13", 1),
    "no step": ENDED.replace(b" [4.batch]", b""),
    "another step": ENDED.replace(b"[4.batch]", b"[5.batch]"),
    "not said as an error": ENDED.replace(b"error: ", b""),
    "cut": ENDED[:70] + b"\n",
    "no UTF-8": b"\xff\xfe" + ENDED,
    "endless": b"[" * 100_000,
}


@pytest.mark.parametrize("line", NOTHING.values(), ids=NOTHING)
def test_any_other_line_costs_nothing_but_itself(line: bytes) -> None:
    acts = parse_slurmd(line.rstrip(b"\n") + b"\n" + ENDED, zone=UTC, latest=NOW)
    assert [act.step for act in acts] == ["4.batch"]


SYSLOG_NOTHING = {
    "another's name": b"Nov 27 14:00:00 vm sudo: " + KILL.partition(b" ")[2],
    "no date": KILL,
    "a quoted line": b"Nov 27 14:00:00 vm app: Nov 27 14:00:00 vm " + KILL,
    "a newline, as rsyslog writes it": b"Nov 27 14:00:00 vm app: x#012Nov 27 14:00:00 vm " + KILL,
    "no UTF-8": b"Nov 27 14:00:00 vm earlyoom[1]: \xff\xfe",
    "endless": b"earlyoom" * 20_000,
}


@pytest.mark.parametrize("line", SYSLOG_NOTHING.values(), ids=SYSLOG_NOTHING)
def test_any_other_line_of_syslog_is_nothing(line: bytes) -> None:
    assert Syslog(UTC).feed(line + b"\n", latest=NOW) == ()
    [act] = Syslog(UTC).feed(line + b"\nNov 27 14:00:00 vm " + KILL + b"\n", latest=NOW)
    assert act.pid == 7


DENSEST = b"Nov 7 1:56:06 h systemd-oomd: Killed /" + b"\x01" * 70 + b" due to memory\n"
"""what grows most on its way to the collector"""


@pytest.mark.parametrize(
    ("form", "line", "least"),
    [
        ("slurmd", ENDED.replace(b"2026-11", b"0001-11", 1), 1),
        ("slurmd", ENDED.replace(b"2026-11", b"9999-11", 1), 1),
        ("syslog", DENSEST * (BATCH_BYTES // len(DENSEST)), 50),
    ],
    ids=["long ago", "far to come", "densest"],
)
def test_no_batch_tells_what_the_collector_cannot_take(form: LogForm, line: bytes, least: int) -> None:
    """It took it for a reader's failure, and handed the same batch to the next reader, for ever."""
    fd = os.memfd_create("batch")
    os.write(fd, line)
    told = Journal("").read(JournalOrder(number=1, form=form), fd)
    os.close(fd)
    data = datagram_of(told)
    assert len(data) <= MAX_DATAGRAM_BYTES
    said = Told.model_validate_json(data, strict=True).said
    assert isinstance(said, JournalParsed)
    assert said.acts == told.acts[-len(said.acts) :]
    assert len(said.acts) >= least


# ---------------------------------------------------------------- which file is read


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "slurmd.log"
    file.write_bytes(b"before\n")
    return file


@pytest.fixture(autouse=True)
def owned_by_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests is taken for the system's own."""
    own = {os.geteuid(), os.getegid()}
    monkeypatch.setattr(files, "_is_systems", lambda number: number in own)


def test_a_file_that_users_could_write_is_refused(log: Path) -> None:
    for mode in (0o646, 0o602):
        log.chmod(mode)
        with pytest.raises(UnsafeFile, match="users may write it"):
            open_system_log(str(log))
    log.chmod(0o640)
    os.close(open_system_log(str(log)))


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "is_refused"),
    [
        (0, 4, 0o640, False), (101, 4, 0o660, False), (64030, 64030, 0o640, False),
        (1000, 0, 0o600, True), (0, 1000, 0o660, True), (65534, 0, 0o600, True), (0, 0, 0o622, True),
        (60001, 0, 0o600, True),
    ],
    ids=["root", "syslog", "slurm", "a person", "her group", "nobody", "all", "a home of systemd's"],
)  # fmt: skip
def test_whose_file_it_may_be(
    monkeypatch: pytest.MonkeyPatch, uid: int, gid: int, mode: int, is_refused: bool
) -> None:
    monkeypatch.undo()
    status = os.stat_result((0o100000 | mode, 1, 1, 1, uid, gid, 7, 0, 0, 0))
    if not is_refused:
        check_system_log(status)
        return
    with pytest.raises(UnsafeFile):
        check_system_log(status)


def test_a_link_and_a_pipe_are_refused(tmp_path: Path, log: Path) -> None:
    (tmp_path / "link").symlink_to(log)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "pipe"):
        with pytest.raises(UnsafeFile):
            open_system_log(str(tmp_path / name))


def test_syslog_is_read_where_no_journal_is_kept(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    slurmds = (str(log),)
    syslogs = (str(log.with_name("syslog")), str(log.with_name("messages")))
    Path(syslogs[0]).touch()
    monkeypatch.setattr(log_files, "find_journal", lambda: "/run/log/journal/x/system.journal")
    assert wanted(syslogs=syslogs, slurmds=slurmds) == {str(log): "slurmd"}

    def none() -> str:
        raise SourceUnavailable("none")

    monkeypatch.setattr(log_files, "find_journal", none)
    assert wanted(syslogs=syslogs, slurmds=slurmds) == {str(log): "slurmd", syslogs[0]: "syslog"}


def test_doctor_tells_what_is_read_and_what_may_not_be(
    monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    found: dict[str, LogForm] = {}
    monkeypatch.setattr(doctor, "wanted", lambda: found)
    assert doctor.log_files().works is None
    found[str(log)] = "slurmd"
    assert (doctor.log_files().works, doctor.log_files().says) == (True, str(log))
    log.chmod(0o646)
    assert not doctor.log_files().works
    assert doctor.log_files().says == f"{log}: users may write it"


def test_what_is_read_in_the_journals_place_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, said in ((None, "kept here$"), ("/var/log/syslog", "kept here; /var/log/syslog, which")):
        monkeypatch.setattr(journal, "find_syslog", lambda found=found: found)
        with pytest.raises(SourceUnavailable, match=said):
            journal.find_journal(("/nowhere",))


# ---------------------------------------------------------------- how it is followed


def taken(tail: Tail) -> bytes:
    return b"".join(iter(tail.take, b""))


def add(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def test_only_what_is_new_is_read_and_only_whole_lines(log: Path) -> None:
    tail = Tail(str(log), "slurmd")
    assert taken(tail) == b""
    add(log, b"one\ntw")
    assert taken(tail) == b"one\n"
    add(log, b"o\n")
    assert taken(tail) == b"two\n"


def test_the_rest_of_a_line_that_was_begun_before_is_none(log: Path) -> None:
    add(log, b"begun ")
    tail = Tail(str(log), "slurmd")
    add(log, b"before\nnext\n")
    assert taken(tail) == b"next\n"


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(log: Path) -> None:
    tail = Tail(str(log), "slurmd")
    log.rename(log.with_suffix(".1"))
    add(log.with_suffix(".1"), b"last\n")
    assert taken(tail) == b"last\n"
    log.write_bytes(b"first\n")
    assert taken(tail) == b"first\n"
    add(log, b"second\n")
    assert taken(tail) == b"second\n"


def test_a_rotated_log_is_read_until_somebody_writes_into_the_new_one(log: Path) -> None:
    """logrotate makes the new file, and tells the daemon of it once all logs are rotated."""
    tail = Tail(str(log), "slurmd")
    log.rename(log.with_suffix(".1"))
    log.touch(mode=0o640)
    assert taken(tail) == b""
    add(log.with_suffix(".1"), b"last\n")
    assert taken(tail) == b"last\n"
    add(log, b"first\n")
    assert taken(tail) == b"first\n"


def test_a_log_that_is_cut_in_place_is_read_from_its_start(log: Path) -> None:
    tail = Tail(str(log), "slurmd")
    add(log, b"one\n")
    assert taken(tail) == b"one\n"
    os.truncate(log, 0)
    assert taken(tail) == b""
    add(log, b"two\n")
    assert taken(tail) == b"two\n"


def test_a_name_that_leads_to_a_users_file_by_now_is_not_followed(log: Path) -> None:
    tail = Tail(str(log), "slurmd")
    log.unlink()
    log.write_bytes(b"planted\n")
    log.chmod(0o666)
    with pytest.raises(UnsafeFile):
        tail.take()
    log.unlink()
    log.symlink_to("/etc/passwd")
    with pytest.raises(UnsafeFile):
        tail.take()


def test_a_line_without_an_end_is_given_up_and_counted(log: Path) -> None:
    tail = Tail(str(log), "slurmd")
    add(log, b"x" * (3 * MAX_LINE_BYTES) + b"\nafter\n")
    said = b""
    for _ in range(9):
        batch = tail.take()
        assert len(batch) <= 2 * BATCH_BYTES
        said += batch
    assert (said, tail.lost) == (b"after\n", 1)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, log: Path) -> Iterator[tuple["queue.Queue[Fact]", Path]]:
    """The source over a log, with the reader's own parser at the other end."""
    monkeypatch.setattr(log_files, "LOOK_S", 0.05)
    monkeypatch.setattr(log_files, "MAY_APPEAR_S", 0.1)
    facts: queue.Queue[Fact] = queue.Queue()
    reader = Journal("")

    def read(asked: ReadJournal) -> None:
        told = reader.read(asked.order, asked.fd)
        os.close(asked.fd)
        source.parsed(JournalParsed.model_validate(told))

    source = LogFilesSource(read=read, look=lambda: {str(log): "slurmd"})
    outlet = Outlet(facts, source.name)
    thread = threading.Thread(target=source.run, args=(outlet,))
    thread.start()
    yield facts, log
    outlet.stopping.set()
    source.wake()
    thread.join(10)
    assert not thread.is_alive()


def test_what_slurm_logs_becomes_a_fact(running: tuple["queue.Queue[Fact]", Path]) -> None:
    facts, log = running
    state = facts.get(timeout=10)
    assert isinstance(state, SourceState)
    assert state.up
    time.sleep(0.1)
    add(log, ENDED)
    act = facts.get(timeout=10)
    assert isinstance(act, ManagerAct)
    assert (act.manager, act.did, act.step) == ("Slurm", "cancelled", "4.batch")


def test_a_log_that_may_not_be_read_any_more_is_said(
    running: tuple["queue.Queue[Fact]", Path],
) -> None:
    facts, log = running
    assert facts.get(timeout=10).up  # type: ignore[union-attr]
    log.unlink()
    log.symlink_to("/etc/passwd")
    state = facts.get(timeout=10)
    assert isinstance(state, SourceState)
    assert not state.up
    assert "slurmd.log: there is a symbolic link on its path" in state.reason


def test_lines_that_no_reader_survives_are_given_up(
    running: tuple["queue.Queue[Fact]", Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ended each reader anew, and what came behind them was never read."""
    facts, log = running
    assert facts.get(timeout=10).up  # type: ignore[union-attr]
    time.sleep(0.1)
    monkeypatch.setattr(batches, "ANSWER_S", 0.02)
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "read", lambda *_: JournalParsed(number=0))
        add(log, ENDED)
        lost = facts.get(timeout=10)
    assert isinstance(lost, SourceLost)
    assert lost.source == "log-files"
    monkeypatch.setattr(batches, "ANSWER_S", 5.0)
    add(log, ENDED)
    assert isinstance(facts.get(timeout=10), ManagerAct)


def test_who_floods_a_log_costs_the_reader_little(running: tuple["queue.Queue[Fact]", Path]) -> None:
    """A MiB a second of earlyoom's lines took all of a core."""
    facts, log = running
    assert facts.get(timeout=10).up  # type: ignore[union-attr]
    time.sleep(0.1)
    add(log, ENDED * (4 * MOST_PARSED * BATCH_BYTES // len(ENDED)))
    told: list[Fact] = []
    while not told or not isinstance(told[-1], SourceLost):
        told.append(facts.get(timeout=10))
    assert "grew too fast" in told[-1].reason
    assert len(told) <= 2 * MOST_PARSED * BATCH_BYTES // len(ENDED)
    time.sleep(0.2)
    add(log, ENDED)
    while not isinstance(facts.get(timeout=10), ManagerAct):
        pass
