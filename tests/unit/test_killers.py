"""What systemd-oomd, earlyoom, nohang and systemd-coredump log is told, under their own names only."""

import pytest
from scans import EARLY, LINES, OOMD, scan

from kerneld.scan.asked import Tally

AT = "Nov 26 10:11:12 h "


@pytest.mark.parametrize(("identifier", "line", "expected"), LINES, ids=lambda value: str(value)[:40])
def test_a_daemon_s_words_count_under_its_own_name(
    identifier: str, line: str, expected: tuple[str, int | None, str | None, int | None]
) -> None:
    [event] = scan(f"{AT}{identifier}: {line}\n")
    assert (event.kind, event.pid, event.comm, event.signal) == expected
    for other in ("python[9]", "kernel", "systemd[1]", "sudo"):
        assert scan(f"{AT}{other}: {line}\n") == []
    assert scan(f"{line}\n") == []


def test_the_cgroup_that_systemd_oomd_killed_is_told() -> None:
    [event] = scan(f"{AT}systemd-oomd[34]: {OOMD}\n")
    assert event.cgroup == "/user.slice/a b.scope"
    [cut] = scan(f"{AT}systemd-oomd[34]: Killed /user.slice/app-ve>\n")
    assert (cut.kind, cut.cgroup) == ("oomd", None)


@pytest.mark.parametrize(
    "line",
    [
        "Marked /a for killing due to memory pressure for /b being 1% > 0% for > 1s with reclaim",
        "oomd attempting to kill 63 with KILL",
        "Memory pressure for /a is 64.15% > 1.00% for > 30s with reclaim activity",
    ],
)
def test_what_systemd_oomd_only_plans_is_no_kill(line: str) -> None:
    assert scan(f"{AT}systemd-oomd[34]: {line}\n") == []


def test_each_signal_to_a_process_is_an_event_and_its_repetition_none() -> None:
    """A process may outlive SIGTERM; a pid that comes again an hour later is another process."""
    line, harder = f"{AT}earlyoom[5]: {EARLY}\n", EARLY.replace("TERM", "KILL")
    later = f"{AT.replace('10:11', '11:30')}earlyoom[5]: {EARLY}\n"
    text = f"{line}{line}{AT}earlyoom[5]: {harder}\n{later}"
    assert [event.signal for event in scan(text)] == [15, 9, 15]


def test_two_signals_to_one_process_are_counted_as_one_death() -> None:
    text = f"{AT}earlyoom[5]: {EARLY}\n{AT}earlyoom[5]: {EARLY.replace('TERM', 'KILL')}\n"
    tally = Tally()
    for event in scan(text):
        tally.add(event)
    assert (tally.events, tally.deaths) == (2, 1)


def test_earlyoom_s_own_output_is_known_by_its_status_lines() -> None:
    text = f"mem avail:    19 of   950 MiB ( 2.10%)\nlow memory! at or below SIGTERM limits\n{EARLY}\n"
    assert [event.pid for event in scan(text)] == [696]


@pytest.mark.parametrize(
    "lines",
    [
        ("  PID:       6148, name: a, b, state: R (running), EUID: 1000, SID: 1 (init), lifetime: 2min",
         "Implementing a corrective action:", "  Sending SIGKILL to the victim"),
        ("  PID: 6148, Name: a, b, badness: 1004",
         "  Send SIGKILL to the victim; total response time: 9 ms"),
        ("  Name:      a, b", "  PID:       6148", "  UID:       1000",
         "  Send SIGKILL to the victim; total response time: 9 ms"),
    ],
)  # fmt: skip
def test_nohang_s_victim_is_put_together_from_its_lines(lines: tuple[str, ...]) -> None:
    text = "".join(f"{AT}nohang-desktop[3]: {line}\n" for line in lines)
    [event] = scan(text)
    assert (event.kind, event.pid, event.comm, event.signal) == ("nohang", 6148, "a, b", 9)
    assert event.uid in (None, 1000)
