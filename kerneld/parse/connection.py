"""The bytes of a connection file into a Connection and its key, or a problem in words."""

import hashlib
import ipaddress
import json
import re
from functools import reduce

from kerneld.model.process import Connection

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_Z85_KEY = re.compile(f"[{re.escape(_Z85)}]{{40}}")
MAX_BYTES = 64 * 1024
_MAX_TEXT = 4096
_PORT_NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


class _Refused(ValueError):
    """Carries words for people; never a piece of the file, which may be its key."""


def parse_connection(data: bytes, *, boot_id: str) -> tuple[Connection, bytes] | str:
    """The connection (its key as a keyed digest only) and the key; else what is wrong with the file.

    Strict: UTF-8, no duplicate names, no NaN, integers as integers, on tcp only loopback literals.
    """
    try:
        return _connection(_load(data), boot_id)
    except _Refused as refusal:
        return str(refusal)


def curve_server_key(data: bytes) -> bytes | None:
    """The public key (Z85) of a kernel that speaks CURVE; None: it has none that could be one.

    https://rfc.zeromq.org/spec/32/
    """
    try:
        told = _load(data).get("curve_publickey")
    except _Refused:
        return None
    return told.encode() if isinstance(told, str) and _is_z85_key(told) else None


def _is_z85_key(text: str) -> bool:
    """Five of its letters are four bytes: not all that can be written are (`#####`)."""
    if not _Z85_KEY.fullmatch(text):
        return False
    return all(
        reduce(lambda value, letter: value * 85 + _Z85.index(letter), text[at : at + 5], 0) < 1 << 32
        for at in range(0, 40, 5)
    )


def _load(data: bytes) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise _Refused(f"it has more than {MAX_BYTES} bytes, a connection file has some hundred")
    if not data:
        raise _Refused("it is empty")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except _Refused:
        raise
    except UnicodeDecodeError:
        raise _Refused("it is not UTF-8") from None
    except RecursionError:
        raise _Refused("it is nested too deep") from None
    except ValueError:
        raise _Refused("it is not JSON, or was read while it was written") from None
    if not isinstance(value, dict):
        raise _Refused("it holds no JSON object")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused("it has a name twice")
    return found


def _refuse_constant(name: str) -> object:
    raise _Refused(f"it holds {name}, which is not JSON")


def _connection(fields: dict[str, object], boot_id: str) -> tuple[Connection, bytes]:
    transport = _text(fields, "transport", default="tcp")
    if transport not in ("tcp", "ipc"):
        raise _Refused("its transport is neither tcp nor ipc")
    ports = {name: _port(fields, name) for name in _PORT_NAMES}
    key = _text(fields, "key", default="").encode()
    connection = Connection(
        transport=transport,
        ip=_address(fields, transport),
        **ports,
        signature_scheme=_text(fields, "signature_scheme", default="hmac-sha256"),
        kernel_name=_text(fields, "kernel_name", default=""),
        notebook=_text(fields, "jupyter_session", default="") or None,
        key_digest=digest_of(key, boot_id),
        encrypted=bool(fields.get("curve_publickey") or fields.get("curve_secretkey")),
    )
    return connection, key


def digest_of(key: bytes, boot_id: str) -> str:
    """Joins the lives behind one key within a boot; says nothing about the key."""
    return hashlib.blake2b(key, key=boot_id.encode()[:64]).hexdigest()


def _text(fields: dict[str, object], name: str, *, default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _Refused(f"its {name} is no text")
    if len(value) > _MAX_TEXT:
        raise _Refused(f"its {name} is longer than {_MAX_TEXT} characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _Refused(f"its {name} is no valid text") from None
    return value


def _port(fields: dict[str, object], name: str) -> int:
    """A tcp port, or the number behind an ipc socket's name."""
    value = fields.get(name)
    if type(value) is not int:
        raise _Refused(f"its {name} is missing or no integer")
    if not 1 <= value <= 65535:
        raise _Refused(f"its {name} is not between 1 and 65535")
    return value


def _address(fields: dict[str, object], transport: str) -> str:
    text = _text(fields, "ip", default="")
    if transport == "ipc":
        if not text or "\0" in text:
            raise _Refused("its ipc path is missing or no path")
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _Refused("its ip is no literal address; names are not looked up") from None
    if "%" in text or not address.is_loopback:
        raise _Refused("its ip is not of this host's loopback; kerneld connects nowhere else")
    return str(address)
