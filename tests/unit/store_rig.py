"""Ends, cases and processes for the tests of the store."""

from datetime import UTC, datetime, timedelta

from kerneld.model.case import Case
from kerneld.model.host import Host
from kerneld.model.incident import (
    CellPart,
    ExitPart,
    Incident,
    KernelPart,
    NotebookPart,
    ProcessPart,
    UserPart,
)
from kerneld.model.process import Process, ProcessKey
from kerneld.model.readings import MemoryAccount
from kerneld.model.said import CellStarted, KernelStatus
from kerneld.model.vocabulary import Cause, Confidence, ExitHow, State

NOW = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
HOST = Host(name="h", boot_id="b", linux_release="6.1")
MARKER = "a-line-that-nobody-else-may-ever-read"


def an_end(
    number: int = 1,
    *,
    uid: int = 1000,
    cause: Cause = Cause.OOM_HOST,
    days_ago: float = 0.0,
    state: State = State.SETTLED,
    source: str | None = None,
    **more: object,
) -> Incident:
    died_at = NOW - timedelta(days=days_ago)
    return Incident(
        uuid=f"{number:08x}-0000-4000-8000-000000000000",
        category=cause.category,
        cause=cause,
        confidence=Confidence.CERTAIN,
        state=state,
        died_at=died_at,
        detected_at=died_at,
        recorded_at=died_at,
        settled_at=died_at if state is State.SETTLED else None,
        host=HOST,
        kernel=KernelPart(id=f"k{number % 7}", pid=number, start_ticks=number, started_at=died_at),
        process=ProcessPart(pid=number, comm="python", start_ticks=number, ppid=1),
        user=UserPart(uid=uid, name=f"user{uid}"),
        notebook=NotebookPart(path=f"/home/u/nb{number}.ipynb", how="environ"),
        exit=ExitPart(how=ExitHow.PIDFD, signal=9),
        cell=CellPart(source=source) if source else None,
        summary="It died.",
        **more,  # type: ignore[arg-type]
    )


def a_key(pid: int, inode: int | None = 7) -> ProcessKey:
    return ProcessKey(boot_id="b", pid=pid, start_ticks=pid, pidfd_inode=inode)


def a_process(pid: int) -> Process:
    return Process(key=a_key(pid), comm="python", ppid=1, pgid=1, sid=1, uid=1000, started_at=NOW)


def a_case(number: int = 1, *, samples: int = 10, source: str | None = None, words: int = 3) -> Case:
    return Case(
        uuid=an_end(number).uuid,
        host=HOST,
        process=a_process(number),
        died_at=NOW,
        detected_at=NOW,
        watched_since=NOW,
        boot_id_now="b",
        memory=MemoryAccount(
            samples=tuple((float(samples - i), hash((i, i)) & 0xFFFFFFFFF) for i in range(samples))
        ),
        session=tuple(KernelStatus(at=NOW, handle=1, state=f"s{i}") for i in range(words)),
        last_cell=CellStarted(at=NOW, handle=1, source=source) if source else None,
    )
