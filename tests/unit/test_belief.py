"""What imitates a kill in a log is not believed; what is broken or cut in a paste is still read."""

import pytest
from test_prefixes import SIZES, scan

KILL = f"Out of memory: Killed process 4242 (python3) {SIZES}"
TORN = "a[1]: segfault at 0 ip 0 sp 0 error 4 in x"
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
