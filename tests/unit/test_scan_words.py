"""What `kerneld scan` says of an event: only what its line states, in words that fit a terminal."""

from datetime import UTC, datetime

import pytest

from kerneld.model.records import LogEvent, MemoryTotals, TaskRow
from kerneld.outputs.scan import Told, day_line, folded, paragraph
from kerneld.outputs.scan_words import details, sentence
from kerneld.outputs.view import View

VIEW = View(datetime(2026, 11, 27, tzinfo=UTC), UTC, 80)
MIB = 1024
NVRM = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."


def event(kind: str, **fields: object) -> LogEvent:
    return LogEvent.model_validate({"kind": kind, "pid": 7, "comm": "py", **fields})


def segfault(**fields: object) -> LogEvent:
    return event("segfault", ip="7f01", object="l.so[1,7f00+1000]", **fields)


def beside(of: LogEvent) -> str:
    return "; ".join(text.replace("\u00a0", " ") for text, _ in details(of))


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (event("oom_global", is_asked_for=True),
         "was killed: somebody asked Linux to kill the largest process (SysRq f)"),
        (event("oom_memcg", has_group=True), "was killed with its group: its cgroup was full"),
        (event("oom_memcg"), "was killed: its cgroup was full"),
        (event("mce"), "was killed: it touched memory that was reported as corrupt"),
        (event("mce", line="Memory failure: 0x1: Sending SIGBUS to py:7 due to …"),
         "was sent SIGBUS: memory it has was reported as corrupt"),
        (event("earlyoom", signal=15), "was sent SIGTERM by earlyoom: too little memory was left"),
        (event("nohang", signal=9), "was killed by nohang: too little memory was left"),
        (event("gpf"), "crashed: used an address that cannot exist"),
        (event("other", signal=6, line="audit: type=1701 audit(1:2): auid=1 uid=…"),
         "ended abnormally by SIGABRT, as audit says"),
        (event("other", line="lowmemorykiller: Killing 'py' (7), adj 0,"),
         "was killed by Android's low memory killer"),
        (event("other", line="py[7] trap stack segment ip:1 sp:0 error:0"),
         "crashed: a bad stack pointer (stack segment trap)"),
        (event("fatal_signal", signal=11), "was ended by SIGSEGV"),
    ],
)  # fmt: skip
def test_the_sentence_claims_what_the_line_states(of: LogEvent, said: str) -> None:
    assert sentence(of).replace("\u00a0", " ") == f"py (pid 7) {said}"


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (segfault(fault_addr="0"), "through a null pointer, by code in l.so"),
        (segfault(fault_addr="0x117"),
         "near null (0x117): a field of a null pointer, as a rule, by code in l.so"),
        (segfault(fault_addr="1000"), "at address 0x1000, by code in l.so"),
        (event("segfault", fault_addr="0", ip="0"), "it called a null function pointer"),
        (event("segfault", fault_addr="0", line="py[7]: segfault at 0 ip (null) sp 1 error 14"),
         "it called a null function pointer"),
        (event("segfault", fault_addr="beef", ip="0000beef"),
         "it jumped to 0xbeef, where it has no code"),
        (event("bus_error", fault_addr="0"), "at address 0x0"),
        (event("gpf", object="l.so[1,7f00+1000]"), "general protection fault, by code in l.so"),
        (event("earlyoom", line='sending SIGTERM to process 7 "py": badness 757, VmRSS 637 MiB'),
         "it says: badness 757, VmRSS 637 MiB"),
        (event("oomd", line="Killed /a due to memory pressure for /a being 64.15% > 50.00% for > 20s"),
         "it says: memory pressure for /a being 64.15% > 50.00% for > 20s"),
    ],
)  # fmt: skip
def test_the_place_and_the_reason_stand_below(of: LogEvent, said: str) -> None:
    assert beside(of) == said


