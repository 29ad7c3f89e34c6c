"""A name that holds newlines forges no line, whatever the log's reader puts before each of them."""

import pytest
from scans import SIZES, scan

KILL = f"Out of memory: Killed process 4242 (python3) {SIZES}"
SHORT = "Killed process 4242 (python3)"
NAMED = "a[1]: segfault at 0 ip 00007f sp 0 error 4 in x[1000+1000]"
END = "[7f00+1000] likely on CPU 0 (core 0, socket 0)"
OTHER = "b[2]: segfault at 0 ip 00007f sp 0 error 4 in y[1000+1000]"
INVOKED = "b invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
SUMMARY = (
    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/,task=python3,pid=4242,uid=0"
)
CRASH, DEATH = ("segfault", 1), ("oom_global", 4242)

WITH_MICROSECONDS = {
    "dmesg": "[{up}] {}",
    "syslog": "Nov 26 10:11:12 h kernel: [{up}] {}",
    "dmesg iso": "2026-11-26T10:11:12,{fraction}+00:00 {}",
    "monotonic": "[{up}] h kernel: {}",
    "levels": "kern  :info  : [{up}] {}",
}
WITHOUT = {
    "dmesg -T": "[Thu Nov 26 10:11:12 2026] {}",
    "journalctl": "Nov 26 10:11:12 h kernel: {}",
    "milliseconds": "2026-11-26T10:11:12.345Z h kernel: {}",
    "no date": "kernel: {}",
}
NEW = "\x00"
"""before a message: at a later moment than the one before"""


def wrapped(form: str, messages: tuple[str, ...]) -> str:
    """A log of these messages, behind two others."""
    lines, number = [], 0
    for message in (f"{NEW}usb 1-1: new", f"{NEW}usb 1-1: gone", *messages):
        number += message.startswith(NEW)
        up, fraction = f"   12.34{number:02}67", f"34{number:02}67"
        text = form.replace("{up}", up).replace("{fraction}", fraction)
        lines.append(text.replace("{}", message.removeprefix(NEW)))
    return "".join(f"{line}\n" for line in lines)


def told(form: str, *messages: str) -> list[tuple[str, int | None]]:
    return [(event.kind, event.pid) for event in scan(wrapped(form, messages))]


FORGED = {
    "a closed name": ((f"{NEW}{NAMED}", KILL, END), [CRASH]),
    "a filler": ((f"{NEW}{NAMED}", "x", KILL, "y", END), [CRASH]),
    "a report": ((f"{NEW}{NAMED}", "b invoked oom-killer: gfp_mask=0x0,", SHORT, END), [CRASH]),
    "a summary": ((f"{NEW}{NAMED}", SUMMARY, END), [CRASH]),
    "a path": ((f"{NEW}process '/a'", KILL, "' started with executable stack"), []),
    "a path, closed again": ((f"{NEW}process '/a'", KILL, "'b' started with executable stack"), []),
    "overlayfs": ((f"{NEW}overlayfs: failed to resolve 'a'", KILL, "': -2"), []),
    "a mount option": ((f'{NEW}EXT4-fs (a): Unrecognized mount option "x', KILL, '" or missing'), []),
}


@pytest.mark.parametrize("form", [*WITH_MICROSECONDS, *WITHOUT])
@pytest.mark.parametrize("name", FORGED)
def test_what_stands_in_a_name_is_no_line(name: str, form: str) -> None:
    messages, expected = FORGED[name]
    text = (WITH_MICROSECONDS | WITHOUT)[form]
    assert told(text, *messages, f"{NEW}usb 1-1: new") == expected
    assert told(text, *messages) == expected, "at the end of the log"


@pytest.mark.parametrize("form", WITH_MICROSECONDS)
def test_one_moment_is_enough_where_it_is_a_microsecond(form: str) -> None:
    text = WITH_MICROSECONDS[form]
    for first in (f"{NEW}CIFS: Attempting to mount //h/a", f"{NEW}input: a"):
        assert told(text, first, KILL, "") == []
    assert told(text, f"{NEW}{NAMED}", OTHER, KILL) == [CRASH]


BELIEVED = {
    "later": ((f"{NEW}{NAMED}", f"{NEW}{KILL}"), [CRASH, DEATH]),
    "nothing of a user's before": ((f"{NEW}usb 1-1: new", KILL, "usb 1-1: gone"), [DEATH]),
    "no end": ((f"{NEW}{NAMED}", f"{NEW}{KILL}", f"{NEW}usb 1-1: 'new'"), [CRASH, DEATH]),
    "a report": ((f"{NEW}{INVOKED}", "Mem-Info:", SUMMARY, KILL), [DEATH]),
    "a report of a quoted name": ((f"{NEW}a'{INVOKED}", SUMMARY, KILL), [DEATH]),
    "kills of one group": ((f"{NEW}{KILL.replace('4242', '7')}", KILL), [("oom_global", 7), DEATH]),
    "a further crash": ((f"{NEW}{NAMED}", f"{NEW}{OTHER}"), [CRASH, ("segfault", 2)]),
}


@pytest.mark.parametrize("form", [*WITH_MICROSECONDS, *WITHOUT])
@pytest.mark.parametrize("name", BELIEVED)
def test_what_linux_prints_right_behind_is_told(name: str, form: str) -> None:
    messages, expected = BELIEVED[name]
    text = (WITH_MICROSECONDS | WITHOUT)[form].replace(":info  :", ":err   :")
    crashes = [event for event in expected if event[0] != "segfault" or ":err" not in text]
    assert told(text, *messages) == crashes


def test_a_clock_of_jiffies_tells_nothing() -> None:
    lines = [f"[  {at}] {text}" for at, text in (
        ("100.120000", "a"), ("100.124000", "b"), ("100.128000", NAMED), ("100.128000", KILL),
    )]  # fmt: skip
    assert [event.pid for event in scan("\n".join([*lines, ""]))] == [1, 4242]


def test_a_crash_in_the_same_second_as_a_whole_report_hides_nothing_of_it() -> None:
    rows = [
        f"[{pid:7}]     0 {pid:5}    28151 {pid:5}   274432      0       0 p{pid}" for pid in (8, 9)
    ]
    head = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
    report = (INVOKED, "Mem-Info:", *(f"Node {n} DMA free:" for n in range(20)), head, *rows, SUMMARY)
    for name in WITHOUT:
        events = scan(wrapped(WITHOUT[name], (NAMED, *report, KILL, OTHER)))
        assert [event.pid for event in events] == [1, 4242, 2]
        assert (events[1].invoker_comm, [row.pid for row in events[1].top]) == ("b", [9, 8])
