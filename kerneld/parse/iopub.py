"""The frames of one iopub message into the fact it tells, once its signature is proven."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kerneld.model.said import CellFailed, CellStarted, KernelStatus, SessionFact, ShutdownAnnounced
from kerneld.parse.code import code_facts
from kerneld.parse.shortage import class_name, shortage_of

DELIMITER = b"<IDS|MSG>"
MAX_SOURCE_BYTES = 64 * 1024
MAX_VALUE_BYTES = 1024
_MAX_NAME_BYTES = 256
_MAX_HEADER_BYTES = 64 * 1024
_MAX_CONTENT_BYTES = 1024 * 1024
"""a status of 8 MiB took 0.75 s to read"""
_MAX_COUNT = 1 << 53
_MAX_TOPIC_FRAMES = 4

_TOPICS: dict[str, tuple[bytes, ...]] = {
    "ipykernel": (b"kernel.",),
    "bash": (b"kernel.",),
    "xeus": (b"kernel_core.",),
    "irkernel": (b"",),
}
_UNKNOWN = (b"kernel.", b"kernel_core.", b"status", b"execute_input", b"error", b"shutdown")
_TOPIC = re.compile(rb"(?P<wide>kernel\.|kernel_core\.)(?P<whose>[\w-]{1,64}\.)[a-z_]{1,32}")
_STATES = frozenset({"starting", "busy", "idle", "dead", "restarting"})
_DIGESTS = {
    f"hmac-{name}": name
    for name in (
        "md5",
        "sha1",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "sha3_256",
        "sha3_512",
        "blake2b",
    )
}


class Refusal(StrEnum):
    """Why a message was not believed."""

    SIGNATURE = "signature"
    SHAPE = "shape"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Header:
    """Of a signed message: the kernel process's own session, and when it was made, if it says."""

    session: str | None
    dated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Publisher:
    """Whose messages these are. language: the one its cells are written in, None if unknown."""

    handle: int
    key: bytes
    scheme: str
    language: str | None


def topics_of(implementation: str) -> tuple[bytes, ...]:
    """The narrowest subscription that hears states, cells, errors and shutdowns.

    Streams are what would make a kernel grow while its listener is stopped (up to 1,000 messages).
    ipykernel and its offspring publish them under bare topics, so a prefix filters them out at the
    kernel; xeus puts all under one prefix until `own_topics` knows its name, and IRkernel's topic is
    the name of whoever asked, so there only fast reading helps. A kernel of unknown make is offered
    every known narrow prefix (IJulia's topics are the bare message types) and never the empty one:
    unheard beats harmed.
    """
    return _TOPICS.get(implementation, _UNKNOWN)


