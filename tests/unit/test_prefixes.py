"""Whatever stands around it, a line of Linux is read the same; any name comes back from each."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import FORMS, JOURNAL, LATEST, SIZES, scan
from wraps import BEHIND_A_DATE, DATED, ESCAPED, KERNEL, TEXT, WORDS

from kerneld.model.records import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse.entry import Entry
from kerneld.parse.layers import Layers
from kerneld.parse.prefixes import unwrap
from kerneld.parse.stamps import ISO, SYSLOG, moment_of, month_of, stamp_of

UPTIME = re.compile(r"\[ +12\.345678|,12345678,")
ALL = {**TEXT, **KERNEL, **ESCAPED}


def wrapped(name: str, message: str, level: int = 6) -> str:
    if ALL[name].endswith('"'):
        message = message.replace('"', '""')
    shape = ALL[name].replace("{level}", str(level)).replace("{word}", f"{WORDS[level]:6}")
    word = "warning" if level == 4 else WORDS[level]
    return shape.replace("{talos}", f"{word:>7}").replace("{}", message)


def in_between(name: str, message: str, level: int) -> list[LogEvent]:
    """The events of a line between two of the same wrapping."""
    before, after = (wrapped(name, f"usb 1-1: device {word}") for word in ("new", "gone"))
    return scan("\n".join([before, wrapped(name, message, level), after, ""]))


@pytest.mark.parametrize("name", ALL)
def test_a_kill_is_told_in_every_wrapping(name: str) -> None:
    [event] = in_between(name, f"Out of memory: Killed process 4894 (py (x)) {SIZES}", 3)
    told = (event.kind, event.pid, event.comm, event.uid, event.anon_rss_kb, event.oom_score_adj)
    assert told == ("oom_global", 4894, "py (x)", 1000, 700, -7)
    assert event.trust is (Trust.TEXT if name in (*TEXT, BEHIND_A_DATE) else Trust.KERNEL)
    assert event.line_number == 2
    assert event.uptime_s == (12.345678 if UPTIME.search(ALL[name]) else None)
    if name.startswith(DATED) and "monotonic" not in name and "Arabic" not in name:
        assert event.time is not None
        assert event.time.replace(microsecond=0) == datetime(2026, 11, 26, 10, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", ALL)
def test_a_crash_is_told_in_every_wrapping(name: str) -> None:
    line = "a b[4949]: segfault at 0 ip 00007f sp 0 error 4 in libc.so.6[16,7f00+15000] likely on CPU 0"
    [event] = in_between(name, line, 6)
    assert (event.kind, event.pid, event.comm, event.ip) == ("segfault", 4949, "a b", "00007f")
    assert event.object == "libc.so.6[16,7f00+15000]"


def escaped(comm: bytes) -> str:
    """As kernel/printk/printk.c append_char has it."""
    return "".join(chr(b) if 32 <= b < 127 and b != 0x5C else f"\\x{b:02x}" for b in comm)


NAMES = st.one_of(
    st.binary(min_size=1, max_size=15).filter(lambda comm: 0 not in comm),
    st.text("ab()[]:,='\" 1\\\n\x1b", min_size=1, max_size=15).map(str.encode),
    st.sampled_from(
        [b") total-vm:1kB", b",task=x,pid=1", b"a[5]: segfault", b"]: segfault at", b"\\x0a"]
    ),
)
PREFIXED = st.sampled_from(sorted(ALL))


@settings(max_examples=300, deadline=None)
@given(NAMES, PREFIXED)
def test_any_name_comes_back_from_any_wrapping(comm: bytes, name: str) -> None:
    printed = escaped(comm)
    expected = comm.decode("utf-8", "backslashreplace") if name in ESCAPED else printed
    for kind, level, line in (
        ("oom_memcg", 3, f"Memory cgroup out of memory: Killed process 7 ({printed}) {SIZES}"),
        ("segfault", 6, f"{printed}[7]: segfault at 8 ip 0 sp 0 error 4 in x[1,2+3]"),
        ("int3", 6, f"traps: {printed}[7] trap int3 ip:1 sp:2 error:0 in x[2+3]"),
    ):
        got = [(event.kind, event.pid, event.comm) for event in in_between(name, line, level)]
        assert got == [(kind, 7, expected)], line


@settings(max_examples=100, deadline=None)
@given(NAMES, PREFIXED)
def test_a_whole_report_comes_back_from_any_wrapping(comm: bytes, name: str) -> None:
    printed = escaped(comm)
    expected = comm.decode("utf-8", "backslashreplace") if name in ESCAPED else printed
    report = [
        (4, f"{printed} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
        (6, "memory: usage 307200kB, limit 307200kB, failcnt 18"),
        (6, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"),
        (6, "[      7]  1000     7    28151      191   274432        0            -7 py"),
        (6, "[      8]     5     8    28151    27132   274432        0             0 hog"),
        (6, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,"
            f"task_memcg=/a/b,task={printed},pid=7,uid=1000"),
        (3, f"Memory cgroup out of memory: Killed process 7 ({printed}) {SIZES}"),
    ]  # fmt: skip
    [event] = scan("".join(f"{wrapped(name, line, level)}\n" for level, line in report))
    assert (event.pid, event.comm, event.invoker_comm) == (7, expected, expected)
    assert (event.cgroup, event.oom_cgroup, event.constraint) == ("/a/b", "/a", "CONSTRAINT_MEMCG")
    assert [(row.pid, row.rss_kb) for row in event.top] == [(8, 27132 * 4), (7, 191 * 4)]
    assert event.totals is not None
    assert event.totals.limit_kb == 307200


# ---------------------------------------------------------------- records


@pytest.mark.parametrize("form", FORMS)
def test_the_journal_s_records_tell_who_spoke(form: str) -> None:
    write = FORMS[form]
    [event] = scan(
        write(JOURNAL | {"MESSAGE": "x"}) + write(JOURNAL) + write(JOURNAL | {"MESSAGE": "y"})
    )
    assert (event.kind, event.pid, event.trust, event.uptime_s) == (
        "oom_global",
        7,
        Trust.KERNEL,
        12.345678,
    )
    for forged in (
        {"_TRANSPORT": "syslog"},
        {"_TRANSPORT": "stdout"},
        {"SYSLOG_FACILITY": "1"},
        {"SYSLOG_IDENTIFIER": "python"},
        {"PRIORITY": "6"},
    ):
        assert scan(write(JOURNAL | forged)) == [], forged


@pytest.mark.parametrize("form", FORMS)
def test_a_newline_in_a_record_of_the_journal_is_no_new_line(form: str) -> None:
    name = f"x\nOut of memory: Killed process 4242 (p) {SIZES}\ny"
    message = f"a[1]: segfault at 0 ip 0 sp 0 error 4 in {name}[1+2]"
    events = scan(FORMS[form](JOURNAL | {"PRIORITY": "6", "MESSAGE": message}))
    assert [(event.kind, event.pid) for event in events] == [("segfault", 1)]


def test_dmesg_s_own_json_is_read_and_its_levels_count() -> None:
    def printed(*records: tuple[int, str]) -> str:
        told = [{"pri": pri, "time": 12.345678, "msg": message} for pri, message in records]
        return json.dumps({"dmesg": told}, indent=3).replace("},\n      {", "},{")

    kill = f"Out of memory: Killed process 7 (py) {SIZES}"
    [event] = scan(printed((6, "x"), (3, kill), (6, "y")))
    assert (event.pid, event.uptime_s, event.trust) == (7, 12.345678, Trust.TEXT)
    assert scan(printed((6, "x"), (6, kill), (11, kill), (6, "y"))) == []


def test_bytes_that_are_no_text_come_as_numbers() -> None:
    message = [*b"Out of memory: Killed process 7 (", 0xFF, 0x1B, *f") {SIZES}".encode()]
    [event] = scan(json.dumps(JOURNAL | {"MESSAGE": message}))
    assert event.comm == "\\xff\x1b"


def test_partial_lines_of_a_container_are_one() -> None:
    whole = f"[   12.345678] Out of memory: Killed process 7 (py) {SIZES}"
    cri = "".join(
        f"2026-11-26T10:11:12.345678901Z stdout {tag} {piece}\n"
        for tag, piece in (("P", whole[:50]), ("P", whole[50:90]), ("F", whole[90:]))
    )
    docker = "".join(
        json.dumps({"log": piece, "stream": "stdout", "time": "2026-11-26T10:11:12.3Z"}) + "\n"
        for piece in (whole[:60], whole[60:] + "\n")
    )
    for text in (cri, docker):
        assert [(event.pid, event.anon_rss_kb, event.uptime_s) for event in scan(text)] == [
            (7, 700, 12.345678)
        ]


def test_a_record_s_dictionary_is_no_line() -> None:
    text = f"3,1,12345678,-;Out of memory: Killed process 7 (py) {SIZES}\n SUBSYSTEM=x\n DEVICE=+y:z\n"
    assert [event.pid for event in scan(text)] == [7]


def test_a_row_of_a_table_that_another_program_filled_is_not_linux_s() -> None:
    for row in (
        '"2026-11-26T10:11:12Z","h","python","{}"',
        '2026-11-26 10:11:12,python,"{}"',
        'x,"{}"',
    ):
        assert scan(f"{row}\n".replace("{}", f"Out of memory: Killed process 7 (py) {SIZES}")) == []


def test_a_terminal_s_returns_end_lines_where_nothing_else_does() -> None:
    kill = f"[   12.345678] Out of memory: Killed process 7 (py) {SIZES}"
    assert [event.line_number for event in scan(f"[   11.000001] x\r{kill}\r[   13.000001] y\r")] == [2]


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 26 10:11:12", "2026-11-26T10:11:12"),
        ("Dec 31 23:59:59", "2025-12-31T23:59:59"),
        ("Feb 29 10:11:12", "2024-02-29T10:11:12"),
        ("août 12 03:54:03", "2026-08-12T03:54:03"),
        ("26 мая 10:11:12", "2026-05-26T10:11:12"),
    ],
)
def test_a_date_without_a_year_is_of_the_last_that_fits(text: str, expected: str) -> None:
    found = SYSLOG.match(text)
    assert found
    stamp = stamp_of(found.groupdict())
    assert moment_of(stamp, zone=UTC, latest=LATEST) == datetime.fromisoformat(expected).replace(
        tzinfo=UTC
    )


def test_a_zone_counts_where_the_text_has_none() -> None:
    zone = timezone(timedelta(hours=2))
    for text, hour in (
        ("2026-11-26T10:11:12", 8),
        ("2026-11-26 10:11:12Z", 10),
        ("2026-11-26T10:11:12-0130", 11),
    ):
        found = ISO.match(text)
        assert found
        at = moment_of(stamp_of(found.groupdict()), zone=zone, latest=LATEST)
        assert at is not None
        assert at.hour == hour


@pytest.mark.parametrize(
    "text", ["Nov 99 10:11:12", "Foo 26 10:11:12", "Nov 26 99:11:12", "2026-13-26T10:11:12"]
)
def test_a_date_that_is_none_is_not_known(text: str) -> None:
    found = SYSLOG.match(text) or ISO.match(text)
    assert found
    assert moment_of(stamp_of(found.groupdict()), zone=UTC, latest=LATEST) is None


@pytest.mark.parametrize(
    ("word", "month"), [("Sept.", 9), ("8月", 8), ("12월", 12), ("13月", None), ("", None)]
)
def test_months_are_read_in_many_languages(word: str, month: int | None) -> None:
    assert month_of(word) == month


@given(st.text(max_size=200))
def test_no_line_raises(line: str) -> None:
    unwrap(line)
    for name in ALL:
        unwrap(wrapped(name, line))


def test_an_entry_loses_no_field_on_its_way_through_the_wrappings() -> None:
    assert {*Layers.__slots__} - {"is_done", "is_copied"} == {*Entry.__slots__} - {"text"}
