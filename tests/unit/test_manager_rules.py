"""What managers say that they did: which death it belongs to, and what the rules make of it."""

from typing import Any

import pytest
from cases import (
    GROUP,
    PID,
    SERVER_PID,
    announced,
    at,
    death,
    oom,
    process,
    removed,
    room,
    sent,
    server,
    server_end,
    succeeded,
)

from kerneld.correlate.matching import concerns
from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.records import ManagerAct
from kerneld.model.vocabulary import Cause as C
from kerneld.model.vocabulary import Confidence, ServerKind

POSSIBLE, LIKELY, CERTAIN = Confidence.POSSIBLE, Confidence.LIKELY, Confidence.CERTAIN


def act(**fields: Any) -> ManagerAct:
    given = {
        "at": at(-0.05), "manager": "earlyoom", "did": "killed-for-memory", "pid": PID,
        "comm": "python3", "signal": 9, "line": f"sending SIGKILL to process {PID}",
    }  # fmt: skip
    return ManagerAct(**(given | fields))


def of_cgroup(path: str = GROUP, **fields: Any) -> ManagerAct:
    return act(manager="systemd-oomd", pid=None, comm=None, signal=None, cgroup=path, **fields)


BY_GUARD = sent(9).model_copy(
    update={"sender_comm": "earlyoom", "sender_uid": 61876, "sender_user": None}
)
BY_OOMD = BY_GUARD.model_copy(update={"sender_comm": "systemd-oomd", "sender_uid": 995})