def own_topics(topic: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
    """The prefix that a message came under, and what to subscribe to in its place, from then on.

    A kernel's name in its topics is its process's own. Without it a prefix is all that one can ask
    for, and results come too (ipykernel), or everything (xeus): cells that print and show
    100 kB made one grow by 27 MiB in 5 s beside a stopped listener, the other by 59 MiB in 4 s.
    """
    found = _TOPIC.fullmatch(topic)
    if found is None:
        return None
    words = (b"status", b"execute_input", b"error", b"shutdown")
    return found["wide"], tuple(found["wide"] + found["whose"] + word for word in words)


def language_of(implementation: str, kernel_name: str) -> str | None:
    """What the cells of this kernel are written in, as far as its make and name tell."""
    if implementation in ("ipykernel", "bash", "irkernel"):
        return {"ipykernel": "python", "bash": "bash", "irkernel": "R"}[implementation]
    return "python" if "python" in kernel_name.lower() else None


def knows_scheme(scheme: str) -> bool:
    return scheme in _DIGESTS


def parse_iopub(
    frames: Sequence[bytes],
    publisher: Publisher,
    *,
    at: datetime,
    is_own: Callable[[Header], bool] = lambda _: True,
) -> SessionFact | Refusal | None:
    """One message, received at `at`; None: properly signed, and nothing that kerneld keeps.

    is_own: whether a header is of the kernel that is listened to, and of now.
    https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol
    """
    signed = _signed_parts(frames, publisher)
    if signed is None:
        return Refusal.SIGNATURE
    header_bytes, parent_bytes, content_bytes = signed
    if len(header_bytes) > _MAX_HEADER_BYTES or len(parent_bytes) > _MAX_HEADER_BYTES:
        return Refusal.SHAPE
    try:
        header = _object(header_bytes)
        kind = _text(header, "msg_type") or ""
        read = _READERS.get(kind)
        if read is None:
            return None
        if not is_own(_header(header, publisher)):
            return Refusal.STALE
        if kind != "execute_input" and len(content_bytes) > _MAX_CONTENT_BYTES:
            return Refusal.SHAPE
        parent = _object(parent_bytes)
        return read(_object(content_bytes), _Envelope(publisher, at, parent))
    except (ValueError, RecursionError):
        return Refusal.SHAPE


def _signed_parts(frames: Sequence[bytes], publisher: Publisher) -> tuple[bytes, bytes, bytes] | None:
    """Header, parent header and content, if the HMAC over them is the key's."""
    start = next((i for i, f in enumerate(frames[:_MAX_TOPIC_FRAMES]) if f == DELIMITER), None)
    if start is None or len(frames) < start + 6 or not publisher.key:
        return None
    signature, header, parent, metadata, content = frames[start + 1 : start + 6]
    digest = _DIGESTS.get(publisher.scheme)
    if digest is None:
        return None
    mac = hmac.new(publisher.key, digestmod=getattr(hashlib, digest))
    for part in (header, parent, metadata, content):
        mac.update(part)
    if not hmac.compare_digest(mac.hexdigest().encode(), signature):
        return None
    return header, parent, content


def _header(fields: dict[str, object], publisher: Publisher) -> Header:
    """Dates are taken from kernels whose clock is known to be UTC: R's tells its own zone."""
    text, dated_at = _text(fields, "date"), None
    if text is not None and publisher.language in ("python", "bash"):
        dated_at = datetime.fromisoformat(text)
    aware = dated_at is not None and dated_at.tzinfo is not None
    return Header(session=_text(fields, "session"), dated_at=dated_at if aware else None)


@dataclass(frozen=True, slots=True)
class _Envelope:
    publisher: Publisher
    at: datetime
    parent: dict[str, object]

    @property
    def parent_id(self) -> str | None:
        return _text(self.parent, "msg_id")

    @property
    def handle(self) -> int:
        return self.publisher.handle


def _status(content: dict[str, object], envelope: _Envelope) -> SessionFact | None:
    state = content.get("execution_state")
    if not isinstance(state, str) or state not in _STATES:
        return None
    return KernelStatus(
        at=envelope.at,
        handle=envelope.handle,
        state=state,
        parent=envelope.parent_id,
        parent_type=_text(envelope.parent, "msg_type"),
    )


def _execute_input(content: dict[str, object], envelope: _Envelope) -> SessionFact | None:
    source = content.get("code")
    if not isinstance(source, str):
        raise ValueError("no code")
    count = content.get("execution_count")
    language = envelope.publisher.language
    cell = _cell(envelope.handle, count, source, at=envelope.at, language=language)
    return cell.model_copy(update={"parent": envelope.parent_id})


def recalled_cell(handle: int, count: int, source: str, *, at: datetime) -> CellStarted:
    """A cell that IPython's history tells of; at: when that was read."""
    cell = _cell(handle, count, source, at=at, language="python")
    return cell.model_copy(update={"recalled": True})


def _cell(
    handle: int, count: object, source: str, *, at: datetime, language: str | None
) -> CellStarted:
    raw = source.encode("utf-8", "surrogatepass")
    return CellStarted(
        at=at,
        handle=handle,
        execution_count=count if type(count) is int and 0 <= count < _MAX_COUNT else None,
        source=_clean(source, MAX_SOURCE_BYTES),
        sha256=hashlib.sha256(raw).hexdigest(),
        code=code_facts(source, language=language),
    )


def _error(content: dict[str, object], envelope: _Envelope) -> SessionFact | None:
    name, value = _text(content, "ename"), content.get("evalue")
    name = class_name(name) if name else None
    return CellFailed(
        at=envelope.at,
        handle=envelope.handle,
        parent=envelope.parent_id,
        name=name,
        value=_clean(value, MAX_VALUE_BYTES) if isinstance(value, str) else None,
        shortage=shortage_of(name or "", value if isinstance(value, str) else ""),
    )


def _shutdown(content: dict[str, object], envelope: _Envelope) -> SessionFact | None:
    return ShutdownAnnounced(
        at=envelope.at, handle=envelope.handle, restart=content.get("restart") is True
    )


_READERS = {
    "status": _status,
    "execute_input": _execute_input,
    "error": _error,
    "shutdown_reply": _shutdown,
    "shutdown": _shutdown,
}


def _object(part: bytes) -> dict[str, object]:
    """A JSON object; null counts as an empty one (xeus and IRkernel have no parent at start)."""
    value = json.loads(part.decode("utf-8"))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    return _clean(value, _MAX_NAME_BYTES) if isinstance(value, str) else None


def _clean(text: str, max_bytes: int) -> str:
    """Storable: a lone surrogate becomes `?`, what is too long is cut between characters."""
    raw = text[:max_bytes].encode("utf-8", "replace")
    return raw[:max_bytes].decode("utf-8", "ignore")
