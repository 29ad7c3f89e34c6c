"""Advice: each piece where it applies, true to the numbers, sure only where the proof carries it."""

from types import SimpleNamespace

import pytest
from cases import (
    GIB,
    PID,
    cell,
    counters,
    death,
    idle,
    limited,
    line,
    oom,
    process,
    room,
    server_end,
    shm,
    task,
)

from kerneld.advise import advise
from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.readings import PeakReading
from kerneld.model.verdict import Blind, Verdict
from kerneld.model.vocabulary import PeakHow, Scope

NO_LOG = (Blind(source="kmsg", reason="dmesg_restrict is 1"),)


def advice(case: Case) -> tuple[Advice, ...]:
    return advise(case, diagnose(case))


EXIT = death(code=0, busy=False, last_cell=cell(calls_exit=True), session=(idle(),))
STARTUP = death(code=1, answered=False, busy=None, last_cell=None, process=process(age_s=1))
HOG = oom(top=(task(PID, 1.0), task(9, 2.5, "secret-tool")))
OVERFLOW = "python3[9]: segfault at 7f0000000ff8 ip 7f00 sp 7f0000001000 error 6"
TABLE = {
    "memory": (death(signal=9, log=(oom(),)), "memory-limit", True),
    "memory by counters": (
        death(signal=9, cgroup=counters(), blind=NO_LOG), "memory-limit", False,
    ),
    "neighbour": (death(signal=9, log=(HOG,)), "neighbour-hog", True),
    "a worker": (death(signal=9, scope=Scope.WORKER, log=(oom(),)), "workers", True),
    "shared memory": (death(signal=7, memory=shm(0.0)), "shm-full", False),
    "a GPU's error": (death(signal=6, log=(line("xid", xid=31),)), "hardware", False),
    "a GPU's own error": (death(signal=6, log=(line("xid", xid=79),)), "hardware", False),
    "broken memory": (death(signal=7, log=(line("mce"),)), "hardware", True),
    "refused memory": (
        death(
            signal=6, process=limited(),
            memory=room().model_copy(update={"vm_bytes": int(3.9 * GIB)}),
        ),
        "allocation-failure", False,
    ),
    "a used-up stack": (
        death(signal=11, log=(line("segfault", pid=9, tgid=PID, line=OVERFLOW),)),
        "stack-overflow", False,
    ),
    "segfault": (death(signal=11), "native-crash", False),
    "abort": (death(signal=6), "abort", False),
    "killed": (death(signal=9), "unknown-sender", False),
    "exit()": (EXIT, "exit-in-cell", True),
    "os._exit": (death(code=3, last_cell=cell(hard_exits=True)), "hard-exit", True),
    "some exit": (death(code=3), "hard-exit", False),
    "startup": (STARTUP, "startup-failure", False),
    "parent": (death(code=1, server_end=server_end(-1, signal=9)), "parent-died", True),
}  # fmt: skip


@pytest.mark.parametrize(("case", "piece", "sure"), TABLE.values(), ids=TABLE)
def test_a_death_gets_the_one_piece_that_fits(case: Case, piece: str, sure: bool) -> None:
    assert [(found.id, found.sure) for found in advice(case)] == [(piece, sure)]


def test_a_shutdown_needs_no_advice() -> None:
    from_file = death(code=0, busy=False, server_end=server_end(0.2, code=0))
    assert advice(from_file) == ()


def test_memory_advice_gives_the_numbers() -> None:
    case = death(signal=9, log=(oom(),))
    peaks = (PeakReading(how=PeakHow.SAMPLE, peak_bytes=int(3.5 * GIB), lower_bound=True),)
    memory = case.memory.model_copy(update={"peaks": peaks, "growth_bytes_per_s": 1.5 * GIB})
    text = advice(case.model_copy(update={"memory": memory}))[0].text
    assert "It held 3.9 GiB under a limit of 4.0 GiB" in text
    assert "In its last 1 s it grew by 1.5 GiB a second" in text


def test_a_neighbours_name_and_pid_stay_out_of_the_text() -> None:
    """The owner of this kernel may not be meant to see other users' processes."""
    text = advice(death(signal=9, log=(HOG,)))[0].text
    assert "secret-tool" not in text
    assert "pid" not in text


@pytest.mark.parametrize(
    ("name", "told"),
    [("libc.so.6[1,7f0000000000+1000]", "caller"), ("libfoo.so[1,7f0000000000+1000]", "libfoo.so")],
)
def test_a_library_that_all_share_is_not_blamed(name: str, told: str) -> None:
    found = advice(death(signal=11, log=(line("segfault", object=name),)))[0]
    assert told in found.title


def test_a_kernels_name_is_quoted_for_the_shell() -> None:
    assert STARTUP.kernel is not None
    named = STARTUP.kernel.model_copy(update={"name": "x; rm -rf ~"})
    text = advice(STARTUP.model_copy(update={"kernel": named}))[0].text
    assert "--kernel='x; rm -rf ~'`" in text


def test_a_piece_that_fails_costs_only_itself() -> None:
    def fail(case: Case, verdict: Verdict) -> Advice:
        raise ZeroDivisionError

    works = SimpleNamespace(advise=lambda case, verdict: Advice(id="a", title="b", text="c"))
    found = advise(death(), diagnose(death()), pieces=(SimpleNamespace(advise=fail), works))
    assert [piece.id for piece in found] == ["a"]
