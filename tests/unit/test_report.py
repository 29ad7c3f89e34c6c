"""A case and its judgement as the incident that everybody reads."""

from datetime import timedelta
from typing import Any

import pytest
from cases import (
    DIED,
    GIB,
    GROUP,
    PID,
    announced,
    at,
    cell,
    death,
    idle,
    line,
    oom,
    process,
    removed,
    server_end,
    succeeded,
    task,
)

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.cells import FinishedCell
from kerneld.model.incident import Incident
from kerneld.model.readings import PeakReading
from kerneld.model.records import LogEvent
from kerneld.model.said import CellFailed, CellStarted
from kerneld.model.session import finished
from kerneld.model.vocabulary import (
    Category,
    Cause,
    ExitHow,
    LimitKind,
    PeakHow,
    Scope,
    Shortage,
    State,
)  # fmt: skip
from kerneld.report import build_incident


def incident(case: Case, *, state: State = State.SETTLED) -> Incident:
    now = DIED + timedelta(seconds=5)
    return build_incident(case, diagnose(case), now=now, state=state, revision=2, recorded_at=DIED)


def test_an_oom_kill_told_in_full() -> None:
    case = death(signal=9, log=(oom(),))
    memory = case.memory.model_copy(
        update={"peaks": (PeakReading(how=PeakHow.VMHWM, peak_bytes=3 * GIB, lower_bound=True),)}
    )
    told = incident(case.model_copy(update={"memory": memory}))
    assert (told.category, told.cause, told.revision) == (Category.MEMORY, Cause.OOM_CGROUP, 2)
    assert (told.exit.signal, told.exit.code, told.exit.how) == (9, None, ExitHow.PIDFD)
    assert (told.memory.peak_bytes, told.memory.peak_how) == (4187592704, PeakHow.OOM_LINE)
    assert told.memory.peak_is_lower_bound is False
    assert (told.memory.limit_bytes, told.memory.limit_kind, told.memory.limit_path) == (
        4 * GIB, LimitKind.CGROUP, GROUP,
    )  # fmt: skip
    assert told.cell is not None
    assert (told.cell.execution_count, told.cell.elapsed_s) == (7, 42.0)
    assert told.notebook is not None
    assert told.notebook.path == "/home/alice/n.ipynb"
    assert told.is_incident
    assert Incident.model_validate_json(told.model_dump_json()) == told


def test_a_lost_status_is_null_never_zero() -> None:
    told = incident(death()).exit
    assert (told.signal, told.code, told.status_raw, told.how) == (None, None, None, ExitHow.LOST)


def test_an_idle_kernels_cell_has_no_elapsed_time() -> None:
    told = incident(death(signal=9, busy=False)).cell
    assert told is not None
    assert told.elapsed_s is None


def test_a_provisional_incident_is_not_settled() -> None:
    assert incident(death(signal=9), state=State.PROVISIONAL).settled_at is None
    assert incident(death(signal=9)).settled_at == DIED + timedelta(seconds=5)


def test_a_shutdown_is_an_end_but_no_incident() -> None:
    assert not incident(death(code=0, busy=False, session=(announced(),))).is_incident


def test_the_hubs_user_is_a_label_beside_the_uid() -> None:
    told = incident(death(signal=9, process=process(environ={"JUPYTERHUB_USER": "bob"}))).user
    assert (told.uid, told.name, told.hub_name) == (1000, "alice", "bob")


OBJECTS = {
    "6.18": ("libc.so.6[167ad8,7f7e9d444000+156000]", None, "libc.so.6", "167ad8"),
    "older": ("libfoo.so[7f7e9d444000+156000]", "00007f7e9d444010", "libfoo.so", "10"),
    "plain": ("libfoo.so", "7f7e9d444010", "libfoo.so", None),
    "bracket in the name": ("a[1].so[7f0000000000+1000]", "7f0000000004", "a[1].so", "4"),
    "ip is no number": ("a.so[7f0000000000+1000]", "zz", "a.so", None),
    "none": (None, "0", None, None),
}


@pytest.mark.parametrize(("printed", "ip", "name", "offset"), OBJECTS.values(), ids=OBJECTS)
def test_a_faults_place_is_a_file_and_an_offset_in_it(
    printed: str | None, ip: str | None, name: str | None, offset: str | None
) -> None:
    told = incident(death(signal=11, log=(line("segfault", object=printed, ip=ip),))).fault
    assert told is not None
    assert (told.kind, told.object, told.offset) == ("segfault", name, offset)


