"""Blocks of any size, in any place of a large log, give the same events; nothing hostile is slow."""

import json
import os
import random
import re
import time
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from logs import NAMED, cases, folders
from scans import FORMS, JOURNAL, LINES, SIZES, report
from wraps import ESCAPED, KERNEL, TEXT

from kerneld.model.records import LogEvent
from kerneld.outputs.scan import KEYS, Told, json_line, paragraph
from kerneld.outputs.view import View
from kerneld.parse import oom_lines
from kerneld.parse.fault_table import CUT_TABLE, TABLE
from kerneld.scan import needles
from kerneld.scan.reader import WHOLE_BYTES, LogReader

CAPTURED = Path(__file__).parent.parent / "captured" / "kmsg"
VIEW = View(datetime(2026, 11, 27, tzinfo=UTC), UTC, 80)
FILLER = b"Nov 26 10:11:12 h app[7]: nothing of note happened here, as on every other day of it\n"
SYSLOG_FILLER = FILLER * (WHOLE_BYTES // len(FILLER) + 10)
PATTERNS = (
    *(row.pattern for row in (*TABLE, *CUT_TABLE)),
    *(oom_lines.INVOKED, oom_lines.SUMMARY, oom_lines.SCORED, oom_lines.KILLED, oom_lines.KILLED_CUT),
)


def read(*blocks: bytes) -> list[LogEvent]:
    reader = LogReader(zone=UTC, latest=VIEW.now)
    return [event for block in blocks for event in reader.feed(block)] + [*reader.close()]


def told(events: list[LogEvent]) -> list[dict[str, object]]:
    return [event.model_dump(exclude={"line_number"}) for event in events]


def kmsg(name: str) -> bytes:
    """A captured file's records, without the lines that tell its origin."""
    return b"".join(
        line for line in (CAPTURED / name).read_bytes().splitlines(keepends=True) if line[:1] != b"#"
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=12))
def test_the_size_of_the_blocks_changes_nothing(sizes: list[int]) -> None:
    log = report() + kmsg("segfault-6.18.txt") + report()
    whole = read(log)
    pieces, place = [], 0
    while place < len(log):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(log[place : place + size])
        place += size
    assert read(*pieces) == whole
    assert whole[0].pid == 7


@pytest.mark.parametrize("name", sorted(file.name for file in CAPTURED.glob("*.txt")))
def test_a_place_deep_in_a_large_log_changes_nothing(name: str) -> None:
    log = kmsg(name)
    filler = b"6,1,2,-;nothing of note\n" * 60_000
    assert told(read(filler, log, filler)) == told(read(log))


def test_a_report_deep_in_a_large_log_is_read_in_full() -> None:
    [event] = read(SYSLOG_FILLER, report(), SYSLOG_FILLER)
    assert [row.pid for row in event.top] == list(range(499, 489, -1))
    assert (event.invoker_comm, event.invoker_pid) == ("py", 77)
    assert event.totals is not None
    assert event.totals.ram_kb == 2 << 20


@pytest.mark.parametrize("name", [*TEXT, *KERNEL, *ESCAPED])
def test_every_wrapping_is_read_deep_in_a_large_log(name: str) -> None:
    form = {**TEXT, **KERNEL, **ESCAPED}[name].replace("{level}", "3")
    form = form.replace("{word}", "err   ").replace("{talos}", "    err")
    line = form.replace("{}", f"Out of memory: Killed process 7 (py) {SIZES}") + "\n"
    near = "".join(form.replace("{}", f"usb {n}: gone") + "\n" for n in range(20)).encode()
    events = read(SYSLOG_FILLER, near, line.encode(), near, SYSLOG_FILLER)
    assert [event.pid for event in events] == [7]


@pytest.mark.parametrize("form", FORMS)
def test_the_journal_s_forms_are_read_deep_in_a_large_log(form: str) -> None:
    write = FORMS[form]
    other = write(JOURNAL | {"MESSAGE": "nothing of note"}) * 4000
    events = read(other, write(JOURNAL), other)
    assert [(event.pid, event.uptime_s, event.trust) for event in events] == [(7, 12.345678, "kernel")]


