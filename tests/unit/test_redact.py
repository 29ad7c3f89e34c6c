"""A case that goes into a bug report names nobody, holds no code, and is judged as before."""

import pytest
from cases import counters, death, oom, process, room
from incidents import full

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.host import Host
from kerneld.model.said import CellStarted
from kerneld.model.vocabulary import CodePolicy
from kerneld.outputs.redact import redact
from kerneld.privacy import withhold

NAMES = ("alice", "lab-7", "SECRET")


def told(**fields: object) -> Case:
    """A death of alice's on lab-7, with her names in every place that names have."""
    own = process(
        comm="python3",
        user_name="alice",
        environ={"JUPYTERHUB_USER": "alice", "JPY_SESSION_NAME": "/home/alice/secret plan.ipynb"},
    )
    case = death(**({"process": own} | fields))  # type: ignore[arg-type]
    cell = CellStarted(at=case.died_at, handle=1, source="password = 'SECRET'", execution_count=1)
    host = Host(name="lab-7.example.org", boot_id=case.host.boot_id, linux_release="6.8")
    return case.model_copy(update={"host": host, "last_cell": cell, "session": (cell,)})


CASES = {
    "oom line": told(signal=9, log=(oom(cgroup="/user.slice/alice", oom_cgroup="/user.slice/alice"),)),
    "counters": told(signal=9, cgroup=counters(), memory=room()),
    "segfault": told(signal=11),
    "status 3": told(code=3),
    "lost": told(),
}


@pytest.mark.parametrize("name", CASES)
def test_a_redacted_case_gets_the_same_verdict(name: str) -> None:
    case = CASES[name]
    redacted = redact(withhold(case, CodePolicy.OFF))
    before, after = diagnose(case).verdict, diagnose(redacted).verdict
    assert (after.cause, after.confidence) == (before.cause, before.confidence)
    text = redacted.model_dump_json()
    assert [word for word in NAMES if word in text] == []
    assert "/home/user1/" in text


def test_an_incident_is_redacted_in_its_sentences_too() -> None:
    incident = full(summary="alice filled hub-3; bob's kernel in /home/bob/x.ipynb was spared")
    redacted = redact(withhold(incident, CodePolicy.OFF))
    text = redacted.model_dump_json()
    assert [word for word in ("alice", "hub-3", "bob", "np.random") if word in text] == []
    assert redacted.summary == "user1 filled host1; user2's kernel in /home/user2/x.ipynb was spared"
    assert (redacted.cause, redacted.uuid, redacted.died_at) == (
        incident.cause,
        incident.uuid,
        incident.died_at,
    )


def test_a_host_that_is_called_as_a_word_of_linux_spoils_no_line() -> None:
    """`vm` is what many a cloud calls its machines."""
    line = "Killed process 7 (python) total-vm:12kB on vm"
    case = told(signal=9, log=(oom(line=line),))
    case = case.model_copy(update={"host": case.host.model_copy(update={"name": "vm"})})
    [record] = redact(withhold(case, CodePolicy.OFF)).log
    assert record.event.line == "Killed process 7 (python) total-vm:12kB on host1"
