"""Questions about ends into SQL; a page of them comes from an index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kerneld.errors import UsageError
from kerneld.model.base import to_us
from kerneld.model.vocabulary import Category, Cause
from kerneld.store.schema import COUNTED, HUB_USERS

DOCUMENT = "CAST(document AS BLOB)"
"""as bytes: text that is no UTF-8 would be an error of the whole answer"""
UUID_LENGTH = 36
LARGEST_UID = (1 << 32) - 1
MOST_USERS = 100
BY_USER = f"""
    SELECT tallies.uid, most.name, tallies.cause, tallies.count FROM tallies JOIN (
        SELECT uid, (SELECT user_name FROM ends WHERE ends.uid = each.uid
                     ORDER BY died_at DESC LIMIT 1) AS name
        FROM tallies AS each GROUP BY uid ORDER BY sum(count) DESC, uid LIMIT {MOST_USERS}
    ) AS most USING (uid)
"""
LIVES = """
    SELECT kernel_id, count(*) FROM ends
    WHERE kernel_id IN (SELECT value FROM json_each(?)) AND scope = 'kernel'
      AND uuid NOT IN (SELECT value FROM json_each(?)) GROUP BY kernel_id
"""
_UUID_LETTERS = frozenset("0123456789abcdef-")


@dataclass(frozen=True, slots=True)
class HubUser:
    """Whose rows carry this name of the Hub's: in a container, or on the host of this account.

    A kernel's name of the Hub's is its environment's, which its user can set: alone it proves nothing.
    uid: None where the host has no account of that user's.
    """

    name: str
    uid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which ends: the latest `limit` that fit, oldest first (newest first with `reverse`).

    user: a name, or a uid in digits. person: as people are called, by the Hub if it knows them. uid,
    hub_user: the asker's own rows only. before: a (died_at, id) from which on back. notebook: a glob;
    without a slash it is for the file's name. kernel: an id or the start of one. all: requested ends,
    and ends that another incident tells, too.
    """

    since: datetime | None = None
    until: datetime | None = None
    cause: Cause | None = None
    category: Category | None = None
    user: str | None = None
    person: str | None = None
    uid: int | None = None
    hub_user: HubUser | None = None
    before: tuple[int, int] | None = None
    notebook: str | None = None
    kernel: str | None = None
    pid: int | None = None
    limit: int | None = None
    reverse: bool = False
    all: bool = False


def statement(query: Query) -> tuple[str, list[object]]:
    """The SQL and its parameters; rows (document, id, died_at) come newest first."""
    sql, values = _select(query, f"SELECT {DOCUMENT}, id, died_at FROM ends", [])
    sql += " ORDER BY died_at DESC, id DESC"
    if query.limit is not None:
        sql += " LIMIT ?"
        values.append(query.limit)
    return sql, values


def place_statement(query: Query, back: int) -> tuple[str, list[object]]:
    """(died_at, id) of the one that so many newer ones of the same question follow."""
    sql, values = _select(query, "SELECT died_at, id FROM ends", [])
    return f"{sql} ORDER BY died_at DESC, id DESC LIMIT 1 OFFSET ?", [*values, back]


def page_statement(query: Query, after: tuple[int, int], limit: int) -> tuple[str, list[object]]:
    """The same oldest first, (document, id, died_at), from behind a (died_at, id) on."""
    begin: list[tuple[str, list[object]]] = [("(died_at, id) > (?, ?)", [*after])]
    sql, values = _select(query, f"SELECT {DOCUMENT}, id, died_at FROM ends", begin)
    return f"{sql} ORDER BY died_at, id LIMIT ?", [*values, limit]


def naming_statement(query: Query, uuids: Sequence[str]) -> tuple[str, list[object]]:
    """The uuids, of these, of ends that fit."""
    among: list[tuple[str, list[object]]] = [(f"uuid IN ({','.join('?' * len(uuids))})", [*uuids])]
    return _select(query, "SELECT uuid FROM ends", among)


def counting_statement(query: Query, what: str) -> tuple[str, list[object]]:
    """`what` of the incidents that fit: of everybody's from the index that holds all that is counted,
    of one user's few from that user's own (100,000 ends, 1,000 of them the user's: 120 ms, and 4).
    """
    index = COUNTED if query.hub_user is None else HUB_USERS
    return _select(replace(query, all=False), f"SELECT {what} FROM ends INDEXED BY {index}", [])


def _select(
    query: Query, sql: str, conditions: list[tuple[str, list[object]]]
) -> tuple[str, list[object]]:
    every = [*conditions, *_own(query), *((where, [value]) for where, value in _conditions(query))]
    if every:
        sql += f" WHERE {' AND '.join(where for where, _ in every)}"
    return sql, [value for _, values in every for value in values]


def _own(query: Query) -> list[tuple[str, list[object]]]:
    """Those with more than one value."""
    found: list[tuple[str, list[object]]] = []
    if query.hub_user is not None:
        owned = "(hub_name = ? AND (container_id IS NOT NULL OR uid = ?))"
        found.append((owned, [query.hub_user.name, query.hub_user.uid]))
    if query.person is not None:
        named = "(hub_name = ? OR user_name = ?)"
        found.append((named, [query.person] * 2))
    if query.before is not None:
        found.append(("(died_at, id) < (?, ?)", [*query.before]))
    return found


def _conditions(query: Query) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    if not query.all:
        found.append((f"{'' if _is_plain(query) else '+'}is_incident = ?", 1))
    if query.since is not None:
        found.append(("died_at >= ?", to_us(query.since)))
    if query.until is not None:
        found.append(("died_at < ?", to_us(query.until)))
    if query.cause is not None:
        found.append(("cause = ?", query.cause.value))
    if query.category is not None:
        found.append(("category = ?", query.category.value))
    if query.user is not None:
        found.append(_user(query.user))
    if query.uid is not None:
        found.append(("uid = ?", query.uid))
    if query.notebook is not None:
        found.append(_glob(query.notebook))
    if query.kernel is not None:
        found.append(_kernel(query.kernel))
    if query.pid is not None:
        found.append(("pid = ?", query.pid))
    return found


def _is_plain(query: Query) -> bool:
    """No narrower index than the incidents' own (a `+` keeps SQLite from taking that one)."""
    narrower = (query.cause, query.category, query.user, query.uid, query.pid, query.hub_user)
    has_id = query.kernel is not None and len(query.kernel) == UUID_LENGTH
    return not has_id and all(part is None for part in narrower)


def _user(text: str) -> tuple[str, object]:
    if not text.isdecimal():
        return ("user_name = ?", text)
    if len(text) > 10 or int(text) > LARGEST_UID:
        raise UsageError(f"{text[:20]} is no uid: the largest is {LARGEST_UID}")
    return ("uid = ?", int(text))


def _glob(pattern: str) -> tuple[str, object]:
    return ("notebook GLOB ?", pattern if "/" in pattern else f"*/{pattern}")


def _kernel(text: str) -> tuple[str, object]:
    """A whole id comes from its index; the start of one is looked for from the newest end on."""
    if len(text) == UUID_LENGTH:
        return ("kernel_id = ?", text)
    return ("+kernel_id GLOB ?", f"{_hexadecimal(text)}*")


def prefix_pattern(ref: str) -> str:
    """The start of a uuid as a GLOB that the uuid's index serves."""
    return f"{_hexadecimal(ref)}*"


def _hexadecimal(text: str) -> str:
    if not text or set(text.lower()) - _UUID_LETTERS:
        raise UsageError(f"{text!r} is no id: a number, `latest`, or the start of a uuid is wanted")
    return text.lower()
