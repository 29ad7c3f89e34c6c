"""A case and its judgement into what to do about it. It reads facts about code, never code."""

from kerneld.advice import PIECES, Piece
from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Judgement


def advise(
    case: Case, judgement: Judgement, *, pieces: tuple[Piece, ...] = PIECES
) -> tuple[Advice, ...]:
    """The pieces that apply, in order. One that fails is left out: the incident counts more."""
    found: list[Advice] = []
    for piece in pieces:
        try:
            advice = piece.advise(case, judgement.verdict)
        except Exception:  # advice is no evidence: its failure must not cost the incident
            continue
        if advice is not None:
            found.append(advice)
    return tuple(found)
