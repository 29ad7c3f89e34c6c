"""A case or an incident without the names of people and machines; it is judged as before.

Each name is replaced everywhere by the same stand-in, so that what agreed before still agrees. Code
is not its business: `kerneld.privacy` withholds that.
"""

import re
from collections.abc import Iterator
from typing import TypeVar

from kerneld.model.base import Record

R = TypeVar("R", bound=Record)

_USER_KEYS = {"user", "user_name", "hub_name", "JUPYTERHUB_USER", "USER", "LOGNAME"}
_HOMES = re.compile(r"/(?:home|Users|export/home|mnt/home|data/home)/([^/\s:'\"]+)")
# words of closed vocabularies, and keys that join one thing with another
_KEPT_KEYS = {
    "source", "type", "how", "kind", "cause", "category", "confidence", "scope", "state", "trust",
    "role", "uuid", "boot_id", "boot_id_now", "caused_by", "sha256", "key_digest", "constraint",
    "signature_scheme", "transport", "linux_release", "manager", "did",
}  # fmt: skip
_NOBODY = {"", "root", "nobody", "jovyan"}


def redact(record: R) -> R:
    """The same record with users as `user1`, `user2`, … and the host as `host1`."""
    document = record.model_dump(mode="json")
    stand_ins: dict[str, str] = {}
    for name in _users(document):
        if name not in _NOBODY:
            stand_ins.setdefault(name, f"user{len(stand_ins) + 1}")
    for name in _hosts(document):
        stand_ins.setdefault(name, "host1")
        stand_ins.setdefault(name.partition(".")[0], "host1")
    if not stand_ins:
        return record
    # many a host is called `vm`, and every OOM line of Linux has a `total-vm:`
    longest_first = sorted(stand_ins, key=len, reverse=True)
    either = "|".join(map(re.escape, longest_first))
    words = re.compile(rf"(?<![A-Za-z0-9])(?<!total-)(?:{either})(?![A-Za-z0-9])")
    return type(record).model_validate(_replaced(document, words, stand_ins))


def _users(value: object, key: str = "") -> Iterator[str]:
    """Names of users, wherever a field, a known variable or the path of a home tells one."""
    if isinstance(value, dict):
        named = value.get("name") if key == "user" else None
        if isinstance(named, str):
            yield named
        for inner, part in value.items():
            yield from _users(part, inner)
    elif isinstance(value, list):
        for part in value:
            yield from _users(part, key)
    elif isinstance(value, str):
        if key in _USER_KEYS:
            yield value
        yield from _HOMES.findall(value)


def _hosts(value: object) -> Iterator[str]:
    """The machine's name, wherever a record has one."""
    if not isinstance(value, dict):
        return
    for key, part in value.items():
        if key == "host" and isinstance(part, dict) and part.get("name"):
            yield str(part["name"])
        yield from _hosts(part)


def _replaced(
    value: object, words: re.Pattern[str], stand_ins: dict[str, str], key: str = ""
) -> object:
    if isinstance(value, dict):
        return {inner: _replaced(part, words, stand_ins, inner) for inner, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, words, stand_ins, key) for part in value]
    if isinstance(value, str) and key not in _KEPT_KEYS:
        return words.sub(lambda match: stand_ins[match.group()], value)
    return value
