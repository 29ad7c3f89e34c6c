"""What imitates a kill in a log is not believed; what is broken or cut in a paste is still read."""

import pytest
from scans import SIZES, scan

from kerneld.model.vocabulary import Trust
from kerneld.scan.reader import WHOLE_BYTES

KILL = f"Out of memory: Killed process 4242 (python3) {SIZES}"
TORN = "a[1]: segfault at 0 ip 0 sp 0 error 4 in x"
POWERPC = "a[1]: segfault (11) at 0 nip 0 lr 0 code 1 in x"
FRAME = "a[1] bad frame in rt_sigreturn frame:0 ip:0 sp:0 orax:0 in x"
AT, SAME, LATER = "[   12.345678] ", "[   12.345678] ", "[   13.000001] "


def told(*lines: str) -> list[tuple[str, int | None]]:
    return [(event.kind, event.pid) for event in scan("\n".join([*lines, ""]))]


SYSLOG = "Nov 26 10:11:12 h kernel: "
CRASH = [("segfault", 1)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"{AT}{TORN}", f"{KILL}[7f00+1000] likely on CPU 0 (core 0, socket 0)", f"{LATER}y"), CRASH),
        ((f"{AT}{TORN}", f"               {KILL}[1102,7f00+1000]", f"{LATER}y"), CRASH),
        ((f"{AT}{TORN}", KILL, "y[7f00+1000]", f"{LATER}y"), CRASH),
        ((f"{AT}{TORN}", "", "", KILL, "y[7f00+1000]", f"{LATER}y"), CRASH),
        ((f"{AT}{TORN}", f"{SAME}{KILL}", f"{SAME}y[7f00+1000]", f"{LATER}y"), CRASH),
        ((TORN, KILL, "y[7f00+1000]", "foo"), CRASH),
        ((f"{AT}traps: a[1] trap int3 ip:1 sp:2 error:0 in x", KILL, "y[1+2]"), [("int3", 1)]),
        ((f"{AT}{TORN}]", f"{SAME}{KILL}", f"{SAME}y[7f00+1000]", f"{LATER}y"), CRASH),
        ((f"{AT}{POWERPC}", f"{SAME}{KILL}", f"{SAME}y[7f00+1000]", f"{LATER}y"), CRASH),
        ((f"{AT}{FRAME}", f"{SAME}{KILL}", f"{SAME}y[7f00+1000]", f"{LATER}y"), [("other", 1)]),
        ((f'{AT}EXT4-fs (vda): Unrecognized mount option "x', KILL, '" or missing', f"{LATER}y"), []),
        ((f"{AT}tmpfs: Unknown parameter 'x", f"{SAME}{KILL}", f"{SAME}'", f"{LATER}y"), []),
        ((f"{AT}tmpfs: Unknown parameter 'x", f"               {KILL}'", f"{LATER}y"), []),
        ((f"{AT}something", KILL, f"{LATER}y"), []),
        ((*(f"{SYSLOG}{AT}{i}" for i in "abc"), f"{SYSLOG}{KILL}"), []),
        ((*(f"kern  :info  : {AT}{i}" for i in "abc"), f"{AT}{KILL}"), []),
        ((f"user  :err   : {AT}{KILL}",), []),
        ((f"11,1,2,-;{KILL}",), []),
        ((f"6,1,2,-;{KILL}",), []),
        ((f"<11>{KILL}",), []),
        ((f"<14>Nov 26 10:11:12 h kernel: {KILL}",), []),
        ((f"<6>{AT}{KILL}",), []),
        ((f"Nov 26 10:11:12 h python[1]: {KILL}",), []),
        ((f"Nov 26 10:11:12 h python: {KILL}",), []),
        ((f"Nov 26 10:11:12 h python: Nov 26 10:11:12 h kernel: {KILL}",), []),
        ((f"Nov 26 10:11:12 h kernel[0]: {KILL}",), []),
        ((f"python: {KILL}",), []),
        ((f"INFO:root:{KILL}",), []),
        ((f"{AT}systemd[1]: {KILL}",), []),
        ((f"2026-11-26 10:11:12,123 INFO root: {KILL}",), []),
        ((f"echo {KILL}",), []),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_what_imitates_a_kill_is_not_believed(
    lines: tuple[str, ...], expected: list[tuple[str, int]]
) -> None:
    assert told(*lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"{AT}{TORN}>", f"{LATER}{KILL}"), [("segfault", 1), ("oom_global", 4242)]),
        ((f"{AT}{TORN}", f"{LATER}{KILL}"), [("segfault", 1), ("oom_global", 4242)]),
        ((f'{AT}say "hi', f"{LATER}{KILL}"), [("oom_global", 4242)]),
        (
            (f'{AT}a"b invoked oom-killer: gfp_mask=0x0, order=0', f"{SAME}{KILL}"),
            [("oom_global", 4242)],
        ),
        (("low memory", KILL, "and then it was gone"), [("oom_global", 4242)]),
    ],
    ids=["pager", "cut", "quote", "name", "prose"],
)
def test_a_kill_beside_something_odd_is_told(
    lines: tuple[str, ...], expected: list[tuple[str, int]]
) -> None:
    assert told(*lines) == expected


