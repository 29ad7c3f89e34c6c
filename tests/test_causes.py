"""Every cause: a rule, a captured hit and a near miss, and a live death, or why there is none."""

import json
import re
import sys
from pathlib import Path

import pytest

import kerneld.rules
from kerneld.model.vocabulary import Cause as C

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "live"))

from scenarios import SCENARIOS  # noqa: E402 - the path is set above

# the scenario of tests/live that ends a kernel so, or why none does
LIVE: dict[C, str] = {
    C.OOM_CGROUP: "oom-cgroup",
    C.ALLOCATION_FAILURE: "refused-memory",
    C.SHM_FULL: "shm-full",
    C.SEGFAULT: "segfault",
    C.BUS_ERROR: "bus-error",
    C.ILLEGAL_INSTRUCTION: "illegal-instruction",
    C.ARITHMETIC_FAULT: "arithmetic-fault",
    C.ABORT: "abort",
    C.TRAP: "trap",
    C.STACK_OVERFLOW: "stack-overflow",
    C.CPU_LIMIT: "cpu-limit",
    C.FILE_SIZE_LIMIT: "file-size",
    C.SECCOMP: "seccomp",
    C.KILLED_BY_PROCESS: "self-kill",
    C.KILLED: "killed-idle",
    C.EXIT_CALL: "exit-call",
    C.HARD_EXIT: "hard-exit-3",
    C.STARTUP_FAILURE: "broken-start",
    C.PARENT_DIED: "server-killed",
    C.SHUTDOWN: "shutdown",
    C.RESTART: "restart-idle",
    C.SERVER_STOPPED: "server-stopped",
    C.CULLED: "culled",
}
NO_LIVE: dict[C, str] = {
    C.OOM_HOST: "no host is driven out of memory for a test; assembled from a captured report",
    C.GPU_FAULT: "no such card is at hand; assembled from a published log",
    C.HARDWARE_MEMORY_ERROR: "no memory module is broken for a test; assembled from a published log",
    C.HOST_RESTART: "no machine is restarted for a test; its life is given another boot's id",
    C.UNKNOWN: "it is what is left where nothing can be seen; played by tests/capture/absence.py",
}

# what a machine with a systemd of its own plays, in tests/system/managed.py
MANAGED: dict[C, str] = {C.OOM_DAEMON: "earlyoom", C.KILLED_BY_MANAGER: "watchdog"}

ONLY_X86 = {
    "illegal-instruction", "trap", "arithmetic-fault", "stack-overflow", "thread-stack-overflow",
    "wild-write", "seccomp",
}  # fmt: skip
ASSERTED = "".join(file.read_text() for file in (TESTS / "live").glob("test_*.py"))
RULES = {
    file.stem: set(re.findall(r"\bCause\.([A-Z_]+)\b", file.read_text().partition("REFINES")[2]))
    for file in Path(kerneld.rules.__file__).parent.glob("*.py")
}


def reached() -> dict[C, set[str]]:
    """Each cause with the rules under which a hit that got it is captured."""
    found: dict[C, set[str]] = {}
    for file in sorted((TESTS / "cases").glob("*/hit*.json")):
        told = C(json.loads(file.read_text())["expect"]["cause"])
        found.setdefault(told, set()).add(file.parent.name)
    return found


def test_each_cause_stands_in_one_table() -> None:
    tables = (LIVE, MANAGED, NO_LIVE)
    assert [cause for cause in C if sum(cause in table for table in tables) != 1] == []


@pytest.mark.parametrize("cause", list(C))
def test_a_cause_has_a_rule_a_captured_hit_and_a_near_miss(cause: C) -> None:
    """The hit is filed under a rule that says this cause, and that rule's near miss is another's."""
    rules = {name for name in reached().get(cause, set()) if cause.name in RULES[name]}
    assert rules, "no captured death got it by a rule that says it"
    misses = [
        C(json.loads(file.read_text())["expect"]["cause"])
        for rule in rules
        for file in (TESTS / "cases" / rule).glob("near_miss_*.json")
    ]
    assert misses, f"no near miss of {rules}"


@pytest.mark.parametrize("cause", LIVE)
def test_a_live_death_of_it_is_played_and_asserted(cause: C) -> None:
    assert LIVE[cause] in SCENARIOS or LIVE[cause] in ONLY_X86
    assert f'"{LIVE[cause]}"' in ASSERTED
    assert re.search(rf"\bCause\.{cause.name}\b", ASSERTED)


@pytest.mark.parametrize("cause", MANAGED)
def test_a_death_of_it_in_a_machine_is_played_and_asserted(cause: C) -> None:
    system = TESTS / "system"
    assert f'"{MANAGED[cause]}": ' in (system / "managed.py").read_text()
    asserted = (system / "test_unit_managers.py").read_text()
    assert f'["{MANAGED[cause]}"]' in asserted
    assert re.search(rf"\bCause\.{cause.name}\b", asserted)


def test_what_is_not_tried_live_says_why() -> None:
    assert all(len(reason) > 20 for reason in NO_LIVE.values())
