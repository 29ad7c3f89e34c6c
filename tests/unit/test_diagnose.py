"""Judging a case: who wins, what is kept of the losers, what could not be seen."""

from types import SimpleNamespace

import pytest
from cases import announced, at, counters, death, idle, line, oom, removed, succeeded

from kerneld.diagnose import diagnose, is_final
from kerneld.model.case import Case
from kerneld.model.readings import ExitReading
from kerneld.model.verdict import Blind, Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, ExitHow
from kerneld.rules import Rule

NO_LOG = Blind(source="kmsg", reason="dmesg_restrict is 1")


def theory(cause: Cause, confidence: Confidence, *refines: Cause) -> Rule:
    """A rule that always says the same."""
    verdict = Verdict(
        cause=cause,
        confidence=confidence,
        summary="So it was.",
        because=(Evidence(source="exit", text=cause.value),),
    )
    return SimpleNamespace(
        __name__=cause.value, NEEDS=(), REFINES=frozenset(refines), judge=lambda case: verdict
    )


def judged(*rules: Rule) -> tuple[Cause, list[Cause]]:
    judgement = diagnose(death(), rules=rules)
    return judgement.verdict.cause, [other.cause for other in judgement.alternatives]


POSSIBLE, LIKELY, CERTAIN = Confidence.POSSIBLE, Confidence.LIKELY, Confidence.CERTAIN


def test_the_surer_of_two_unrelated_theories_wins() -> None:
    weak, strong = theory(Cause.KILLED, LIKELY), theory(Cause.OOM_HOST, CERTAIN)
    assert judged(weak, strong) == (Cause.OOM_HOST, [Cause.KILLED])


def test_of_two_equals_the_first_in_order_wins() -> None:
    one, two = theory(Cause.KILLED, LIKELY), theory(Cause.OOM_HOST, LIKELY)
    assert judged(one, two) == (Cause.KILLED, [Cause.OOM_HOST])


def test_a_likely_refinement_beats_a_certain_theory_that_it_refines() -> None:
    wide, fine = theory(Cause.HARD_EXIT, CERTAIN), theory(Cause.SHUTDOWN, LIKELY, Cause.HARD_EXIT)
    assert judged(wide, fine) == (Cause.SHUTDOWN, [Cause.HARD_EXIT])


def test_a_merely_possible_refinement_beats_nothing() -> None:
    wide, fine = theory(Cause.KILLED, LIKELY), theory(Cause.SHUTDOWN, POSSIBLE, Cause.KILLED)
    assert judged(wide, fine) == (Cause.KILLED, [Cause.SHUTDOWN])


def test_a_certain_winner_has_no_rival_among_what_it_refines() -> None:
    wide, fine = theory(Cause.KILLED, LIKELY), theory(Cause.SHUTDOWN, CERTAIN, Cause.KILLED)
    assert judged(wide, fine) == (Cause.SHUTDOWN, [])


def test_refinement_goes_on_over_a_beaten_one() -> None:
    chain = (
        theory(Cause.KILLED, CERTAIN),
        theory(Cause.SHUTDOWN, CERTAIN, Cause.KILLED),
        theory(Cause.SERVER_STOPPED, LIKELY, Cause.SHUTDOWN),
    )
    assert judged(*chain)[0] is Cause.SERVER_STOPPED


def test_a_rule_that_fails_becomes_a_note_without_its_message() -> None:
    """The message may quote a user's data; the incident is judged all the same."""

    def fail(case: Case) -> Verdict:
        raise KeyError("secret")

    broken = SimpleNamespace(__name__="kerneld.rules.broken", NEEDS=(), REFINES=frozenset(), judge=fail)
    judgement = diagnose(death(), rules=(broken, theory(Cause.KILLED, LIKELY)))
    assert judgement.verdict.cause is Cause.KILLED
    assert judgement.notes == ("rule broken failed: KeyError",)


def test_no_theory_at_all_is_unknown() -> None:
    assert diagnose(death(signal=9), rules=()).verdict.cause is Cause.UNKNOWN


def test_unknown_names_what_could_not_be_looked_at() -> None:
    verdict = diagnose(death(blind=(NO_LOG,))).verdict
    assert verdict.cause is Cause.UNKNOWN
    assert "dmesg_restrict is 1" in verdict.summary
    assert {b.source for b in verdict.blind} == {"kmsg", "exit"}


def test_a_verdict_says_what_its_rule_needed_and_did_not_see() -> None:
    case = death(signal=9, cgroup=counters(gone=True), busy=None, last_cell=None, blind=(NO_LOG,))
    verdict = diagnose(case).verdict
    assert {b.source for b in verdict.blind} == {"kmsg", "cgroup", "iopub"}


def test_a_verdict_tells_every_source_that_could_not_be_read() -> None:
    """An unheard iopub costs no segfault its proof, and its reader the cell: it is told."""
    deaf = Blind(source="iopub", reason="its sockets are another user's")
    assert diagnose(death(signal=11, blind=(deaf,))).verdict.blind == (deaf,)


def test_two_accounts_of_the_exit_that_differ_speak_against_the_verdict() -> None:
    said = tuple(
        ExitReading(how=how, status_raw=raw, at=at(0))
        for how, raw in ((ExitHow.PIDFD, 9), (ExitHow.TASKSTATS, 256))
    )
    judgement = diagnose(death(readings=said))
    assert any("disagree" in note for note in judgement.notes)
    assert any("disagree" in evidence.text for evidence in judgement.verdict.against)


FINAL = {
    "OOM line": (death(signal=9, log=(oom(),)), True),
    "segfault": (death(signal=11, log=(line("segfault"),)), True),
    "OOM by counters": (death(signal=9, cgroup=counters(), blind=(NO_LOG,)), False),
    "SIGKILL": (death(signal=9), False),
    "hard exit: a request may still come to light": (death(code=3), False),
    "shutdown: its server may be stopping": (
        death(code=0, busy=False, session=(idle(), announced())), False,
    ),
    "stuck": (death(signal=9, succession=succeeded(0.1), file_removed=removed()), False),
}  # fmt: skip


@pytest.mark.parametrize(("case", "final"), FINAL.values(), ids=FINAL)
def test_only_what_nothing_can_change_is_final(case: Case, final: bool) -> None:
    assert is_final(case, diagnose(case)) is final
