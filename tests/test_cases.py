"""Captured deaths and the verdict that each must get. A wrong verdict is a file dropped here.

tests/cases/<rule>/hit*.json and near_miss_*.json: {"header": {where and how it was captured},
"case": a Case, "expect": {"cause", "confidence"}}, as `kerneld export ID --case --redact` makes them.
"""

import json
import re
from pathlib import Path

import pytest

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.verdict import Verdict
from kerneld.rules import RULES

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*.json"))
NAMES = tuple(rule.__name__.rpartition(".")[2] for rule in RULES)

MOST_BYTES = 30 << 10
PRIVATE = re.compile(r"/(?:root|home(?!/user[0-9])|opt|work|Users)/|token|password", re.IGNORECASE)
"""user1 is what `kerneld export --redact` makes of a user's name"""
# Beside `killed`, which says as much and comes first, these only tell what can't be ruled out.
SUSPICIONS = ("oom_near_host", "oom_near_limit")


def is_captured(rule: str) -> bool:
    folder = CASES / rule
    return any(folder.glob("hit*.json")) and any(folder.glob("near_miss_*.json"))


def is_outdone(loser: Verdict, winner: Verdict, case: Case) -> bool:
    """Less sure than the winner, or told more precisely by a rule that says the same as it."""
    if loser.confidence.rank < winner.confidence.rank:
        return True
    theories = [(rule, rule.judge(case)) for rule in RULES]
    return any(
        theory is not None and theory.cause == winner.cause and loser.cause in rule.REFINES
        for rule, theory in theories
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_captured_death_gets_its_verdict(path: Path) -> None:
    """A hit is won by the rule it is filed under (or suspected by it); a near miss is not."""
    document = json.loads(path.read_text())
    case = Case.model_validate(document["case"])
    judgement = diagnose(case)
    verdict = judgement.verdict
    found = {"cause": verdict.cause.value, "confidence": verdict.confidence.value}
    assert found == document["expect"]
    theory = RULES[NAMES.index(path.parent.name)].judge(case)
    told = {(verdict.cause, verdict.confidence)}
    if path.parent.name in SUSPICIONS:
        told = {(other.cause, other.confidence) for other in judgement.alternatives}
    hit = theory is not None and (theory.cause, theory.confidence) in told
    assert hit is path.name.startswith("hit")
    assert hit or theory is None or is_outdone(theory, verdict, case), "it won by its place alone"
    assert judgement.notes == case.notes, "no rule failed, and no accounts disagree"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case_says_where_it_is_from_and_tells_nothing_of_that_machine(path: Path) -> None:
    text = path.read_text()
    document = json.loads(text)
    assert {"captured_at", "linux", "distro", "kerneld", "command"} <= set(document["header"])
    assert document["case"]["host"]["name"] == "host1"
    assert len(text.encode()) <= MOST_BYTES
    assert not PRIVATE.search(text)
    assert {fact.get("source") for fact in document["case"]["session"]} <= {None}


@pytest.mark.parametrize("rule", NAMES)
def test_every_rule_has_a_captured_hit_and_a_near_miss(rule: str) -> None:
    assert is_captured(rule), f"tests/cases/{rule}/ lacks a hit or a near miss"


def test_no_folder_belongs_to_a_rule_that_is_gone() -> None:
    assert {path.name for path in CASES.iterdir()} <= set(NAMES)