def test_each_daemon_s_line_has_a_needle() -> None:
    for identifier, line, expected in LINES:
        text = f"Nov 26 10:11:12 h {identifier}: {line}\n".encode()
        assert [event.kind for event in read(SYSLOG_FILLER, text, SYSLOG_FILLER)] == [expected[0]]


@pytest.mark.skipif(not NAMED, reason="KERNELD_LOGS is not set")
def test_each_real_log_is_read_the_same_deep_in_a_large_one() -> None:
    """Needles and neighbours are enough: what is told of a paste is told of it in a gigabyte."""
    different = []
    for folder in folders():
        for case in cases(folder):
            raw = (folder / case["file"]).read_bytes().rstrip(b"\n") + b"\n"
            filler = b"\n" * (WHOLE_BYTES + 1) if raw[:1] not in (b"{", b"[") else b""
            alone, deep = read(raw), read(filler, raw, filler)
            if [(e.kind, e.pid, e.comm) for e in alone] != [(e.kind, e.pid, e.comm) for e in deep]:
                different.append(case["id"])
    assert different == []


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern[:60])
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_each_line_that_a_pattern_takes_is_found_deep_in_a_file(
    pattern: re.Pattern[str], data: st.DataObject
) -> None:
    """The lines are generated from the pattern itself: none can be forgotten."""
    line = data.draw(st.from_regex(pattern, fullmatch=True)).encode("utf-8", "surrogatepass")
    assert any(needle in line for needle in needles.NEEDLES)
    assert needles.TELLING.search(line) is not None


AUDITED = 'auid=1 uid=2 gid=3 ses=4 pid=9 comm="x" exe="/x" sig='
SYSCALL = " arch=c000003e syscall=1 compat=0 ip=0x7f code=0x80000000"


@pytest.mark.parametrize("name", ["1326", "SECCOMP", "1701", "ANOM_ABEND"])
@pytest.mark.parametrize(
    "head", ["type={} msg=audit(1.5:2): ", "audit: type={} audit(1.5:2): ", "audit: {} "]
)
def test_audit_s_lines_are_found_deep_in_a_file(name: str, head: str) -> None:
    kind, tail = ("seccomp", SYSCALL) if name in ("1326", "SECCOMP") else ("other", "")
    line = f"{head.format(name)}{AUDITED}31{tail}\n".encode()
    events = read(SYSLOG_FILLER.replace(b"Nov 26 10:11:12 h ", b""), line, FILLER)
    assert [(event.kind, event.pid) for event in events] == [(kind, 9)]


@given(st.binary(max_size=300), st.sampled_from(needles.NEEDLES))
def test_memmem_finds_what_bytes_find_finds(block: bytes, needle: bytes) -> None:
    find = needles.finder(needle)
    for data in (block, block + needle + block, needle * 2):
        for start in (0, 1, len(data)):
            assert find(data, start, needles.address_of(data)) == data.find(needle, start)


def test_a_death_is_told_when_the_log_falls_silent_behind_it() -> None:
    reader = LogReader(zone=UTC, latest=VIEW.now)
    line = f"[  100.000001] Out of memory: Killed process 7 (py) {SIZES}\n".encode()
    assert [event.pid for event in (*reader.feed(line), *reader.flush())] == [7]
    assert [*reader.feed(b"[  101.000000] x\n"), *reader.close()] == []


# ---------------------------------------------------------------- hostile