def full(kind: str = "oom_global", *, hog_mib: int, held_mib: int = 10, **fields: object) -> LogEvent:
    return event(
        kind,
        anon_rss_kb=held_mib * MIB,
        top=(TaskRow(pid=9, comm="hog", rss_kb=hog_mib * MIB),),
        totals=MemoryTotals(ram_kb=1000 * MIB, limit_kb=100 * MIB),
        **fields,
    )


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (full(hog_mib=250), "it was the victim, not the cause: hog (9) held 250 MiB"),
        (full(hog_mib=249), "not the largest: hog (9) held 249 MiB"),
        (full("oom_memcg", hog_mib=25), "it was the victim, not the cause: hog (9) held 25 MiB"),
        (full("oom_memcg", hog_mib=24), "not the largest: hog (9) held 24 MiB"),
    ],
)
def test_another_is_the_cause_only_where_it_held_a_real_share(of: LogEvent, said: str) -> None:
    assert said in beside(of)


@pytest.mark.parametrize("fields", [{"is_asked_for": True}, {"process_pid": 9}])
def test_neither_a_kill_on_request_nor_its_own_process_has_a_hog(fields: dict[str, object]) -> None:
    said = beside(full(hog_mib=900, **fields))
    assert "victim" not in said
    assert "not the largest" not in said


def test_what_was_held_beyond_the_limit_is_explained() -> None:
    of = full("oom_memcg", hog_mib=1, held_mib=110, cgroup="/x")
    assert "held 110 MiB, shared file pages included; the limit of /x is 100 MiB" in beside(of)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pid": None, "comm": None}, "GPU 0000:3b:00 reported Xid 79: it has fallen off the bus"),
        ({}, "GPU 0000:3b:00 reported Xid 79, of py (pid 7): it has fallen off the bus"),
        ({"xid": 8, "pid": None, "comm": None}, "GPU 0000:3b:00 reported Xid 8"),
    ],
)
def test_an_xid_names_the_gpu_and_nobody_that_its_line_does_not(
    fields: dict[str, object], said: str
) -> None:
    of = event("xid", **{"xid": 79, "line": NVRM, **fields})
    assert sentence(of).replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("hours", "label"),
    [(1, "+1:00:05"), (99, "+99:00:05"), (842, "+35d02:00"), (2402, "+100d02h"), (300_000, "+12500d")],
)
def test_a_long_uptime_does_not_touch_the_name(hours: int, label: str) -> None:
    of = event("int3", uptime_s=hours * 3600.0 + 5)
    assert paragraph(Told(of, 1, of), VIEW).startswith(f"{label:<10}py (pid 7)")


def test_a_year_that_is_assumed_is_not_shown() -> None:
    at = datetime(2026, 11, 6, 10, tzinfo=UTC)
    assert day_line(event("int3", time=at), VIEW) == "Fri Nov 6 2026"
    assert day_line(event("int3", time=at, has_year=False), VIEW) == "Nov 6"


def test_equal_crashes_in_a_row_are_told_as_one() -> None:
    row = [segfault(pid=pid, fault_addr="0", uptime_s=float(pid)) for pid in (7, 8, 9)]
    other = segfault(pid=10, comm="other", fault_addr="0")
    told = [*folded([*row, other, row[0], None, row[1]])]
    assert [(each.times, each.last.pid) for each in told] == [(3, 9), (1, 10), (1, 7), (1, 8)]
    text = paragraph(told[0], VIEW)
    assert text.startswith("+0:00:07  py (pid 7) crashed ×3: touched memory not its own (segfault)\n")
    assert text.endswith("          the last at +0:00:09 (pid 9)\n")


def test_kills_for_memory_are_never_folded() -> None:
    kill = event("oom_global")
    assert [each.times for each in folded([kill, kill])] == [1, 1]


def test_a_number_stays_with_its_unit() -> None:
    rows = tuple(TaskRow(pid=pid, comm="x" * (pid % 15), rss_kb=pid * MIB) for pid in range(100, 104))
    for width in range(40, 120):
        of = event("oom_global", top=rows)
        text = paragraph(Told(of, 1, of), View(VIEW.now, UTC, width))
        assert not any(line.strip().startswith(("MiB", "GiB")) for line in text.splitlines())