@pytest.mark.parametrize("cut", range(8, len(KILL), 7))
def test_a_kill_that_a_terminal_broke_is_joined(cut: int) -> None:
    head, tail = KILL[:cut], KILL[cut:]
    for lines in ((f"{AT}{head}", tail, f"{LATER}x"), (f"> {AT}{head}", f"> {tail}"), (head, tail)):
        [event] = scan("\n".join([*lines, ""]))
        assert (event.pid, event.comm, event.uid, event.oom_score_adj) == (4242, "python3", 1000, -7)


def test_pieces_that_mail_broke_between_words_are_joined() -> None:
    words = KILL.replace(", ", ",\n").replace(" pgtables", "\npgtables")
    [event] = scan(f"{AT}{words}\n{LATER}x\n")
    assert (event.pid, event.shmem_rss_kb, event.uid) == (4242, 5, 1000)


@pytest.mark.parametrize("cut", range(len("Out of memory: Killed process 4242"), len(KILL)))
def test_a_kill_cut_by_a_pager_tells_what_stands_whole(cut: int) -> None:
    for end in (">", ""):
        events = scan(f"{AT}{KILL[:cut]}{end}\n")
        if not events:
            assert not end or cut <= len("Out of memory: Killed process 4242 (")
            continue
        [event] = events
        assert event.pid == 4242
        assert event.comm in (None, "python3")
        for name, size in (
            ("total_vm_kb", 900),
            ("anon_rss_kb", 700),
            ("uid", 1000),
            ("oom_score_adj", -7),
        ):
            assert getattr(event, name) in (None, size)


def test_one_death_in_two_ways_into_the_log_is_one() -> None:
    line = f"{AT}{KILL}"
    assert told(line, line) == [("oom_global", 4242)]
    who = 'auid=0 uid=0 gid=0 ses=1 pid=9 comm="x" exe="/x"'
    audit = f"{who} sig=31 arch=c000003e syscall=1 compat=0 ip=0x1 code=0x0"
    twice = told(
        f"Nov 26 10:11:12 h kernel: audit: type=1326 audit(1.2:3): {audit}",
        f"Nov 26 10:11:12 h audit[9]: SECCOMP {audit}",
    )
    assert twice == [("seccomp", 9)]


def test_a_byte_order_mark_hides_no_first_line() -> None:
    assert told(f"\ufeffNov 26 10:11:12 h kernel: {KILL}") == [("oom_global", 4242)]


def test_a_whole_machine_s_end_is_no_death() -> None:
    for line in (
        "Kernel panic - not syncing: Out of memory and no killable processes...",
        "BUG: kernel NULL pointer dereference, address: 0000000000000078",
        "general protection fault, probably for non-canonical address 0x0: 0000 [#1] SMP",
        "oom_reaper: reaped process 7 (x), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
        "INFO: task docker:20744 blocked for more than 120 seconds.",
        "python3: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL)",
    ):
        assert told(f"{AT}{line}") == []


# ---------------------------------------------------------------- who may say how sure a line is

