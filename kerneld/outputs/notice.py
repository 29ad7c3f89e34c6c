"""Incidents to what is told outside: words, JSON, the forms of Slack and ntfy, variables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from html import escape

from kerneld.model.base import SCHEMA, iso
from kerneld.model.incident import Incident
from kerneld.model.notices import Message, Waiting
from kerneld.outputs.headline import what, who
from kerneld.outputs.safe import clip, safe_text
from kerneld.outputs.text import user_name

TITLE_WIDTH, TEXT_WIDTH, VALUE_WIDTH = 200, 600, 1000
MOST_LINES = 20
MOST_ENDS = 1000
NTFY_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Notice:
    """One message in words, safe text. newest: the incident that died last, where it is still kept."""

    rule: str
    key: str
    title: str
    lines: tuple[str, ...]
    ends: tuple[Waiting, ...] = ()
    newest: Incident | None = None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def notice(rule: str, message: Message, newest: Incident | None) -> Notice:
    """One incident, one loop, or several incidents as one message."""
    ends = message.incidents
    if newest is not None and len({one.loop_id for one in ends}) == 1:
        times = f" (×{newest.loop.count})" if newest.loop else ""
        title = f"{who(newest)} of {user_name(newest)} {what(newest)}{times}"
        lines = _story(newest, ends)
    elif len(ends) == 1:
        title, lines = ends[0].line, ["Its incident is no longer kept."]
    else:
        host = f" on {safe_text(newest.host.name)}" if newest else ""
        title = f"{len(ends)} incidents{host}"
        lines = [one.line for one in ends[-MOST_LINES:]]
        if len(ends) > MOST_LINES:
            lines.insert(0, f"The last {MOST_LINES} of {len(ends)}:")
    told = tuple(clip(line, TEXT_WIDTH) for line in lines)
    return Notice(rule, message.key, clip(title, TITLE_WIDTH), told, ends, newest)


def trial(rule: str, host: str, key: str) -> Notice:
    """What `kerneld notify test` sends."""
    lines = (f"The rule {rule} works: incidents of {safe_text(host)} will be told here.",)
    return Notice(rule, key, "A test of kerneld's notifications", lines)


def _story(incident: Incident, ends: Sequence[Waiting]) -> list[str]:
    lines = [safe_text(incident.summary)]
    if incident.loop:
        first = ends[0].settled_at
        many = f"Death {incident.loop.count} of this kernel in quick succession"
        lines.append(f"{many}; {len(ends)} of them since {first:%H:%M} UTC are told here.")
    proof = f"{incident.cause.value}, {incident.confidence.value}"
    at = f"{incident.died_at:%Y-%m-%d %H:%M:%S} UTC"
    where = safe_text(incident.host.name)
    return [*lines, f"{proof}; {at}; on {where}: kerneld show {incident.id or incident.uuid[:8]}"]


# ---------------------------------------------------------------- forms


def as_json(told: Notice) -> str:
    """One object; `incident` is the newest one in its full form."""
    ends = [
        {
            "uuid": one.uuid,
            "revision": one.revision,
            "settled_at": iso(one.settled_at),
            "text": one.line,
        }
        for one in told.ends[-MOST_ENDS:]
    ]
    newest = json.loads(told.newest.model_dump_json()) if told.newest else None
    document = {
        "schema": SCHEMA, "rule": told.rule, "key": told.key, "title": told.title, "text": told.text,
        "count": len(told.ends), "ends": ends, "incident": newest,
    }  # fmt: skip
    return json.dumps(document)


def as_slack(told: Notice) -> str:
    """For an incoming webhook: nothing of a user's text is a mention, a link or a format.

    https://docs.slack.dev/messaging/formatting-message-text: &, < and > are escaped, all else that
    means something is turned off.
    """
    text = escape(f"{told.title}\n{told.text}", quote=False)
    return json.dumps(
        {
            "text": text, "mrkdwn": False, "parse": "none", "link_names": False,
            "unfurl_links": False, "unfurl_media": False,
        }
    )  # fmt: skip


def as_markup(text: str) -> str:
    """For a desktop, whose notifications may hold tags."""
    return escape(text, quote=False)


def ntfy_headers(told: Notice) -> dict[str, str]:
    """A header is Latin-1 at best: ntfy reads what RFC 2047 encodes."""
    title = Header(told.title, "utf-8", maxlinelen=1 << 16).encode()
    return {"Title": title, "Tags": "warning", "Markdown": "no"}


def ntfy_body(told: Notice) -> bytes:
    """Of a longer one ntfy makes a file."""
    return told.text.encode()[:NTFY_BYTES].decode("utf-8", "ignore").encode()


def variables(told: Notice) -> dict[str, str]:
    """For a program: what it most often asks for; an unknown is empty. All is safe text."""
    newest = told.newest
    found: dict[str, object] = {
        "RULE": told.rule, "KEY": told.key, "TITLE": told.title, "TEXT": told.text,
        "COUNT": len(told.ends),
    }  # fmt: skip
    if newest is not None:
        found |= {
            "UUID": newest.uuid, "REVISION": newest.revision, "ID": newest.id,
            "CAUSE": newest.cause.value, "CATEGORY": newest.category.value,
            "CONFIDENCE": newest.confidence.value, "SCOPE": newest.scope.value,
            "USER": user_name(newest), "UID": newest.user.uid, "HOST": newest.host.name,
            "NOTEBOOK": newest.notebook.path if newest.notebook else None,
            "KERNEL": newest.kernel.id if newest.kernel else None, "PID": newest.process.pid,
            "DIED_AT": iso(newest.died_at), "SUMMARY": newest.summary,
        }  # fmt: skip
    return {f"KERNELD_{name}": _value(value) for name, value in found.items()}


def _value(value: object) -> str:
    if value is None:
        return ""
    lines = [safe_text(line) for line in str(value).split("\n")]
    return clip("\n".join(lines), VALUE_WIDTH * MOST_LINES)
