"""Captured deaths into the cases that this hardware must not produce: with one other fact put in.

`python tests/capture/assembled.py`, after capture.py. No host is driven out of memory for a test: what
Linux wrote on one that was is in tests/captured/kmsg/oom-global-6.1.txt.
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from kerneld.cli.fixture import Expectation, Fixture
from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.facts import CgroupDelta, LogRecord
from kerneld.model.vocabulary import Cause, Confidence, Scope, Trust
from kerneld.parse.kmsg import KernelLog, parse_record

TESTS = Path(__file__).resolve().parent.parent
CASES = TESTS / "cases"
GLOBAL_OOM = TESTS / "captured" / "kmsg" / "oom-global-6.1.txt"
VICTIM = "473206", "doxygen"
FREE_BYTES = 34629 * 4096
"""`free:34629` of that report's Mem-Info, in pages"""


def with_the_hosts_oom_report(case: Case) -> Case:
    """The report's lines, with this process's pid and name where its victim's stood."""
    log = KernelLog(Trust.KERNEL)
    events = []
    for line in GLOBAL_OOM.read_text().splitlines():
        if line.startswith("#"):
            continue
        text = line.replace(VICTIM[0], str(case.process.pid)).replace(VICTIM[1], case.process.comm)
        record = parse_record(text.encode())
        assert record is not None, line
        events += log.feed(record.message, level=record.level, facility=record.facility)
    [event] = events + log.close()
    told = LogRecord(at=case.died_at - timedelta(seconds=0.05), event=event)
    return with_little_left(counted(case)).model_copy(update={"log": (told,)})


def counted(case: Case) -> Case:
    """Its cgroup's oom_kill rose by the one."""
    assert case.cgroup is not None
    own, *above = case.cgroup.after
    assert own.oom_kill is not None
    after = (own.model_copy(update={"oom_kill": own.oom_kill + 1}), *above)
    delta = CgroupDelta(before=case.cgroup.before, after=after, kills_in_window=1)
    return case.model_copy(update={"cgroup": delta})


def with_little_left(case: Case) -> Case:
    memory = case.memory.model_copy(update={"host_available_bytes": FREE_BYTES})
    return case.model_copy(update={"memory": memory})


def of_a_worker(case: Case) -> Case:
    return case.model_copy(update={"scope": Scope.WORKER})


Change = Callable[[Case], Case]
# file, the captured death, what is changed, the change in words, the right verdict
ASSEMBLED: tuple[tuple[str, str, Change, str, Cause, Confidence], ...] = (
    (
        "oom_host/hit",
        "killed/hit_gigabyte",
        with_the_hosts_oom_report,
        "Linux's report of a host's OOM kill and one count of oom_kill added",
        Cause.OOM_HOST,
        Confidence.CERTAIN,
    ),
    (
        "oom_host_counters/hit",
        "killed/hit_gigabyte_plain",
        counted,
        "one count of oom_kill added",
        Cause.OOM_HOST,
        Confidence.POSSIBLE,
    ),
    (
        "oom_near_host/hit",
        "killed/hit_gigabyte",
        with_little_left,
        "the host's available memory lowered to what an OOM report shows",
        Cause.KILLED,
        Confidence.POSSIBLE,
    ),
    (
        "pool_ended/hit",
        "killed/hit_sigterm",
        of_a_worker,
        "the kernel's death told as a worker's",
        Cause.SHUTDOWN,
        Confidence.LIKELY,
    ),
)


def main() -> int:
    wrong = 0
    for file, source, change, words, cause, confidence in ASSEMBLED:
        captured = Fixture.model_validate_json((CASES / f"{source}.json").read_text())
        case = change(captured.case)
        verdict = diagnose(case).verdict
        if (verdict.cause, verdict.confidence) != (cause, confidence):
            wrong += 1
            print(f"{file}: got {verdict.cause} {verdict.confidence}", file=sys.stderr)
            continue
        how = {
            "assembled": f"{source}.json: {words}",
            "assembled_by": "python tests/capture/assembled.py",
        }
        made = Fixture(
            header=captured.header | how,
            case=case,
            expect=Expectation(cause=cause, confidence=confidence),
        )
        path = CASES / f"{file}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