GUARDS = {
    "named, SIGKILL": (death(signal=9, acts=(act(),)), C.OOM_DAEMON, CERTAIN),
    "named, SIGTERM": (death(signal=15, acts=(act(signal=15),)), C.OOM_DAEMON, CERTAIN),
    "named, and by the trace": (
        death(signal=9, acts=(act(),), signals=(BY_GUARD,)), C.OOM_DAEMON, CERTAIN,
    ),
    "by the trace alone": (death(signal=9, signals=(BY_GUARD,)), C.OOM_DAEMON, LIKELY),
    "its cgroup": (death(signal=9, acts=(of_cgroup(),)), C.OOM_DAEMON, LIKELY),
    "its cgroup, and by the trace": (
        death(signal=9, acts=(of_cgroup(),), signals=(BY_OOMD,)), C.OOM_DAEMON, CERTAIN,
    ),
    "named in a file that anybody logs into": (
        death(signal=9, acts=(act(is_vouched=False),)), C.KILLED, LIKELY,
    ),
    "named there, and memory was short": (
        death(signal=9, acts=(act(is_vouched=False),), memory=room(available_gib=0.5)),
        C.OOM_DAEMON, LIKELY,
    ),
    "named there, and by the trace": (
        death(signal=9, acts=(act(is_vouched=False),), signals=(BY_GUARD,)), C.OOM_DAEMON, LIKELY,
    ),
    "named there, but a person did": (
        death(signal=9, acts=(act(is_vouched=False),), signals=(sent(9),)),
        C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "it caught SIGTERM": (death(code=143, acts=(act(signal=15),)), C.OOM_DAEMON, LIKELY),
    "status lost": (death(acts=(act(),)), C.OOM_DAEMON, LIKELY),
    "named with another name": (death(signal=9, acts=(act(comm="ipfs"),)), C.OOM_DAEMON, LIKELY),
    # rivals
    "a person was faster": (
        death(signal=9, acts=(act(),), signals=(sent(9),)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "a person beside oomd": (
        death(signal=9, acts=(of_cgroup(),), signals=(sent(9),)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "the user's own program of that name": (
        death(signal=9, signals=(BY_GUARD.model_copy(update={"sender_uid": 1000}),)),
        C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "Linux did, while it ran": (
        death(signal=9, signals=(BY_GUARD.model_copy(update={"code": 128}),)), C.KILLED, LIKELY,
    ),
    "Linux was faster": (death(signal=9, acts=(act(),), log=(oom(),)), C.OOM_CGROUP, CERTAIN),
    "its cgroup, but SIGTERM": (death(signal=15, acts=(of_cgroup(),)), C.KILLED, LIKELY),
    "it crashed meanwhile": (death(signal=11, acts=(act(),)), C.SEGFAULT, CERTAIN),
    "it was shut down meanwhile": (
        death(code=0, acts=(act(signal=15),), session=(announced(),)), C.SHUTDOWN, CERTAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "cause", "confidence"), GUARDS.values(), ids=GUARDS)
def test_a_memory_guards_kill(case: Case, cause: C, confidence: Confidence) -> None:
    verdict = diagnose(case).verdict
    assert (verdict.cause, verdict.confidence) == (cause, confidence), verdict


def test_the_guard_that_was_traced_is_named() -> None:
    killer = diagnose(death(signal=9, signals=(BY_GUARD,))).verdict.killer
    assert killer is not None
    assert (killer.comm, killer.uid, killer.how) == ("earlyoom", 61876, "signal-trace")


def by_slurm(did: str, **fields: Any) -> ManagerAct:
    whom = {"pid": None, "comm": None, "signal": None, "step": "7.batch", "is_vouched": False}
    return act(manager="Slurm", did=did, **(whom | fields))


IN_A_JOB = process(environ={"SLURM_JOB_ID": "7"})
BY_STEPD = sent(9).model_copy(update={"sender_comm": "slurmstepd", "sender_uid": 0})
BY_HER_STEPD = BY_STEPD.model_copy(update={"sender_uid": 1000})
OVER, TIME, PREEMPTED, NODE, CANCELLED = map(
    by_slurm, ("killed-for-memory", "time-limit", "preempted", "node-failed", "cancelled")
)
SLURM = {
    "its memory": (death(signal=9, acts=(OVER, CANCELLED)), C.OOM_DAEMON, LIKELY),
    "its memory, and by the trace": (
        death(signal=9, acts=(OVER, CANCELLED), signals=(BY_STEPD,)), C.OOM_DAEMON, LIKELY,
    ),
    "its time": (death(signal=15, acts=(TIME,)), C.KILLED_BY_MANAGER, LIKELY),
    "its time, and by the trace": (
        death(signal=9, acts=(TIME,), signals=(BY_STEPD,)), C.KILLED_BY_MANAGER, LIKELY,
    ),
    "its time, by a daemon that was gone at once": (
        death(signal=9, acts=(TIME,), signals=(BY_STEPD.model_copy(update={"sender_uid": None}),)),
        C.KILLED_BY_MANAGER, LIKELY,
    ),
    "preemption": (death(signal=9, acts=(PREEMPTED,)), C.KILLED_BY_MANAGER, LIKELY),
    "its node": (death(signal=9, acts=(NODE,)), C.KILLED_BY_MANAGER, LIKELY),
    # rivals
    "words that its user had it log": (
        death(signal=9, acts=(OVER, TIME), signals=(sent(9),)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "a program of that name": (
        death(signal=9, acts=(TIME,), signals=(BY_HER_STEPD,)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "Linux was faster": (death(signal=9, acts=(OVER,), log=(oom(),)), C.OOM_CGROUP, CERTAIN),
    "it crashed meanwhile": (death(signal=11, acts=(OVER, TIME)), C.SEGFAULT, CERTAIN),
    "it gave up meanwhile": (death(signal=6, acts=(OVER, TIME)), C.ABORT, CERTAIN),
    "Linux killed it meanwhile": (
        death(signal=9, acts=(OVER, TIME), signals=(sent(9, code=128),)), C.KILLED, LIKELY,
    ),
    "cancelled": (death(signal=9, acts=(CANCELLED,)), C.KILLED, LIKELY),
    "cancelled, and by the trace": (
        death(signal=9, acts=(CANCELLED,), signals=(BY_STEPD,)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "no word, but by the trace": (
        death(signal=9, signals=(BY_STEPD,)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "cause", "confidence"), SLURM.values(), ids=SLURM)
def test_what_slurm_says_of_its_step(case: Case, cause: C, confidence: Confidence) -> None:
    verdict = diagnose(case).verdict
    assert (verdict.cause, verdict.confidence) == (cause, confidence), verdict


def test_a_cancelled_job_is_told_beside_the_end() -> None:
    for signals in ((), (BY_STEPD,)):
        verdict = diagnose(death(signal=9, acts=(CANCELLED,), signals=signals)).verdict
        assert "its job" in verdict.summary
        assert any(piece.text.startswith("Slurm: ") for piece in verdict.because)


@pytest.mark.parametrize(
    ("said", "is_meant"),
    [
        (TIME, True), (by_slurm("time-limit", step="7.0"), False),
        (by_slurm("time-limit", step="8.batch"), False),
        (by_slurm("time-limit", at=at(-90)), True), (by_slurm("time-limit", at=at(-130)), False),
        (by_slurm("time-limit", at=at(5)), False),
    ],
    ids=["its step", "another step", "another job", "KillWait", "too long ago", "later"],
)  # fmt: skip
def test_slurm_means_a_step_and_its_moment(said: ManagerAct, is_meant: bool) -> None:
    case = death(signal=15).model_copy(update={"process": IN_A_JOB})
    assert concerns(case, said) is is_meant


def by_systemd(did: str, **fields: Any) -> ManagerAct:
    given = {
        "manager": "systemd",
        "did": did,
        "pid": None,
        "comm": None,
        "signal": None,
        "unit": "nb.service",
    }
    return act(**(given | fields))


BY_PID_1 = sent(15).model_copy(update={"sender_pid": 1, "sender_uid": 0, "sender_comm": "systemd"})
BY_HER_SYSTEMD = sent(15).model_copy(update={"sender_comm": "systemd", "sender_unit": "init.scope"})
UNIT = process(unit="nb.service")
SHOT = by_systemd("signalled", pid=PID, signal=9, comm="python3")
BY_LINUX, BY_SHELL = sent(1, code=128), sent(1, by=process().sid)

MANAGER, PERSON = C.KILLED_BY_MANAGER, C.KILLED_BY_PROCESS
LIMIT, STOP = by_systemd("time-limit"), by_systemd("stopping")
OOM_BESIDE, OOM_IN_SLICE = (by_systemd("unit-oom", unit=of) for of in ("nb.service", "a.slice"))
MANAGERS = {
    "time limit": (
        death(signal=15, acts=(LIMIT,)), MANAGER, LIKELY,
    ),
    "time limit, sender traced": (
        death(signal=15, acts=(LIMIT,), signals=(BY_PID_1,)), MANAGER, CERTAIN,
    ),
    "time limit, and what anybody has Slurm say behind it": (
        death(signal=15, acts=(LIMIT, TIME), signals=(BY_PID_1,)), MANAGER, CERTAIN,
    ),
    "session's end": (death(signal=15, acts=(by_systemd("session-end"),)), MANAGER, LIKELY),
    "start timeout, named": (
        death(signal=9, acts=(by_systemd("start-timeout"), SHOT)), MANAGER, CERTAIN,
    ),
    "time limit, but a person was faster": (
        death(signal=9, acts=(LIMIT,), signals=(sent(9),)), PERSON, CERTAIN,
    ),
    "time limit, but it left of its own": (
        death(code=3, acts=(LIMIT,)), C.HARD_EXIT, CERTAIN,
    ),
    "time limit, but it crashed": (death(signal=11, acts=(LIMIT,)), C.SEGFAULT, CERTAIN),
    "beside an OOM kill, sender traced": (
        death(signal=15, process=UNIT, acts=(OOM_BESIDE,), signals=(BY_PID_1,)), MANAGER, CERTAIN,
    ),
    "beside an OOM kill, but a person was faster": (
        death(signal=15, process=UNIT, acts=(OOM_BESIDE,), signals=(sent(15),)), PERSON, CERTAIN,
    ),
    "its unit was stopped, the OOM kill was elsewhere in its slice": (
        death(signal=15, process=UNIT, acts=(OOM_IN_SLICE,), signals=(BY_PID_1,)),
        C.SERVER_STOPPED, LIKELY,
    ),
    "its unit was stopped after an OOM kill (OOMPolicy=continue)": (
        death(signal=15, process=UNIT, acts=(OOM_BESIDE, STOP), signals=(BY_PID_1,)),
        C.SERVER_STOPPED, CERTAIN,
    ),
    "beside an OOM kill of which the journal can't tell": (
        death(signal=15, signals=(BY_PID_1,), neighbours=(oom(pid=PID + 1),)), MANAGER, LIKELY,
    ),
    "its unit was stopped, the journal can't tell": (
        death(signal=15, process=UNIT, signals=(BY_PID_1,)), C.SERVER_STOPPED, LIKELY,
    ),
    "its unit was stopped by her own systemd": (
        death(signal=15, process=UNIT, signals=(BY_HER_SYSTEMD,)), C.SERVER_STOPPED, LIKELY,
    ),
    "its unit ended with its server, which crashed": (
        death(
            signal=15, process=UNIT, signals=(BY_PID_1,), server_end=server_end(-0.1, signal=11)
        ),
        C.PARENT_DIED, LIKELY,
    ),
    "hangup by Linux": (death(signal=1, signals=(BY_LINUX,)), MANAGER, LIKELY),
    "hangup by its shell": (death(signal=1, signals=(BY_SHELL,)), MANAGER, LIKELY),
    "hangup, untraced": (death(signal=1), MANAGER, LIKELY),
    "SIGHUP by a person": (death(signal=1, signals=(sent(1),)), PERSON, CERTAIN),
    "its unit was stopped": (death(signal=15, acts=(STOP,)), C.SERVER_STOPPED, LIKELY),
    "its unit's stop killed it": (death(signal=9, acts=(STOP, SHOT)), C.SERVER_STOPPED, CERTAIN),
    "its unit's stop killed it, whatever anybody has Slurm say": (
        death(signal=9, acts=(STOP, SHOT, TIME)), C.SERVER_STOPPED, CERTAIN,
    ),
    "its unit was stopped, but a person was faster": (
        death(signal=9, acts=(STOP,), signals=(sent(9),)), PERSON, CERTAIN,
    ),
    "its unit was stopped, but it crashed": (death(signal=11, acts=(STOP,)), C.SEGFAULT, CERTAIN),
}  # fmt: skip


@pytest.mark.parametrize(("case", "cause", "confidence"), MANAGERS.values(), ids=MANAGERS)
def test_an_end_by_systemd(case: Case, cause: C, confidence: Confidence) -> None:
    verdict = diagnose(case).verdict
    assert (verdict.cause, verdict.confidence) == (cause, confidence), verdict


def by_jupyter(did: str, seconds: float = -0.1) -> ManagerAct:
    told = {"manager": "jupyter", "did": did, "pid": None, "comm": None, "signal": None}
    return act(**told, kernel_id="k1", at=at(seconds))


CULLED = by_jupyter("culled")
RESTARTED, AGAIN = by_jupyter("restarted", 1.2), by_jupyter("autorestarted", 0.9)
NEXT = succeeded(0.05)
CODE, SPYDER = server(ServerKind.VSCODE), server(ServerKind.SPYDER)
NBCLIENT = server(ServerKind.NBCLIENT)
OWN = sent(15, by=SERVER_PID)
SERVERS = {
    "ended by VS Code": (
        death(signal=15, server=CODE, signals=(OWN,), file_removed=removed()), C.SHUTDOWN, LIKELY,
    ),
    "ended by Spyder, and nobody saw it": (
        death(signal=9, server=SPYDER, file_removed=removed(), busy=False), C.KILLED, POSSIBLE,
    ),
    "killed below VS Code": (
        death(signal=15, server=CODE, signals=(sent(15),), file_removed=removed()), PERSON, CERTAIN,
    ),
    "killed below VS Code, the file stays": (death(signal=9, server=CODE), C.KILLED, LIKELY),
    "crashed below VS Code": (
        death(signal=11, server=CODE, file_removed=removed()), C.SEGFAULT, CERTAIN,
    ),
    "ended by nbclient at once": (
        death(signal=9, server=NBCLIENT, signals=(sent(9, by=SERVER_PID),), busy=False),
        C.SHUTDOWN, LIKELY,
    ),
    "culled": (death(code=0, acts=(CULLED,), session=(announced(),)), C.CULLED, LIKELY),
    "culled, and had to be killed": (
        death(signal=9, acts=(CULLED,), signals=(sent(9, by=SERVER_PID),)), C.CULLED, LIKELY,
    ),
    "culled, but a person was faster": (
        death(signal=9, acts=(CULLED,), signals=(sent(9),)), PERSON, CERTAIN,
    ),
    "culled, but it crashed": (death(signal=11, acts=(CULLED,)), C.SEGFAULT, CERTAIN),
    "culled, and its server stopped soon after": (
        death(code=0, acts=(CULLED,), session=(announced(),), server_end=server_end(3, code=0)),
        C.CULLED, LIKELY,
    ),
    "culled long before": (
        death(code=0, acts=(by_jupyter("culled", -20),), session=(announced(),)), C.SHUTDOWN, CERTAIN,
    ),
    "stuck, and restarted, says the server": (
        death(signal=9, acts=(RESTARTED,), succession=NEXT), C.RESTART, LIKELY,
    ),
    "killed, started again at once, then restarted": (
        death(signal=9, acts=(RESTARTED, AGAIN), succession=NEXT, busy=False), C.KILLED, LIKELY,
    ),
    "a restart of the life before": (
        death(signal=9, acts=(by_jupyter("restarted", -4),)), C.KILLED, LIKELY,
    ),
    "killed, started again, then restarted": (
        death(signal=9, acts=(RESTARTED,), succession=succeeded(1.1)), C.KILLED, LIKELY,
    ),
    "restarted, but a person was faster": (
        death(signal=9, acts=(RESTARTED,), succession=NEXT, signals=(sent(9),)), PERSON, CERTAIN,
    ),
    "restarted, but memory was out": (
        death(signal=9, acts=(RESTARTED,), succession=NEXT, log=(oom(),)), C.OOM_CGROUP, CERTAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "cause", "confidence"), SERVERS.values(), ids=SERVERS)
def test_what_a_server_says_was_asked_of_it(case: Case, cause: C, confidence: Confidence) -> None:
    verdict = diagnose(case).verdict
    assert (verdict.cause, verdict.confidence) == (cause, confidence), verdict


def test_a_failed_start_tells_the_reason_that_the_servers_log_has() -> None:
    why = by_jupyter("start-failed").model_copy(
        update={"pid": PID, "kernel_id": None, "line": "there is no module zmq"}
    )
    born = process(started_at=at(-0.4))
    verdict = diagnose(death(code=1, process=born, answered=False, busy=None, acts=(why,))).verdict
    assert verdict.cause is C.STARTUP_FAILURE
    assert "there is no module zmq" in verdict.summary


CONCERNS = {
    "its unit": (by_systemd("stopping", unit="jupyter.service"), True),
    "its unit, a minute before": (by_systemd("stopping", unit="jupyter.service", at=at(-90)), True),
    "its unit, long before": (by_systemd("stopping", unit="jupyter.service", at=at(-150)), False),
    "another unit": (by_systemd("stopping", unit="jupyter2.service"), False),
    "it": (act(), True),
    "another pid": (act(pid=PID + 1), False),
    "long before": (act(at=at(-31)), False),
    "told a little late": (act(at=at(1.5)), True),
    "long after": (act(at=at(3)), False),
    "its cgroup": (of_cgroup(), True),
    "a cgroup above": (of_cgroup(GROUP.rpartition("/")[0] or GROUP), True),
    "a cgroup whose name only begins so": (of_cgroup(GROUP[:-1]), False),
    "a cgroup beside": (of_cgroup(f"{GROUP}x"), False),
    "a cgroup below": (of_cgroup(f"{GROUP}/below"), False),
    "the root": (of_cgroup("/"), False),
}


@pytest.mark.parametrize(("told", "expected"), CONCERNS.values(), ids=CONCERNS)
def test_whom_a_managers_word_concerns(told: ManagerAct, expected: bool) -> None:
    assert concerns(death(signal=9, process=process(unit="jupyter.service")), told) is expected


def test_a_word_on_an_earlier_process_of_that_pid_is_not_this_ones() -> None:
    born = process(started_at=at(-0.5))
    assert not concerns(death(signal=9, process=born), act(at=at(-5)))
