"""Promises of the Linux log's parser, on captured, generated and hostile records."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.model.fault_lines import fault_object
from kerneld.model.records import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse.kmsg import KernelLog, parse_record
from kerneld.parse.kmsg_text import Origin

CAPTURED = Path(__file__).parent.parent / "captured" / "kmsg"
SIZES = (
    "total-vm:900kB, anon-rss:700kB, file-rss:60kB, shmem-rss:5kB, "
    "UID:1000 pgtables:9kB oom_score_adj:-7"
)


def replay(name: str) -> list[LogEvent]:
    """The events of captured records; lines that begin with # tell their origin."""
    log = KernelLog(Trust.KERNEL)
    events: list[LogEvent] = []
    for raw in (CAPTURED / name).read_bytes().splitlines(keepends=True):
        record = None if raw.startswith(b"#") else parse_record(raw)
        if record is not None:
            events += log.feed(
                record.message,
                level=record.level,
                facility=record.facility,
                caller=record.caller,
                origin=Origin(uptime_s=record.uptime_us / 1e6, line_number=record.sequence),
            )
    return events + log.close()


def text(*lines: str) -> list[LogEvent]:
    """Events of bare lines (generated, after the sources that the parser's table names)."""
    log = KernelLog(Trust.TEXT)
    return [event for line in lines for event in log.feed(line)] + log.close()


def kernel(*records: tuple[int, str]) -> list[LogEvent]:
    log = KernelLog(Trust.KERNEL)
    return [e for level, line in records for e in log.feed(line, level=level, facility=0)] + log.close()


# ---------------------------------------------------------------- captured


def test_a_report_of_many_lines_is_one_event() -> None:
    [event] = replay("oom-memcg-v1-6.18.txt")
    assert event.kind == "oom_memcg"
    assert event.trust is Trust.KERNEL
    assert event.comm == event.invoker_comm == "python"
    assert event.uid == 0
    assert event.oom_score_adj == 0
    assert event.constraint == "CONSTRAINT_MEMCG"
    assert event.cgroup == event.oom_cgroup == "/kd-kmsg-capture"
    assert [row.pid for row in event.top] == [event.pid]
    assert event.top[0].rss_kb == (event.anon_rss_kb or 0) + (event.file_rss_kb or 0)
    assert event.line.startswith("Memory cgroup out of memory: Killed process ")
    assert event.uptime_s is not None


@pytest.mark.parametrize(
    ("name", "kind", "place"),
    [
        ("segfault-6.18.txt", "segfault", ("libc.so.6", "167ad8")),
        ("badjump-6.18.txt", "segfault", (None, None)),
        ("gpf-6.18.txt", "gpf", ("dev/zero", "a")),
        ("ud-6.18.txt", "invalid_opcode", ("dev/zero", "0")),
        ("int3-6.18.txt", "int3", ("dev/zero", "1")),
        ("divide-6.18.txt", "divide_error", ("dev/zero", "9")),
        ("seccomp-6.18.txt", "seccomp", (None, None)),
    ],
)
def test_a_crash_names_its_kind_its_thread_and_its_place(
    name: str, kind: str, place: tuple[str | None, str | None]
) -> None:
    [event] = replay(name)
    assert (event.kind, event.comm) == (kind, "python")
    assert event.pid is not None
    assert event.pid > 25_000
    assert fault_object(event) == place
    assert int(event.ip or "x", 16) >= 0


def test_seccomp_tells_the_signal() -> None:
    assert [e.signal for e in replay("seccomp-6.18.txt")] == [9]


def test_a_library_named_like_a_kill_line_is_a_crash_only() -> None:
    [event] = replay("segfault-forged-kill-line-6.18.txt")
    assert event.kind == "segfault"
    assert event.pid != 4242
    assert "\n" not in event.line
    assert "\n" not in (event.object or "")


def test_what_user_space_wrote_is_not_linux_s_word() -> None:
    assert b"4242" in (CAPTURED / "forged-by-user-space-6.18.txt").read_bytes()
    assert replay("forged-by-user-space-6.18.txt") == []


# ---------------------------------------------------------------- records


def test_a_record_s_head_is_read_and_its_dictionary_dropped() -> None:
    raw = b"6,339,5140900,-,caller=T99;NET: \\x0aRegistered\n SUBSYSTEM=net\n DEVICE=+net:lo\n"
    record = parse_record(raw)
    assert record is not None
    assert (record.facility, record.level, record.sequence) == (0, 6, 339)
    assert (record.uptime_us, record.caller, record.continues) == (5140900, "T99", False)
    assert record.message == "NET: \\x0aRegistered"