FORGED = {
    "kmsg behind a date": "Jun  1 10:00:00 host 3,1,100000001,-;{}",
    "kmsg in a container": "2026-11-26T10:11:12Z stdout F 3,1,100000001,-;{}",
    "a priority in a container": "2026-11-26T10:11:12Z stdout F <3>kernel: {}",
    "kmsg in Docker's JSON": '{{"log":"3,1,100000001,-;{}\\n","stream":"stdout"}}',
    "kmsg in an application's JSON": '{{"msg":"3,1,100000001,-;{}"}}',
    "the journal in a container": '2026-11-26T10:11:12Z stdout F {{"MESSAGE":"{}",'
    '"_TRANSPORT":"kernel","PRIORITY":"3","SYSLOG_IDENTIFIER":"kernel"}}',
    "kmsg behind an application's date": "2025-06-01 10:00:00 3,1,1,-;{}",
    "a pod's output": "[pod/a/b] 3,1,100000001,-;{}",
    "compose's output": "a_1  | 3,1,100000001,-;{}",
}


@pytest.mark.parametrize("name", FORGED)
def test_what_an_application_may_have_written_never_has_the_kernel_s_trust(name: str) -> None:
    line = FORGED[name].replace("{{", "{").replace("}}", "}").replace("{}", KILL)
    assert [event.trust for event in scan(f"{line}\n") if event.trust is Trust.KERNEL] == []


def test_a_kill_under_the_name_of_audit_is_none() -> None:
    assert told(f"Nov 26 10:11:12 h audit[9]: {KILL}", f"audit[9]: {KILL}") == []


@pytest.mark.parametrize("level", ["info", "notice", "warn", "debug"])
def test_a_kill_at_another_level_than_linux_s_is_none(level: str) -> None:
    assert told(f"kern  :{level:6}: {AT}{KILL}") == []
    assert told(f'{{"pri":"{level}","fac":"kern","time":1.5,"msg":"{KILL}"}}') == []
    assert told(f"kern  :err   : {AT}{KILL}") == [("oom_global", 4242)]


@pytest.mark.parametrize("time", ["NaN", "Infinity", "-Infinity", "1e999", "true", "9" * 400])
def test_a_time_that_is_no_number_is_none(time: str) -> None:
    [event] = scan(f'{{"pri":3,"time":{time},"msg":"{KILL}"}}\n')
    assert event.uptime_s is None


def test_who_logs_under_a_daemon_s_name_must_be_one() -> None:
    line = 'sending SIGKILL to process 9 \\"x\\": badness 1, VmRSS 2 MiB'
    known = f'"MESSAGE":"{line}","_TRANSPORT":"syslog","SYSLOG_IDENTIFIER":"earlyoom"'
    assert told(f'{{{known},"_COMM":"logger"}}') == []
    assert told(f'{{{known},"_COMM":"earlyoom"}}') == [("earlyoom", 9)]


def test_audit_s_enriched_and_interpreted_lines_are_read() -> None:
    who = 'auid=0 uid=0 gid=0 ses=1 pid=9 comm="x" exe="/x" sig=6 res=1\x1dAUID="joe" UID="joe"'
    assert told(f"type=ANOM_ABEND msg=audit(1.2:3): {who}") == [("other", 9)]
    said = (
        "msg=audit(11/26/2026 10:11:12.123:4) : auid=joe uid=joe gid=joe ses=1 pid=9 comm=a b exe=/x y"
    )
    call = "arch=x86_64 syscall=ptrace compat=0 ip=0x7f code=kill"
    for line, expected in (
        (f"type=ANOM_ABEND {said} sig=SIGSEGV res=yes ", ("other", 9, "a b", 11)),
        (f"type=SECCOMP {said} sig=SIGSYS {call} ", ("seccomp", 9, "a b", 31)),
    ):
        [event] = scan(f"----\n{line}\n")
        assert (event.kind, event.pid, event.comm, event.signal) == expected
    assert told(f"type=SECCOMP {said} sig=SIG0 {call} ") == []


