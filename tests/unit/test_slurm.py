"""Which of Slurm's words are taken, of which step; its user can have it log any other."""

import json

import pytest
from cases import process
from incidents import HOSTILE

from kerneld.model.base import from_us
from kerneld.model.process import CgroupLocation
from kerneld.parse.managers import Managers
from kerneld.parse.slurm import parse_word, step_of_title

BOOT = "30e14fd4-5070-4ff1-b88c-fb5a67150803"
AT = from_us(1_795_788_212_825_998)
# as Debian 12's Slurm 22.05.8 logged them
OVER = "error: StepId=7.batch exceeded memory limit (322744320 > 104857600), being killed"
ENDED = "error: *** JOB 7 ON vm CANCELLED AT 2026-11-27T13:56:06{why} ***"
WORDS = {
    "memory": (OVER, "killed-for-memory"),
    "time": (ENDED.format(why=" DUE TO TIME LIMIT"), "time-limit"),
    "preemption": (ENDED.format(why=" DUE TO PREEMPTION"), "preempted"),
    "node": (ENDED.format(why=" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"), "node-failed"),
    "requeue": (ENDED.format(why=" DUE TO JOB REQUEUE"), "cancelled"),
    "scancel": (ENDED.format(why=""), "cancelled"),
}


@pytest.mark.parametrize(("said", "did"), WORDS.values(), ids=WORDS)
def test_a_word_tells_what_is_done_to_its_step(said: str, did: str) -> None:
    act = parse_word(said, "7.batch", AT)
    assert act is not None
    assert (act.manager, act.did, act.step, act.at) == ("Slurm", did, "7.batch", AT)
    assert not act.is_vouched
    assert act.line == said.removeprefix("error: ")


@pytest.mark.parametrize(("said", "did"), WORDS.values(), ids=WORDS)
def test_a_word_of_another_step_is_somebodys_invention(said: str, did: str) -> None:
    assert parse_word(said, "8.batch", AT) is None


def test_a_step_of_a_job_is_its_own() -> None:
    said = "*** STEP 7.0 ON vm CANCELLED AT 2026-11-27T13:56:06 DUE TO TIME LIMIT ***"
    assert parse_word(said, "7.batch", AT) is None
    assert parse_word(said, "7.0", AT) is not None


INVENTED = {
    "a line before": f"hello\n{OVER}",
    "a line behind": f"{OVER}\n",
    "a name with a blank": ENDED.format(why="").replace("vm", "vm 1"),
    "another reason": ENDED.format(why=" DUE TO BAD WEATHER"),
    "no such step": OVER.replace("7.batch", "7.x"),
    "a number beyond all": OVER.replace("322744320", "9" * 30),
    "an oom-kill, which Linux tells better": (
        "error: Detected 1 oom_kill event in StepId=7.batch. "
        "Some of the step tasks have been OOM Killed."
    ),
    "hostile": HOSTILE,
}  # fmt: skip


@pytest.mark.parametrize("said", INVENTED.values(), ids=map(str, INVENTED))
def test_any_other_text_is_nothing(said: str) -> None:
    act = parse_word(said, "7.batch", AT)
    assert act is None or act.did == "cancelled"


def record(message: str, **fields: object) -> bytes:
    """As journald stores a line of slurmstepd where SlurmdSyslogDebug is set."""
    given = {
        "__CURSOR": "s=113e;i=2c;b=30e1",
        "__REALTIME_TIMESTAMP": "1795788212826095",
        "_SOURCE_REALTIME_TIMESTAMP": "1795788212825998",
        "_BOOT_ID": BOOT.replace("-", ""),
        "_COMM": "slurmstepd",
        "_UID": "0",
        "_CMDLINE": '"slurmstepd: [7.batch]"',
        "_SYSTEMD_UNIT": "slurmd.service",
        "SYSLOG_IDENTIFIER": "slurmstepd-vm",
        "MESSAGE": message,
    }
    return json.dumps({k: v for k, v in (given | fields).items() if v is not None}).encode() + b"\n"


def test_the_journal_says_which_step_speaks() -> None:
    [act] = Managers(BOOT).feed(record(OVER)).acts
    assert (act.step, act.did, act.at) == ("7.batch", "killed-for-memory", AT)


FORGED = {
    "by a user": {"_UID": "1000"},
    "by a job, which is in slurmd's unit": {"_COMM": "python3"},
    "of another step": {"_CMDLINE": '"slurmstepd: [8.batch]"'},
    "of no step": {"_CMDLINE": "/usr/sbin/slurmstepd"},
    "without a command line": {"_CMDLINE": None},
}


@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED)
def test_nobody_else_is_believed(fields: dict[str, object]) -> None:
    assert Managers(BOOT).feed(record(OVER, **fields)).acts == ()


def test_a_title_is_read_as_older_journals_wrote_it() -> None:
    assert step_of_title("slurmstepd: [7.0]") == "7.0"
    assert step_of_title("slurmstepd: [7.extern]") is None


STEPS = {
    "v1": ("/slurm/uid_1000/job_7/step_batch/task_0", {}, "7.batch"),
    "v1, several slurmds": ("/slurm_vm/uid_1000/job_7/step_0", {}, "7.0"),
    "v2": ("/system.slice/slurmstepd.scope/job_7/step_0/user/task_0", {}, "7.0"),
    "its cgroup knows better": (
        "/slurm/uid_1000/job_7/step_0", {"SLURM_JOB_ID": "8"}, "7.0",
    ),
    "a batch script": ("/system.slice/slurmd.service", {"SLURM_JOB_ID": "7"}, "7.batch"),
    "srun": ("/", {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "3"}, "7.3"),
    "salloc's own shell": ("/", {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "4294967290"}, "7.interactive"),
    "no job": ("/user.slice", {"SLURM_STEP_ID": "3"}, None),
    "somebody's folder": ("/user.slice/job_7/step_0", {}, None),
}  # fmt: skip


@pytest.mark.parametrize(("path", "environ", "step"), STEPS.values(), ids=STEPS)
def test_a_process_is_in_the_step_of_its_cgroup_or_environment(
    path: str, environ: dict[str, str], step: str | None
) -> None:
    own = process(cgroup=CgroupLocation(version=1, path=path), environ=environ)
    assert own.slurm_step == step
