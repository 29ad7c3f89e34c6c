"""Whose words in the journal are believed: the fields that journald sets decide; each is forged."""

import json

import pytest

from kerneld.model.base import from_us
from kerneld.parse.managers import OUT_OF_MEMORY, STOPPING, Managers, Taken

BOOT = "30e14fd4-5070-4ff1-b88c-fb5a67150803"
AT_US = 1_795_766_927_666_405
SAID = 'sending SIGKILL to process 72 uid 20421 "python": badness 1342, VmRSS 350 MiB'
OOMD = (
    "Killed /user.slice/user-1000.slice due to memory pressure for /user.slice being 64.15% > 50.00% "
    "for > 20s with reclaim activity"
)


def record(message: object = SAID, **fields: object) -> bytes:
    """As journald stores a line of Debian's earlyoom; None takes a field away."""
    given: dict[str, object] = {
        "__CURSOR": "s=42b6;i=18;b=30e1",
        "__REALTIME_TIMESTAMP": str(AT_US),
        "_BOOT_ID": BOOT.replace("-", ""),
        "_COMM": "earlyoom",
        "_SYSTEMD_UNIT": "earlyoom.service",
        "_UID": "61876",
        "MESSAGE": message,
    }
    return json.dumps({k: v for k, v in (given | fields).items() if v is not None}).encode() + b"\n"


def told(*records: bytes) -> Taken:
    return Managers(BOOT).feed(b"".join(records))


def test_a_guards_line_names_process_signal_and_time() -> None:
    taken = told(record())
    [act] = taken.acts
    assert (act.manager, act.did) == ("earlyoom", "killed-for-memory")
    assert (act.pid, act.comm, act.signal, act.at) == (72, "python", 9, from_us(AT_US))
    assert (act.line, taken.cursor) == (SAID, "s=42b6;i=18;b=30e1")


BELIEVED = {
    "its system unit, whoever it runs as": {},
    "by root, of that name": {"_UID": "0", "_SYSTEMD_UNIT": "session-1.scope"},
    "by root, without a unit": {"_UID": "0", "_SYSTEMD_UNIT": None},
}
FORGED = {
    "logger -t": {"_COMM": "logger", "_SYSTEMD_UNIT": "session-3.scope", "_UID": "1000"},
    "of that name, by a user": {"_SYSTEMD_UNIT": "session-3.scope", "_UID": "1000"},
    "a user's own unit of that name": {
        "_SYSTEMD_UNIT": "user@1000.service", "_SYSTEMD_USER_UNIT": "earlyoom.service", "_UID": "1000",
    },
    "its unit claimed as a message's own field": {
        "_SYSTEMD_UNIT": None, "SYSTEMD_UNIT": "earlyoom.service", "UNIT": "earlyoom.service",
    },
    "root's, by another program": {"_UID": "0", "_COMM": "sudo", "_SYSTEMD_UNIT": "cron.service"},
    "another boot": {"_BOOT_ID": "0" * 32},
    "no boot": {"_BOOT_ID": None},
    "two units": {"_SYSTEMD_UNIT": ["a.service", "earlyoom.service"]},
    "no time": {"__REALTIME_TIMESTAMP": None},
    "a time beyond all": {"__REALTIME_TIMESTAMP": "9" * 20},
}  # fmt: skip


@pytest.mark.parametrize("fields", BELIEVED.values(), ids=BELIEVED)
def test_a_guards_own_words_are_believed(fields: dict[str, object]) -> None:
    assert [act.pid for act in told(record(**fields)).acts] == [72]


@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED)
def test_nobody_elses_words_are(fields: dict[str, object]) -> None:
    identifier = {"SYSLOG_IDENTIFIER": "earlyoom"}
    assert told(record(**(identifier | fields))).acts == ()


