"""Whether a message was taken."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """problem: why not, in words without secrets; wait_s: how long the other side asks to wait."""

    problem: str = ""
    wait_s: float | None = None