PIECES = [
    b"Out of memory: Killed process ",
    b" (py) total-vm:1kB",
    b"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=",
    b",task_memcg=/a",
    b",task=x,pid=7,uid=0",
    b" invoked oom-killer: gfp_mask=0x0,",
    b"x[1]: segfault at 0 ip 0",
    b" sp 0 error 4 in x",
    b"[1+2]",
    b"[    1.000000] ",
    b"Nov 26 10:11:12 h kernel: ",
    b"<3>",
    b"3,1,2,-;",
    b'{"MESSAGE":"',
    b'"}',
    b"{\n",
    b"__CURSOR=x\n",
    b"MESSAGE\n",
    b"\x08\0\0\0\0\0\0\0",
    b"> ",
    b"\n",
    b"\r\n",
    b"\x1b[31m",
    b"\xff",
    b"\0",
    b"type=1326 audit(1:2): auid=",
    b"NVRM: Xid (PCI:0): 79, ",
    b"systemd-oomd[1]: Killed /",
    b"sending SIGTERM to process 1 ",
    b"2026-11-26T10:11:12Z stdout P ",
    b"traps: x[1] trap int3 ip:1 ",
    b"'",
    b'"',
    b"[ pid ]   uid  tgid total_vm      rss nr_ptes name\n",
    b"[    1]     0     1   1   1   1 x\n",
    b"1:",
]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=40))
def test_no_bytes_raise_and_none_reaches_the_terminal(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    for event in read(data) + read(data[:50], data[50:]):
        line = json_line(event)
        assert line.isprintable() is False
        assert line[:-1].isprintable() or not any(ord(c) < 32 for c in line[:-1])
        assert list(json.loads(line)) == list(KEYS)
        text = paragraph(Told(event, 2, event), VIEW, "x, line 1")
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in text)
        assert all(len(each) <= 80 for each in text.splitlines())


def repeated(piece: bytes) -> bytes:
    return (piece * (1_000_000 // len(piece) + 1))[:1_000_000]


SLOW = [
    b"\n",
    b"a\n",
    b" ",
    b"[",
    b"> ",
    b"1",
    b"1:",
    b'{"a":',
    b'"',
    b"\\",
    b"'",
    b"=,",
    b"a ",
    b"\x1b[",
    b"\xff",
    b"Xid (\n",
    b"Killed process 1 (a) ",
    b"a invoked oom-killer: ",
    b"oom-kill:constraint=A,nodemask=,cpuset=",
    b",task_memcg=/a",
    b"x[1]: segfault at 0 ip 0 sp 0 error 4 in ",
    b"Task in /a killed as a result of limit of ",
    b"[    1.000000] ",
    b"Nov 26 10:11:12 h kernel: ",
    b"<3>",
    b"Nov Nov ",
    b"a.b:",
    b"{\n",
    b"__CURSOR=\n",
    b"a[1]: segfault at 0 ip 0 sp 0 error 4 in x\n",
    b"Out of memory: Killed process 1 (\n",
    b'{\n"a":\n',
    b"a[1]: segfault at 0 ip 0 sp 0 error 4 in x\n" + b"a\n" * 120,
    b"a[1]: segfault at 0 ip 0 sp 0 error 4 in x\n" + b"\n" * 250,
    b"Out of memory: Killed process 1 (\nx\ny\n",
    b"Killed process 1 (a)\n",
    b"Nov 26 10:11:12 h kernel: a 'b'\nNov 26 10:11:12 h kernel: Killed process 1 (a)\n",
    b"__CURSOR=a\nMESSAGE\n\x01\0\0\0\0\0\0\0a\n\n",
    b"__CURSOR=a\nMESSAGE\n\0\0\x01\0\0\0\0\0" + b"\n" * 65_537 + b"\n",
    b'"a","b","c"\n',
]


@pytest.mark.parametrize("piece", SLOW, ids=lambda piece: f"{piece[:60]!r} {len(piece)}")
def test_a_megabyte_of_anything_takes_less_than_its_share(piece: bytes) -> None:
    """CPU time of reading and telling it: 1 s at most, with room for a slow and busy machine."""
    reader = LogReader(zone=UTC, latest=VIEW.now)
    started = time.process_time()
    for event in chain(reader.feed(repeated(piece)), reader.close()):
        json_line(event)
    assert time.process_time() - started < 3.0


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_random_logs_for_ten_minutes() -> None:
    """Each 100 kB of pieces, in random order: no exception, none slow."""
    seed = int(os.environ.get("KERNELD_SEED", time.time_ns()))
    source = random.Random(seed)
    ends_at = time.monotonic() + float(os.environ.get("KERNELD_FUZZ_S", "600"))
    while time.monotonic() < ends_at:
        some = [
            *source.choices(PIECES + SLOW, k=source.randint(1, 8)),
            source.randbytes(source.randint(1, 30)),
        ]
        data = b"".join(source.choices(some, k=source.randint(1, 8000)))[:100_000]
        started = time.process_time()
        for event in read(data):
            json_line(event)
            paragraph(Told(event, 1, event), VIEW)
        assert time.process_time() - started < 1.0, (seed, some)