def test_systemd_oomd_names_a_cgroup() -> None:
    [act] = told(record(OOMD, _COMM="systemd-oomd", _SYSTEMD_UNIT="systemd-oomd.service")).acts
    assert (act.manager, act.pid, act.cgroup) == ("systemd-oomd", None, "/user.slice/user-1000.slice")


def test_nohangs_victim_is_told_by_the_lines_before_its_kill() -> None:
    unit = {"_SYSTEMD_UNIT": "nohang.service", "_COMM": "nohang", "_UID": "0"}
    lines = ("  PID: 44, name: python, badness: 667", "  Sending SIGTERM to the victim")
    managers = Managers(BOOT)
    assert managers.feed(record(lines[0], **unit)).acts == ()
    [act] = managers.feed(record(lines[1], **unit)).acts
    assert (act.manager, act.pid, act.signal) == ("nohang", 44, 15)


def test_a_rehearsal_is_no_kill() -> None:
    assert told(record(), record("dryrun, not actually sending any signal")).acts == ()


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b'"x"', b"null", b"[" * 100_000, b"\xff\xfe", b'{"MESSAGE": 7}',
        record("x\ny"), record([255] * 9), record(None), record("\ud800"), record("x" * 5000),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_kill_costs_nothing_but_itself(line: bytes) -> None:
    taken = told(line.rstrip(b"\n") + b"\n", record())
    assert [act.pid for act in taken.acts] == [72]


def test_a_torn_record_leaves_the_cursor_where_it_was() -> None:
    assert told(record()[:-20]).cursor is None


def of_systemd(message: str, **fields: object) -> bytes:
    """As journald stores a line of PID 1."""
    own = {
        "_PID": "1",
        "_UID": "0",
        "_COMM": "systemd",
        "_SYSTEMD_UNIT": "init.scope",
        "UNIT": "nb.service",
    }
    return record(message, **(own | fields))


DEEDS = {
    "signalled": "nb.service: Killing process 72 (python3 (x)) with signal SIGABRT.",
    "watchdog": "nb.service: Watchdog timeout (limit 1s)!",
    "time-limit": "nb.service: Service reached runtime time limit. Stopping.",
    "start-timeout": "nb.service: start operation timed out. Terminating.",
}


@pytest.mark.parametrize(("did", "message"), DEEDS.items(), ids=DEEDS)
def test_what_systemd_does_to_a_unit(did: str, message: str) -> None:
    [act] = told(of_systemd(message)).acts
    assert (act.manager, act.did, act.unit) == ("systemd", did, "nb.service")
    assert (act.pid, act.comm, act.signal) == (
        (72, "python3 (x)", 6) if did == "signalled" else (None, None, None)
    )
    for fields in ({"_UID": "1000"}, {"_PID": "77"}, {"UNIT": "other.service"}, {"UNIT": None}):
        assert told(of_systemd(message, **fields)).acts == ()


def test_an_oom_kill_in_a_unit_is_told_by_its_message_id() -> None:
    """The words are others in other releases."""
    line = "nb.service: A process of this unit has been killed by the OOM killer."
    (act,) = told(of_systemd(line, MESSAGE_ID=OUT_OF_MEMORY)).acts
    assert (act.did, act.unit, act.line) == ("unit-oom", "nb.service", line)
    assert told(of_systemd(line)).acts == ()


@pytest.mark.parametrize(
    ("unit", "did"),
    [
        ("nb.service", "stopping"), ("run-u1.scope", "stopping"), ("user@1000.service", "session-end"),
        ("session-c3.scope", "session-end"), ("user-1000.slice", "session-end"),
    ],
)  # fmt: skip
def test_a_stop_that_was_asked_for_is_told_by_its_message_id(unit: str, did: str) -> None:
    stop = of_systemd("Stopping N - what it is...", UNIT=unit, MESSAGE_ID=STOPPING)
    assert [(act.did, act.unit) for act in told(stop).acts] == [(did, unit)]
    assert told(of_systemd("Stopping N - what it is...", UNIT=unit)).acts == ()