@pytest.mark.parametrize("raw", [b"", b"6,1,2", b"x;y", b"6,1;no time", b"-1,2,3,-;x", b"\xff" * 99])
def test_what_is_no_record_is_none(raw: bytes) -> None:
    assert parse_record(raw) is None


@given(st.binary(max_size=400))
def test_no_bytes_raise(raw: bytes) -> None:
    record = parse_record(b"3,1,2,-;" + raw)
    assert record is not None
    parse_record(raw)
    text(raw.decode("utf-8", "surrogateescape"), record.message)


@given(
    st.lists(
        st.sampled_from(
            [
                "a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
                "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
                "[ pid ]   uid  tgid total_vm      rss cpu oom_adj name",
                "[      7]     0     7    28151    27132   274432        0             0 x y",
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,"
                "task_memcg=/a/b,task=x,pid=7,uid=0",
                "Memory cgroup out of memory: Kill process 7 (x) score 9 or sacrifice child",
                f"Memory cgroup out of memory: Killed process 7 (x) {SIZES}",
                "Tasks in /a are going to be killed due to memory.oom.group set",
                "Task in /a/b killed as a result of limit of /a",
                "x[7]: segfault at 0 ip 0 sp 0 error 4",
                " in libc.so[1,2+3]",
                "potentially unexpected fatal signal 11.",
                "CPU: 0 PID: 9 Comm: x Not tainted 6.1",
            ]
        ),
        max_size=12,
    ),
    st.integers(0, 200),
)
def test_no_order_and_no_cut_of_lines_raises(lines: list[str], cut: int) -> None:
    text(*lines)
    text(*(line[:cut] for line in lines))


# ---------------------------------------------------------------- names


def escaped(comm: bytes) -> str:
    """As kernel/printk/printk.c append_char has it."""
    return "".join(chr(b) if 32 <= b < 127 and b != 0x5C else f"\\x{b:02x}" for b in comm)


COMMS = st.one_of(
    st.binary(min_size=1, max_size=15).filter(lambda comm: 0 not in comm),
    st.text("ab()[]:,= 1\\\n\x1b", min_size=1, max_size=15).map(str.encode),
    st.sampled_from(
        [b") total-vm:1kB", b",task=x,pid=1", b"a[5]: segfault", b"]: segfault at", b"\\x0a"]
    ),
)


