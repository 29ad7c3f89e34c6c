"""What systemd-coredump logged of a real core is told; what anybody else logs in its words is not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.parse.coredump import MAX_STACK_CHARS
from kerneld.parse.managers import Managers, Taken

CAPTURED = Path(__file__).parent.parent / "captured/journal/coredump-252.json"
RECORD: dict[str, object] = json.loads(CAPTURED.read_text())
BOOT = str(RECORD["_BOOT_ID"])


def told(**fields: object) -> Taken:
    """None takes a field away."""
    record = {name: value for name, value in (RECORD | fields).items() if value is not None}
    return Managers(BOOT).feed(json.dumps(record).encode() + b"\n")


def test_it_names_the_process_and_where_in_compiled_code_it_crashed() -> None:
    [act] = told().acts
    assert (act.manager, act.did, act.pid, act.comm, act.signal) == (
        "systemd-coredump", "dumped-core", 74, "python", 11,
    )  # fmt: skip
    assert act.line == "Process 74 (python) of user 20421 dumped core."
    assert act.native_stack is not None
    first, *_, last = act.native_stack.splitlines()
    assert first == "#0  crash_in_c (libcrashing.so + 0x10f9)"
    assert last == "#56 _start (/usr/bin/python3.11 + 0x227bd1)"


def test_only_the_thread_that_crashed_is_told() -> None:
    """elfutils writes it first; all others of this kernel wait."""
    [act] = told().acts
    assert str(RECORD["MESSAGE"]).count("Stack trace of thread") > 5
    assert "poll" not in (act.native_stack or "")


FORGED = {
    "logger --journald": {"_SYSTEMD_UNIT": "session-3.scope"},
    "a user's own unit of that name": {
        "_SYSTEMD_UNIT": "user@1000.service", "_SYSTEMD_USER_UNIT": "systemd-coredump@0.service",
    },
    "root's, by another unit": {"_SYSTEMD_UNIT": "cron.service", "_UID": "0"},
    "no unit": {"_SYSTEMD_UNIT": None},
    "another message of its": {"MESSAGE_ID": "0" * 32},
    "no process": {"COREDUMP_PID": None},
    "process 0": {"COREDUMP_PID": "0"},
    "a process beyond all": {"COREDUMP_PID": "9" * 12},
    "no signal": {"COREDUMP_SIGNAL": None},
    "another boot": {"_BOOT_ID": "0" * 32},
}  # fmt: skip


@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED)
def test_nobody_elses_words_are_believed(fields: dict[str, object]) -> None:
    assert told(**fields).acts == ()


@pytest.mark.parametrize(
    "message",
    [
        "Process 74 (python) of user 20421 dumped core.",
        "Resource limits disable core dumping for process 74 (python).",
        "Process 74 (python) of user 20421 dumped core.\n\nStack trace of thread 74:\nno frame\n",
    ],
    ids=["without elfutils", "no core", "cut"],
)
def test_a_core_that_was_not_looked_into_is_told_without_a_stack(message: str) -> None:
    [act] = told(MESSAGE=message).acts
    assert act.native_stack is None


def test_a_deep_stack_is_cut_at_a_line() -> None:
    frames = "\n".join(f"#{n} 0x{n:016x} {'f' * 500} (lib.so + 0x1)" for n in range(64))
    [act] = told(MESSAGE=f"dumped core.\n\nStack trace of thread 74:\n{frames}\n").acts
    assert act.native_stack is not None
    assert len(act.native_stack) <= MAX_STACK_CHARS
    assert act.native_stack.endswith("(lib.so + 0x1)")


@given(st.text(), st.text() | st.none() | st.lists(st.integers()), st.text())
def test_no_words_raise(message: str, comm: object, number: str) -> None:
    head = "Stack trace of thread 1:\n#0  0x1 "
    assert len(told(MESSAGE=head + message, COREDUMP_COMM=comm, COREDUMP_PID=number).acts) <= 1
