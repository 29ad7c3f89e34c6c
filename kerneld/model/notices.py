"""Where incidents are told outside, which of them, and what of that waits."""

import difflib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import ErrorDetails

from kerneld.model.vocabulary import Category, Cause

RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?([/?][!-~]*)?")


_CauseWord = Annotated[Cause, Field(strict=False)]
_CategoryWord = Annotated[Category, Field(strict=False)]


class WebhookFormat(StrEnum):
    JSON = "json"
    SLACK = "slack"
    NTFY = "ntfy"


class NotifyRule(BaseModel):
    """One table `[notify.NAME]`: exactly one of command, webhook and desktop, and which incidents.

    An empty list is every one. quiet: local hours, held together and told when they are over.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    command: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), repr=False, description="a list of words, the first an absolute path"
    )
    webhook: SecretStr | None = Field(None, description="an http:// or https:// address")
    format: WebhookFormat = Field(
        WebhookFormat.JSON, strict=False, description='one of "json", "slack", "ntfy"'
    )
    desktop: bool = Field(False, description="true or false")
    causes: Annotated[tuple[_CauseWord, ...], Field(strict=False)] = Field(
        (), description="a list of causes that nobody asks for (`kerneld causes`)"
    )
    categories: Annotated[tuple[_CategoryWord, ...], Field(strict=False)] = Field(
        (), description="a list of memory, native, limit, killed, exit, hardware, host, unknown"
    )
    users: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="a list of users' names"
    )
    per_hour: int = Field(20, ge=1, le=3600, description="a whole number from 1 to 3600")
    quiet: str = Field(
        "",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$",
        description='hours such as "22:00-07:00", or ""',
    )

    @field_validator("command")
    @classmethod
    def _is_absolute(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if (words and not words[0].startswith("/")) or any("\0" in word for word in words):
            raise ValueError("the command's path must be absolute")
        return words

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        address = _URL.fullmatch(url.get_secret_value())
        if address is None or not 0 < int(address[2] or 80) < 65536:
            raise ValueError("no http:// or https:// address")
        return url

    @field_validator("causes", "categories")
    @classmethod
    def _is_told(cls, words: tuple[Cause | Category, ...]) -> tuple[Cause | Category, ...]:
        asked_for = {Category.REQUESTED, *(c for c in Cause if c.category is Category.REQUESTED)}
        if asked_for.intersection(words):
            raise ValueError("what was asked for is never told")
        return words

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if bool(self.command) + (self.webhook is not None) + self.desktop != 1:
            raise ValueError("exactly one of command, webhook, desktop")
        return self


def explain(error: ErrorDetails) -> str:
    """What is wrong in a rule, without its values: they may be secrets."""
    _, *names = map(str, error["loc"][:3])
    key = ".".join(["notify", *names])
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] == "[key]":
        return f"notify: a rule's name is of letters, digits, - and _: {names[0]!r} is not"
    if len(names) < 2:
        problem = str(error.get("ctx", {}).get("error", ""))
        named = names[0] if names else "NAME"
        return f"{key}: {problem}" if problem else f"{key}: must be a section: [notify.{named}]"
    known = NotifyRule.model_fields
    if names[1] not in known:
        near = difflib.get_close_matches(names[1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"{key}: no such key; {hint}"
    return f"{key}: allowed is {known[names[1]].description}"


def shown(rule: NotifyRule) -> list[tuple[str, object]]:
    """Each key that is set, and its value; of an address the host alone, of a command the program."""
    found: list[tuple[str, object]] = []
    for key in NotifyRule.model_fields:
        value = getattr(rule, key)
        if key not in rule.model_fields_set or value is None:
            continue
        if isinstance(value, SecretStr):
            value = "/".join([*value.get_secret_value().split("/")[:3], "…"])
        elif key == "command":
            value = [*value[:1], *["…"] * (len(value) > 1)]
        found.append((key, list(value) if isinstance(value, tuple) else value))
    return found


@dataclass(frozen=True, slots=True)
class Waiting:
    """One incident that one rule wants told. line: it in one sentence, safe text.

    loop_id: what the deaths of one loop have in common; the first one's uuid.
    """

    uuid: str
    revision: int
    settled_at: datetime
    loop_id: str
    line: str

    @property
    def goes_on(self) -> bool:
        """A later death of a loop."""
        return self.loop_id != self.uuid


@dataclass(frozen=True, slots=True)
class Message:
    """What is told at once, fixed before it is sent: tried again, it is the same.

    key: `UUID/REVISION` of one incident, else a uuid of all of them. attempts: those that failed.
    """

    id: int
    key: str
    incidents: tuple[Waiting, ...]
    made_at: datetime
    next_at: datetime
    attempts: int = 0
