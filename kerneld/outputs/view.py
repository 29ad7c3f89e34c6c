"""How a reader looks: the moment, the zone, the width and whether colour is seen."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

Role = Literal["", "head", "dim", "bad", "warn", "good", "accent"]

_SGR: dict[str, str] = {
    "head": "1", "dim": "2", "bad": "31", "warn": "33", "good": "32", "accent": "36",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """now: the aware time that "today" is told by. width: columns. colour: it only underlines words."""

    now: datetime
    zone: tzinfo
    width: int = 80
    colour: bool = False

    def paint(self, text: str, role: Role) -> str:
        """The text in the colour of its role; plain where no colour is seen."""
        if not self.colour or not role or not text:
            return text
        return f"\x1b[{_SGR[role]}m{text}\x1b[0m"
