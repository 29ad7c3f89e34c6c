"""All rules over one case into a judgement: the winning verdict, the losers, the notes."""

from collections.abc import Iterable
from dataclasses import dataclass

from kerneld.model.case import Case
from kerneld.model.evidence import headroom, is_blind
from kerneld.model.exits import disagreement, exit_of
from kerneld.model.verdict import Alternative, Blind, Evidence, Judgement, Verdict
from kerneld.model.vocabulary import Category, Cause, Confidence, ExitHow, Scope
from kerneld.rules import RULES, Rule, unknown

PROVEN_CATEGORIES = (Category.MEMORY, Category.NATIVE, Category.LIMIT, Category.HARDWARE)


@dataclass(frozen=True, slots=True)
class _Theory:
    rule: Rule
    verdict: Verdict
    order: int

    def beats(self, other: "_Theory") -> bool:
        """A refinement that reached likely beats what it refines, whatever the confidence."""
        likely = self.verdict.confidence.rank >= Confidence.LIKELY.rank
        return likely and other.verdict.cause in self.rule.REFINES

    @property
    def weight(self) -> tuple[int, int]:
        return self.verdict.confidence.rank, -self.order


def diagnose(case: Case, *, rules: tuple[Rule, ...] = RULES) -> Judgement:
    """Let every rule judge; one that fails becomes a note with its exception's class, no message."""
    theories: list[_Theory] = []
    notes = list(case.notes)
    for order, rule in enumerate(rules):
        try:
            verdict = rule.judge(case)
        except Exception as problem:  # a broken rule must not lose the incident
            name = rule.__name__.rpartition(".")[2]
            notes.append(f"rule {name} failed: {type(problem).__name__}")
            continue
        if verdict is not None:
            theories.append(_Theory(rule, verdict, order))
    if not theories:
        theories.append(_Theory(unknown, unknown.judge(case), len(rules)))
    winner = _winner(theories)
    clash = disagreement(case.readings)
    if clash is not None:
        notes.append(f"the accounts of the exit disagree: {clash}")
    return Judgement(
        verdict=_completed(case, winner, clash),
        alternatives=tuple(_alternatives(winner, theories)),
        notes=tuple(notes),
    )


def is_final(case: Case, judgement: Judgement) -> bool:
    """Whether nothing still to come can change this: proven, and no request is behind it."""
    verdict = judgement.verdict
    return (
        verdict.confidence is Confidence.CERTAIN
        and verdict.cause.category in PROVEN_CATEGORIES
        and disagreement(case.readings) is None
    )


def _winner(theories: list[_Theory]) -> _Theory:
    standing = [t for t in theories if not any(other.beats(t) for other in theories)]
    return max(standing, key=lambda theory: theory.weight)


def _alternatives(winner: _Theory, theories: list[_Theory]) -> Iterable[Alternative]:
    """The losers, best first, each cause once. A certain winner has none among what it refines."""
    told = {winner.verdict.cause, Cause.UNKNOWN}
    if winner.verdict.confidence is Confidence.CERTAIN:
        told |= winner.rule.REFINES
    for theory in sorted(theories, key=lambda t: t.weight, reverse=True):
        verdict = theory.verdict
        if verdict.cause not in told:
            told.add(verdict.cause)
            yield Alternative(
                cause=verdict.cause,
                confidence=verdict.confidence,
                because="; ".join(evidence.text for evidence in verdict.because),
            )


def _completed(case: Case, winner: _Theory, clash: str | None) -> Verdict:
    """The verdict with all that could not be seen, and the accounts that clash."""
    verdict = winner.verdict
    blind = {b.source: b for b in (*verdict.blind, *_blindness(case, winner.rule.NEEDS))}
    against = verdict.against
    if clash is not None:
        against = (*against, Evidence(source="exit", text=f"the accounts disagree: {clash}"))
    return verdict.model_copy(update={"blind": tuple(blind.values()), "against": against})


def _blindness(case: Case, needs: tuple[str, ...]) -> Iterable[Blind]:
    yield from case.blind
    for source, reason in _absent(case):
        if source in needs and not is_blind(case, source):
            yield Blind(source=source, reason=reason)


def _absent(case: Case) -> Iterable[tuple[str, str]]:
    """What no source complained of, and yet is not there."""
    if exit_of(case).how is ExitHow.LOST:
        yield "exit", "the exit status is lost"
    if case.busy is None and case.scope is Scope.KERNEL:
        yield "iopub", "the kernel's messages were not heard"
    if headroom(case).near is None:
        yield "memory", "memory was not seen before the death"
    if case.cgroup is None or not case.cgroup.before:
        yield "cgroup", "the memory cgroup's counters were not read"
    elif not case.cgroup.after:
        yield "cgroup", "the cgroup was gone after the death: its counters went with it"