def test_the_largest_at_death_have_roles() -> None:
    top = (task(PID, 1.0), task(9, 2.5, "hog"), task(10, 0.1, "cc1"), task(11, 0.2, "vim"))
    record = oom(top=top, invoker_comm="cc1")
    told = incident(death(signal=9, log=(record,))).bystanders
    assert [(b.pid, b.role) for b in told] == [
        (9, "hog"), (PID, "victim"), (11, "other"), (10, "trigger"),
    ]  # fmt: skip


def test_the_timeline_is_in_order_and_tells_every_source() -> None:
    session = (
        cell(),
        CellFailed(at=at(-1), handle=1, parent="m7", name="ValueError", value="secret"),
        idle(),
        announced(),
    )
    ended = finished(cell(), at(-1), None)
    case = death(
        code=0, busy=False, session=session, cells=(ended,),
        file_removed=removed(), succession=succeeded(0.5),
        server_end=server_end(2, code=0), log=(line("other"),),
    )  # fmt: skip
    told = incident(case).timeline
    assert [entry.source for entry in told] == [
        "process", "iopub", "iopub", "iopub", "iopub", "linux-log", "exit", "file", "server", "server",
    ]  # fmt: skip
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Cell [7] ended after 3.0 s"),
        ({"before_bytes": 9, "change_bytes": 9, "peak_bytes": 99}, "Cell [7] ended after 3.0 s"),
        (
            {"before_bytes": 1 << 30, "change_bytes": 0, "peak_bytes": 3 << 30},
            "Cell [7] ended after 3.0 s: at most 3.0 GiB",
        ),
        (
            {"before_bytes": GIB, "change_bytes": -GIB // 4, "peak_bytes": GIB, "failed": True},
            "Cell [7] failed (an exception) after 3.0 s: -256 MiB, at most 1.0 GiB",
        ),
    ],
)
def test_a_cell_that_ended_is_told_with_what_it_did(changes: dict[str, Any], text: str) -> None:
    ended = FinishedCell(execution_count=7, started_at=at(-9), duration_s=3.0, **changes)
    told = incident(death(signal=9, cells=(ended,)))
    assert told.cells == (ended,)
    assert [entry.text for entry in told.timeline if entry.source == "iopub"] == [text]


@pytest.mark.parametrize(
    ("shortage", "text"),
    [
        (None, "a cell failed (ValueError)"),
        (Shortage.MEMORY, "a cell failed for want of memory (ValueError)"),
        (Shortage.GPU_MEMORY, "a cell failed for want of GPU memory (ValueError)"),
    ],
)
def test_an_error_that_no_kernel_dies_of_belongs_to_the_story(shortage: Shortage, text: str) -> None:
    failed = CellFailed(at=at(-1), handle=1, name="ValueError", shortage=shortage)
    assert text in [entry.text for entry in incident(death(signal=9, session=(failed,))).timeline]


def test_a_long_session_keeps_its_end_and_the_death() -> None:
    cells = tuple(CellStarted(at=at(n - 500), handle=1, execution_count=n) for n in range(400))
    told = incident(death(signal=9, session=cells)).timeline
    assert len(told) == 40
    assert told[-1].source == "exit"
    assert told[-2].text == "Cell [399] started"


def test_the_story_needs_no_printed_line() -> None:
    """A line without its text (an older capture) must not break the report."""
    bare = line("segfault").model_copy(update={"event": LogEvent(kind="segfault", pid=PID)})
    assert incident(death(signal=11, log=(bare,))).cause is Cause.SEGFAULT


def test_a_worker_is_told_as_its_kernels() -> None:
    """Whatever user it took on; and that the kernel lives is a comfort."""
    kernel = process()
    worker = process(5000, comm="ffmpeg", uid=0, user_name="root", ppid=PID)
    case = death(signal=11)
    told = incident(case.model_copy(update={"scope": Scope.WORKER, "process": worker}))
    assert (told.scope, told.process.pid, told.user.uid) == (Scope.WORKER, 5000, kernel.uid)
    assert told.kernel is not None
    assert told.kernel.pid == kernel.pid
    assert "The kernel itself lives on." in told.summary