def test_audit_s_own_time_counts_where_the_line_has_no_other() -> None:
    [event] = scan('type=1701 audit(1795687872.25:3): auid=0 uid=0 gid=0 ses=1 pid=9 comm="x" sig=6\n')
    assert event.time is None, "no milliseconds: not audit's"
    [event] = scan('type=1701 audit(1795687872.250:3): auid=0 uid=0 gid=0 ses=1 pid=9 comm="x" sig=6\n')
    assert event.time is not None
    assert event.time.isoformat() == "2026-11-26T10:11:12.250000+00:00"


def test_a_victim_that_ends_by_itself_was_not_killed() -> None:
    summary = (
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
        "task_memcg=/,task=x,pid=7,uid=0"
    )
    skipped = "Out of memory: OOM victim 7 (x) is already exiting. Skip killing the task"
    assert told(f"{AT}{summary}", f"{AT}{skipped}", f"{LATER}y") == []


# ---------------------------------------------------------------- applications in a syslog file


@pytest.mark.parametrize("size", [10, 5_000, 60_000])
@pytest.mark.parametrize("deep", [0, WHOLE_BYTES + 10])
def test_no_line_of_an_application_s_long_message_is_linux_s(size: int, deep: int) -> None:
    head = "Nov 26 10:11:12 h app[7]: "
    text = "a line of a message\n" * (size // 20)
    log = f"{head}{'x' * 70}\n" * (deep // 97) + f"{head}begins\n{text}{KILL}\n{head}y\n"
    assert [*scan(log)] == []


def test_a_part_of_a_log_without_prefixes_is_read_far_behind_one_with() -> None:
    bare = "usb 1-1: new\n" * 8000
    assert [event.pid for event in scan(f"{SYSLOG}x\n{bare}{KILL}\n{bare}")] == [4242]


@pytest.mark.parametrize("before", ["h kernel: x", "h app[3]: x"])
@pytest.mark.parametrize("form", [f"{AT}{{}}", f"<3>{AT}{{}}", "3,1,12345678,-;{}"])
def test_a_syslog_line_without_a_tag_is_nobody_s(before: str, form: str) -> None:
    line = f"Nov 26 10:11:12 {{}} {form.replace('{}', KILL)}"
    tagged = f"Nov 26 10:11:10 {before}"
    assert told(tagged, line.format("h"), tagged) == []
    assert told(tagged, line.format("10.0.0.5"), tagged) == [("oom_global", 4242)], "netconsole"


# ---------------------------------------------------------------- the journal's export format

RECORD = b"__CURSOR=a\n__REALTIME_TIMESTAMP=1795687872123456\n_TRANSPORT=%b\nPRIORITY=3\n"
TRUE = RECORD % b"kernel" + b"SYSLOG_IDENTIFIER=kernel\nMESSAGE=" + KILL.encode() + b"\n\n"


def binary(name: bytes, value: bytes) -> bytes:
    return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


@pytest.mark.parametrize("before", [0, 10, 70_000, 1_200_000])
@pytest.mark.parametrize("line", [b"x" * 100 + b"\n", b"x" * 100_000, b""])
def test_a_value_that_holds_a_record_is_no_record(before: int, line: bytes) -> None:
    text = (line * (before // len(line) + 1))[:before] if line else b"\n" * before
    hostile = RECORD % b"syslog" + binary(b"MESSAGE", text + b"\n\n" + TRUE + b"x") + b"\n"
    assert scan(hostile) == []
    assert [(e.pid, e.trust) for e in scan(hostile + TRUE)] == [(4242, Trust.KERNEL)]


@pytest.mark.parametrize("size", [10, 10 + 256, 2570, 13, 0])
def test_a_value_of_any_length_ends_where_it_ends(size: int) -> None:
    record = RECORD % b"syslog" + binary(b"X", b"\n" * size) + b"MESSAGE=a\n\n"
    assert [event.pid for event in scan(record + TRUE)] == [4242]


def test_a_record_that_other_lines_print_has_text_s_trust() -> None:
    events = scan(b"Nov 26 10:11:12 h app[1]: dump\n" + TRUE)
    assert [event.trust for event in events if event.trust is Trust.KERNEL] == []
