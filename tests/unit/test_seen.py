"""What readers may see: others' processes have no names for anyone but the admin."""

import pytest
from cases import PID, at, death, line, oom, sent, task
from incidents import GIB, MIB, incident

from kerneld.model.base import Record
from kerneld.model.case import Case
from kerneld.model.incident import Bystander, CellPart, Incident, TimelineEntry
from kerneld.outputs.proof import bystander_lines
from kerneld.outputs.view import View
from kerneld.seen import Reader, seen_by

OWNER, OTHER, ROOT = 1000, 1002, 0
HOG, RIVAL = "hoarder", "glutton"
ADMIN = Reader(ROOT, is_admin=True, sees_code=True)


def told() -> Incident:
    hog = Bystander(pid=9001, comm=HOG, uid=OTHER, user="bob", rss_bytes=6 * GIB, role="hog")
    own = Bystander(pid=PID, comm="python3", uid=OWNER, user="alice", rss_bytes=GIB, role="victim")
    unknown = Bystander(pid=9002, comm=HOG, rss_bytes=MIB, role="other")
    entries = (
        TimelineEntry(at=at(0), source="exit", text="pid 4242 ended by SIGKILL"),
        TimelineEntry(
            at=at(0), source="linux-log", text=f"Killed process 9003 ({RIVAL})",
            about_pid=9003, about_uid=OTHER,
        ),
        TimelineEntry(
            at=at(0), source="linux-log", text="Killed process 9004 (mine)",
            about_pid=9004, about_uid=OWNER,
        ),
    )  # fmt: skip
    return incident(bystanders=(own, hog, unknown), timeline=entries)


def evidence() -> Case:
    rows = (task(PID, 1.0), task(9001, 6.0, HOG).model_copy(update={"uid": OTHER}))
    report = oom(top=rows, invoker_comm=HOG, invoker_pid=9001)
    rival = line("oom_memcg", pid=9003, comm=RIVAL, uid=OTHER, line=f"Killed process 9003 ({RIVAL})")
    own = line("oom_memcg", pid=9004, comm="mine", uid=OWNER)
    return death(signal=9, log=(report,), neighbours=(rival, own), signals=(sent(15),))


@pytest.mark.parametrize("record", [told(), evidence()], ids=["incident", "case"])
def test_the_owner_sees_no_name_and_no_number_of_others(record: Record) -> None:
    shown = seen_by(Reader(OWNER), record, owner_uid=OWNER).model_dump_json()
    for hidden in (HOG, RIVAL, "9001", "9002", "9003", "1002"):
        assert hidden not in shown
    for kept in ("python3", "mine"):
        assert kept in shown


@pytest.mark.parametrize("record", [told(), evidence()], ids=["incident", "case"])
def test_the_admin_sees_all_of_it(record: Record) -> None:
    assert seen_by(ADMIN, record, owner_uid=OWNER) is record


def test_what_is_hidden_keeps_its_role_and_its_size() -> None:
    own, hog, unknown = seen_by(Reader(OWNER), told(), owner_uid=OWNER).bystanders
    assert own.pid == PID
    assert hog == Bystander(role="hog", rss_bytes=6 * GIB)
    assert unknown == Bystander(role="other", rss_bytes=MIB)


def test_the_page_says_whose_it_is_not() -> None:
    view = View(at(60), at(0).tzinfo or pytest.fail("a zone"))
    page = "\n".join(bystander_lines(seen_by(Reader(OWNER), told(), owner_uid=OWNER), view))
    assert "another user's process   6.0 GiB  hog" in page
    assert HOG in "\n".join(bystander_lines(told(), view))


def test_who_shot_it_is_told_to_whom_it_hit() -> None:
    """Linux itself tells a process who sent it a signal."""
    assert seen_by(Reader(OWNER), evidence(), owner_uid=OWNER).signals == (sent(15),)


def test_code_of_others_stays_hidden_from_an_admin_who_did_not_ask_for_it() -> None:
    cell = CellPart(source="secret()", sha256="d", code_policy="full")
    shown = seen_by(Reader(ROOT, is_admin=True), incident(cell=cell), owner_uid=OWNER)
    assert shown.cell is not None
    assert (shown.cell.source, shown.cell.sha256, shown.cell.code_policy) == (None, "d", "full")
    assert seen_by(Reader(OWNER), incident(cell=cell), owner_uid=OWNER).cell == cell