@given(COMMS)
def test_any_name_comes_back_from_every_line(comm: bytes) -> None:
    name, shown = comm.decode("utf-8", "backslashreplace"), escaped(comm)
    report = kernel(
        (4, f"{shown} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
        (6, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,"
            f"task_memcg=/a/b,task={shown},pid=7,uid=1000"),
        (3, f"Memory cgroup out of memory: Killed process 7 ({shown}) {SIZES}"),
    )  # fmt: skip
    assert [(e.pid, e.comm, e.invoker_comm) for e in report] == [(7, name, name)]
    assert (report[0].cgroup, report[0].oom_cgroup) == ("/a/b", "/a")
    for line, kind in (
        (f"{shown}[9]: segfault at 8 ip 0 sp 0 error 4 in x[1,2+3]", "segfault"),
        (f"traps: {shown}[9] trap int3 ip:1 sp:2 error:0 in x[2+3]", "int3"),
    ):
        assert [(e.kind, e.pid, e.comm) for e in kernel((6, line))] == [(kind, 9, name)]


def test_commas_in_a_cgroup_s_name_forge_nothing() -> None:
    group = "/u/a,task_memcg=/root,task=b,pid=1,uid=0"
    [event] = kernel(
        (6, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            f"oom_memcg={group},task_memcg={group}/c,task=py,pid=7,uid=1000"),
        (3, f"Memory cgroup out of memory: Killed process 7 (py) {SIZES}"),
    )  # fmt: skip
    assert (event.pid, event.uid, event.oom_cgroup, event.cgroup) == (7, 1000, group, f"{group}/c")


@pytest.mark.parametrize(
    ("cpuset", "limit", "group"),
    [
        ("c,mems_allowed=9,oom_memcg=/forged", "/a", "/a/b"),
        ("c,mems_allowed=9,global_oom,task_memcg=", "/a", "/a"),
        ("/", "/u/x,mems_allowed=9,oom_memcg=/forged", "/u/x,mems_allowed=9,oom_memcg=/forged/y"),
        ("x", "/", "/u,mems_allowed=0,oom_memcg=/,task_memcg=/v"),
    ],
)
def test_a_cgroup_s_name_forges_no_other(cpuset: str, limit: str, group: str) -> None:
    [event] = kernel(
        (6, f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={cpuset},mems_allowed=0-1,3,"
            f"oom_memcg={limit},task_memcg={group},task=py,pid=7,uid=1000"),
        (3, f"Memory cgroup out of memory: Killed process 7 (py) {SIZES}"),
    )  # fmt: skip
    assert (event.oom_cgroup, event.cgroup) == (limit, group)


# ---------------------------------------------------------------- belief


@pytest.mark.parametrize(
    ("level", "line"),
    [
        (6, f"Out of memory: Killed process 4242 (python3) {SIZES}"),
        (4, f"Memory cgroup out of memory: Killed process 4242 (python3) {SIZES}"),
        (3, f"x Out of memory: Killed process 4242 (python3) {SIZES}"),
        (3, f"Out of memory: Killed process 4242 (python3) {SIZES} x"),
        (3, f'EXT4-fs (vda): bad option "x\\x0aKilled process 4242 (a) {SIZES}" or'),
        (3, "python3[4242]: segfault at 0 ip 0 sp 0 error 4 in x[1,2+3]"),
        (3, "Out of memory: Kill process 4242 (python3) score 9 or sacrifice child"),
        (6, "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
            "task_memcg=/,task=a,pid=4242,uid=0"),
        (3, "Out of memory: OOM victim 4242 (x) is already exiting. Skip killing the task"),
        (4, "general protection fault: 0000 [#1] SMP"),
        (3, "Out of memory and no killable processes..."),
        (5, "audit: type=1326 audit(1.2:3): auid=0 uid=0 gid=0 ses=1 pid=4242 comm=\"x\" "
            "exe=\"/x\" sig=0 arch=c000003e syscall=1 compat=0 ip=0x1 code=0x7ffc0000"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_linux_does_not_say_so_is_no_event(level: int, line: str) -> None:
    assert kernel((level, line)) == []


def test_a_log_without_levels_is_not_taken_for_linux_s_own() -> None:
    log = KernelLog(Trust.KERNEL)
    assert log.feed(f"Out of memory: Killed process 1 (a) {SIZES}") == []
    assert [e.trust for e in text(f"Out of memory: Killed process 1 (a) {SIZES}")] == [Trust.TEXT]


def test_a_later_victim_inherits_nothing_of_an_earlier_report() -> None:
    """Linux rate-limits the report, not the line of the kill."""
    report = [
        (4, "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
        (6, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"),
        (6, "[      7]     5     7    28151    27132   274432        0             0 a b"),
        (6, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,"
            "task_memcg=/a,task=a b,pid=7,uid=5"),
        (3, f"Memory cgroup out of memory: Killed process 7 (a b) {SIZES}"),
    ]  # fmt: skip
    first, second = kernel(*report, (3, f"Out of memory: Killed process 8 (c) {SIZES}"))
    assert [(row.pid, row.comm, row.rss_kb) for row in first.top] == [(7, "a b", 27132 * 4)]
    assert (second.kind, second.pid, second.top) == ("oom_global", 8, ())
    assert (second.invoker_comm, second.constraint, second.oom_cgroup) == (None, None, None)
    [other] = kernel(*report[:4], (3, f"Out of memory: Killed process 8 (c) {SIZES}"))
    assert (other.pid, other.constraint, other.top) == (8, None, ())


def test_reports_of_two_callers_do_not_mix() -> None:
    log = KernelLog(Trust.TEXT)
    events: list[LogEvent] = []
    for caller, line in (
        ("T1", "one invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
        ("T2", "two invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
        ("T1", f"Out of memory: Killed process 1 (a) {SIZES}"),
        ("T2", f"Memory cgroup out of memory: Killed process 2 (b) {SIZES}"),
    ):
        events += log.feed(line, caller=caller)
    assert [(e.pid, e.invoker_comm) for e in events] == [(1, "one"), (2, "two")]


def test_a_fault_torn_between_two_callers_is_joined() -> None:
    log = KernelLog(Trust.TEXT)
    events: list[LogEvent] = []
    for caller, line in (
        ("T1", "traps: x[1] trap invalid opcode ip:5 sp:7 error:0"),
        ("T2", "traps: y[2] trap int3 ip:5 sp:7 error:0"),
        ("C0", "usb 1-1: gone"),
        ("T1", " in a.so[1+2]"),
        ("T2", " in b.so[1+2]"),
    ):
        events += log.feed(line, caller=caller)
    assert [(e.pid, e.object) for e in events] == [(1, "a.so[1+2]"), (2, "b.so[1+2]")]
    log.feed("traps: x[1] trap int3 ip:5 sp:7 error:0", caller="T1")
    late = [event for number in range(40) for event in log.feed(f"usb {number}", caller="C0")]
    assert [(e.pid, e.object) for e in late] == [(1, None)]


def test_members_of_an_oom_group_are_events_of_their_own_once() -> None:
    group = "Tasks in /a are going to be killed due to memory.oom.group set"
    lines = [f"Memory cgroup out of memory: Killed process {pid} (x) {SIZES}" for pid in (7, 8, 7, 9)]
    constraint = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,"
        "task_memcg=/a/b,task=x,pid=7,uid=0"
    )
    events = text(constraint, lines[0], group, *lines[1:])
    assert [(e.pid, e.oom_cgroup, e.cgroup, e.has_group) for e in events] == [
        (7, "/a", "/a/b", False), (8, "/a", "/a", True), (9, "/a", "/a", True),
    ]  # fmt: skip


TABLE_HEAD = "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name"


def test_a_victim_that_is_a_thread_has_its_process_s_row() -> None:
    row = "[ 4712]  1000  4700   100000    50000     100        0            -5 worker"
    killed = OLD.replace("process 8 (c)", "process 4712 (worker)")
    [event] = text(INVOKED.format(0), TABLE_HEAD, row, f"Out of memory: {killed}")
    assert (event.pid, event.process_pid, event.uid, event.oom_score_adj) == (4712, 4700, 1000, -5)


@pytest.mark.parametrize("said", ["SysRq : Manual OOM execution", "sysrq: Manual OOM execution", ""])
def test_a_kill_that_was_asked_for_is_told_as_that(said: str) -> None:
    lines = [*([said] if said else []), INVOKED.format(0 if said else -1), f"Out of memory: {OLD}"]
    events = text(*lines, INVOKED.format(0), f"Out of memory: {OLD}")
    assert [event.is_asked_for for event in events] == [True, False]


# ---------------------------------------------------------------- every Linux's wording

INVOKED = "kworker/0:2 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order={}, oom_score_adj=0"
OLD = f"Killed process 8 (c) {SIZES.partition(', UID')[0]}"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Out of memory: Kill process 7 (p) score 9 or sacrifice child", OLD], ("oom_global", 8, "c")),
        (["Memory cgroup out of memory: Kill process 7 (p) score 9 or sacrifice child", OLD],
         ("oom_memcg", 8, "c")),
        (["Out of memory: kill process 7 (p) score 28456 or a child", "Killed process 8 (c)"],
         ("oom_global", 8, "c")),
        (["Killed process 8, UID 500, (c) total-vm:1kB, anon-rss:2kB, file-rss:3kB"],
         ("oom_global", 8, "c")),
        (["Killed process 8 (c), UID 0, total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:0kB"],
         ("oom_global", 8, "c")),
        (["Out of memory (oom_kill_allocating_task): Killed process 8 (c) total-vm:1kB, anon-rss:2kB"],
         ("oom_global", 8, "c")),
        (["Out of Memory: Killed process 8 (c)."], ("oom_global", 8, "c")),
        (["Out of memory: Kill process 7 (p) score 9 or sacrifice child"], ("oom_global", 7, "p")),
        (["x[9]: segfault at 8 ip 000 sp 00f error 4 in a b[1000+2000]"], ("segfault", 9, "x")),
        (["x[9]: segfault at 0 ip (null) sp 00007fff error 14 in x[4+5]"], ("segfault", 9, "x")),
        (["x[9]: segfault at 00b3ff74 eip b7e0947a esp bfa24bd8 error 4"], ("segfault", 9, "x")),
        (["x[9]: segfault (11) at 8 nip 10000 lr 1000 code 1 in a.out[1+2]"], ("segfault", 9, "x")),
        (["x[9]: unhandled level 2 translation fault (11) at 0x00000018, esr 0x92000006, in l.so[1+2]"],
         ("segfault", 9, "x")),
        (["x[9]: unhandled exception: DABT (lower EL), ESR 0x0000000092000004, level 0 "
          "translation fault in l.so[1,2+3]"], ("segfault", 9, "x")),
        (["x[9]: undefined instruction: pc=0000007f939a0700"], ("invalid_opcode", 9, "x")),
        (["x[9]: unhandled signal 11 code 0x1 at 0x0000000000 in l[1+2]"], ("segfault", 9, "x")),
        (["do_page_fault(): sending SIGSEGV to x for invalid read access from 772c6320"],
         ("segfault", None, "x")),
        (["x[9] general protection ip:1 sp:2 error:0 in l[1+2]"], ("gpf", 9, "x")),
        (["traps: x[9] control protection ip:1 sp:2 ssp:3 error:4(near ret) in l[1+2]"],
         ("other", 9, "x")),
        (["traps: x[9] trap stack segment ip:1 sp:2 error:0"], ("other", 9, "x")),
        (["potentially unexpected fatal signal 6.", "CPU: 0 UID: 0 PID: 9 Comm: x Tainted: G 6"],
         ("fatal_signal", 9, "x")),
        (["x: y: potentially unexpected fatal signal 6.", "CPU: 1 PID: 9 Comm: x: y Not tainted"],
         ("fatal_signal", 9, "x: y")),
        (["MCE: Killing x:y:9 due to hardware memory corruption fault at 4631e000"], ("mce", 9, "x:y")),
        (["Memory failure: 0x118cb9: Sending SIGBUS to x:9 due to hardware memory corruption"],
         ("mce", 9, "x")),
        (["Memory failure: 0x1: Killing x:9 due to hardware memory corruption"], ("mce", 9, "x")),
        (["NVRM: Xid (PCI:0000:9b:00): 119, pid=9, name=x::y, Timeout after 6s"], ("xid", 9, "x::y")),
        (["NVRM: Xid (PCI:0000:38:00): 13, pid='<unknown>', name=<unknown>, Graphics Exception"],
         ("xid", None, None)),
        (["NVRM: Xid (0000:01:00): 8, Channel 00000020"], ("xid", None, None)),
        (['audit: type=1701 audit(1:3): auid=1 uid=0 gid=0 ses=1 pid=9 comm="x" exe="/x" sig=6 res=1'],
         ("other", 9, "x")),
        (['type=1326 audit(1.2:3): auid=1 uid=0 gid=0 ses=1 pid=9 comm="x" reason="seccomp" sig=31 '
          "syscall=62 compat=0 ip=0x1 code=0x0"], ("seccomp", 9, "x")),
        (["type=1326 audit(1.2:3): auid=1 uid=0 gid=0 ses=1 subj==unconfined pid=9 comm=782079 "
          'exe="/x y" sig=31 arch=c000003e syscall=1 compat=0 ip=0x1 code=0x0'], ("seccomp", 9, "x y")),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_each_linux_s_wording_is_one_event(
    lines: list[str], expected: tuple[str, int | None, str | None]
) -> None:
    assert [(e.kind, e.pid, e.comm) for e in text(*lines)] == [expected]


@pytest.mark.parametrize(
    ("columns", "numbers", "adj"),
    [
        ("cpu oom_adj", "1 -17", None),
        ("nr_ptes swapents oom_score_adj", "64 0 -999", -999),
        ("nr_ptes nr_pmds swapents oom_score_adj", "64 3 0 5", 5),
        ("pgtables_bytes swapents oom_score_adj", "274432 0 1000", 1000),
        ("rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj", "1 2 3 4096 0 7", 7),
    ],
    ids=["2.6", "3.x", "4.x", "5.x", "6.8"],
)
def test_the_task_table_of_every_linux_is_read(columns: str, numbers: str, adj: int | None) -> None:
    rows = [f"[{pid:7}]  1000 {pid} 9000 {100 + pid} {numbers} 1 (a) b" for pid in range(1, 13)]
    [event] = text(
        "a invoked oom-killer: gfp_mask=0xd0, order=0, oom_adj=0",
        f"[ pid ]   uid  tgid total_vm      rss {columns} name",
        *rows,
        "Out of memory: Kill process 12 (1 (a) b) score 9 or sacrifice child",
        "Killed process 12 (1 (a) b)",
    )
    assert [(t.pid, t.rss_kb) for t in event.top] == [(p, (100 + p) * 4) for p in range(12, 2, -1)]
    assert {t.comm for t in event.top} == {"1 (a) b"}
    assert (event.uid, event.oom_score_adj) == (1000, adj)


def test_an_object_that_was_torn_off_is_joined() -> None:
    log = KernelLog(Trust.KERNEL)
    head = "traps: x[9] trap invalid opcode ip:5 sp:7 error:0"
    assert log.feed(head, level=6, facility=0) == []
    assert log.is_waiting
    [event] = log.feed(" in chrome[1+2]", level=4, facility=0)
    assert (event.kind, event.object) == ("invalid_opcode", "chrome[1+2]")
    log.feed(head, level=6, facility=0)
    assert [e.object for e in log.flush()] == [None]
