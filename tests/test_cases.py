"""Captured deaths and the verdict that each must get. A wrong verdict is a file dropped here.

tests/cases/<rule>/hit*.json and near_miss_*.json: {"header": {where and how it was captured},
"case": a Case, "expect": {"cause", "confidence"}}, as `kerneld export ID --case --redact` makes them.
"""

import json
from pathlib import Path

import pytest

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.rules import RULES

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*.json"))
NAMES = tuple(rule.__name__.rpartition(".")[2] for rule in RULES)

# Rules without a captured hit and near miss. This list only shrinks.
NOT_YET_CAPTURED = (
    "abort",
    "arithmetic_fault",
    "bus_error",
    "cpu_limit",
    "exit_call",
    "file_size_limit",
    "hard_exit",
    "headless_end",
    "host_restart",
    "illegal_instruction",
    "killed",
    "killed_by_itself",
    "oom_cgroup",
    "oom_cgroup_counters",
    "oom_host",
    "oom_host_counters",
    "oom_near_host",
    "oom_near_limit",
    "parent_died",
    "pool_ended",
    "restart",
    "seccomp",
    "segfault",
    "server_stopped",
    "shutdown",
    "startup_failure",
    "trap",
    "unknown",
)


def is_captured(rule: str) -> bool:
    folder = CASES / rule
    return any(folder.glob("hit*.json")) and any(folder.glob("near_miss_*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_captured_death_gets_its_verdict(path: Path) -> None:
    """A hit is won by the rule it is filed under; a near miss is not."""
    document = json.loads(path.read_text())
    case = Case.model_validate(document["case"])
    verdict = diagnose(case).verdict
    found = {"cause": verdict.cause.value, "confidence": verdict.confidence.value}
    assert found == document["expect"]
    rule = RULES[NAMES.index(path.parent.name)]
    theory = rule.judge(case)
    won = theory is not None and (theory.cause, theory.confidence) == (
        verdict.cause,
        verdict.confidence,
    )
    assert won is path.name.startswith("hit")
    assert document["header"], "a header says where and how the case was captured"


@pytest.mark.parametrize("rule", NAMES)
def test_every_rule_has_a_captured_hit_and_a_near_miss(rule: str) -> None:
    if rule in NOT_YET_CAPTURED:
        assert not is_captured(rule), f"{rule} is captured: take it off NOT_YET_CAPTURED"
    else:
        assert is_captured(rule), f"tests/cases/{rule}/ lacks a hit or a near miss"


def test_no_folder_and_no_exception_belongs_to_a_rule_that_is_gone() -> None:
    folders = {path.name for path in CASES.iterdir() if path.is_dir()} if CASES.exists() else set()
    assert (folders | set(NOT_YET_CAPTURED)) - set(NAMES) == set()
