"""Captured deaths into the cases that this hardware must not produce: with one other fact put in.

`python tests/capture/assembled.py`, after capture.py. No host is driven out of memory for a test, no
memory module broken, and no graphics card is at hand: what Linux wrote elsewhere is in
tests/captured/kmsg.
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from kerneld.cli.fixture import Expectation, Fixture
from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.readings import CgroupDelta
from kerneld.model.records import LogRecord
from kerneld.model.vocabulary import Cause, Confidence, Scope, Trust
from kerneld.parse.kmsg import KernelLog, parse_record

TESTS = Path(__file__).resolve().parent.parent
CASES = TESTS / "cases"
GLOBAL_OOM = TESTS / "captured" / "kmsg" / "oom-global-6.1.txt"
VICTIM = "473206", "doxygen"
XID = TESTS / "captured" / "kmsg" / "xid-43.txt"
CUDA_PROGRAM = "2924364", "pt_main_thread"
MEMORY_ERROR = TESTS / "captured" / "kmsg" / "mce-sigbus.txt"
ITS_VICTIM = "1227", "mce_process_rea"
FREE_BYTES = 34629 * 4096
"""`free:34629` of that report's Mem-Info, in pages"""


def with_the_hosts_oom_report(case: Case) -> Case:
    """The report's lines, with this process's pid and name where its victim's stood."""
    told = logged(case, GLOBAL_OOM, VICTIM, seconds=0.05)
    return with_little_left(counted(case)).model_copy(update={"log": (told,)})


def logged(case: Case, file: Path, victim: tuple[str, str], *, seconds: float) -> LogRecord:
    """The event that names the victim of a captured log, told of this process before its end."""
    log = KernelLog(Trust.KERNEL)
    events = []
    for line in file.read_text().splitlines():
        if line.startswith("#"):
            continue
        text = line.replace(victim[0], str(case.process.pid)).replace(victim[1], case.process.comm)
        record = parse_record(text.encode())
        assert record is not None, line
        events += log.feed(record.message, level=record.level, facility=record.facility)
    [event] = [each for each in events + log.close() if each.pid == case.process.pid]
    return LogRecord(at=case.died_at - timedelta(seconds=seconds), event=event)


def with_a_line(file: Path, victim: tuple[str, str], seconds: float) -> "Change":
    def change(case: Case) -> Case:
        line = logged(case, file, victim, seconds=seconds)
        return case.model_copy(update={"log": (*case.log, line)})

    return change


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
        "gpu_fault/hit",
        "abort/hit",
        with_a_line(XID, CUDA_PROGRAM, 0.4),
        "the NVIDIA driver's line of a CUDA program that read out of range added, 0.4 s before",
        Cause.GPU_FAULT,
        Confidence.LIKELY,
    ),
    (
        "gpu_fault/near_miss_long_before",
        "abort/hit",
        with_a_line(XID, CUDA_PROGRAM, 12.0),
        "the same line added, 12 s before",
        Cause.ABORT,
        Confidence.CERTAIN,
    ),
    (
        "gpu_fault/near_miss_shut_down",
        "shutdown/hit",
        with_a_line(XID, CUDA_PROGRAM, 0.4),
        "the same line added: the kernel lived on and was shut down",
        Cause.SHUTDOWN,
        Confidence.CERTAIN,
    ),
    (
        "hardware_memory_error/hit",
        "bus_error/hit",
        with_a_line(MEMORY_ERROR, ITS_VICTIM, 0.01),
        "Linux's line of an uncorrected memory error added",
        Cause.HARDWARE_MEMORY_ERROR,
        Confidence.CERTAIN,
    ),
    (
        "hardware_memory_error/near_miss_handled",
        "segfault/hit",
        with_a_line(MEMORY_ERROR, ITS_VICTIM, 0.3),
        "the same line added: its signal was handled, and the kernel died of another",
        Cause.SEGFAULT,
        Confidence.CERTAIN,
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
