"""A record and a code policy into the record that may be stored: code withheld, secrets masked."""

import math
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import TypeVar, get_args

from kerneld.model.base import Record, Withheld
from kerneld.model.exceptions import public_name
from kerneld.model.vocabulary import CodePolicy

R = TypeVar("R", bound=Record)

KEPT: Mapping[CodePolicy, frozenset[str]] = {
    CodePolicy.FULL: frozenset({"source", "line", "digest", "value", "name"}),
    CodePolicy.LINE: frozenset({"line", "digest"}),
    CodePolicy.HASH: frozenset({"digest"}),
    CodePolicy.OFF: frozenset(),
}
MASK = "***"


def withhold(record: R, policy: CodePolicy) -> R:
    """The record without what the policy withholds, its secrets masked in what is kept.

    A field `code_policy` gets the policy's name; one that was withheld more stays so.
    """
    marks = _marks(type(record))
    if not marks:
        return record
    changed: dict[str, object] = {}
    for name, kind in marks.items():
        old = getattr(record, name)
        new = _policy_name(old, policy) if name == "code_policy" else _kept(old, kind, policy)
        if new is not old:
            changed[name] = new
    return record.model_copy(update=changed) if changed else record


def tightened(policy: CodePolicy, wish: str | None) -> CodePolicy:
    """The policy, or a tighter one that a user wished for; a wish that nobody understands is `off`."""
    if wish is None:
        return policy
    word = wish.strip().lower()
    order = list(CodePolicy)
    return max(policy, CodePolicy(word) if word in order else CodePolicy.OFF, key=order.index)


def _policy_name(stored: object, policy: CodePolicy) -> str:
    order = [each.value for each in CodePolicy]
    withheld = order.index(stored) if isinstance(stored, str) and stored in order else 0
    return order[max(withheld, order.index(policy.value))]


def _kept(value: object, kind: str | None, policy: CodePolicy) -> object:
    """One field's value; kind: how its text is marked, None where only records below it are."""
    if isinstance(value, Record):
        return withhold(value, policy)
    if isinstance(value, str) and kind is not None:
        if kind not in KEPT[policy]:
            return public_name(value) if kind == "name" else None
        return value if kind == "digest" else mask_secrets(value)
    if isinstance(value, tuple):
        kept = [_kept(item, kind, policy) for item in value]
        if all(new is old for new, old in zip(kept, value, strict=True)):
            return value
        return tuple(
            new for new, old in zip(kept, value, strict=True) if new is not None or old is None
        )
    return value


@cache
def _marks(record: type[Record]) -> Mapping[str, str | None]:
    """The fields that hold marked text (its kind), or records that do (None)."""
    found: dict[str, str | None] = {}
    for name, field in record.model_fields.items():
        parts = [*field.metadata, *_parts(field.annotation)]
        kind = next((part.kind for part in parts if isinstance(part, Withheld)), None)
        below = any(_marks(p) for p in parts if isinstance(p, type) and issubclass(p, Record))
        if kind or below or name == "code_policy":
            found[name] = kind
    return found


def _parts(annotation: object) -> list[object]:
    """Every piece of an annotation: the arms of a union, a tuple's items, the marks themselves."""
    pieces = get_args(annotation)
    return [annotation, *(part for piece in pieces for part in _parts(piece))]


# ---------------------------------------------------------------- what looks like a secret

_QUOTED = (
    r"""[rbfuRBFU]{0,2}(?:\"{3}.{0,4000}?\"{3}|'{3}.{0,4000}?'{3}"""
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
)

# (what a text must hold for the pattern to be tried, pattern): `in` runs at GB/s, `re` at 1 MB/s.
# Where a pattern names a `value`, only that is masked.
_FORMATS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("PRIVATE KEY",),
     r"(?s)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:.*?-----END [A-Z ]{0,40}-----|.*)"),
    (("AKIA", "ASIA", "AROA", "AIDA", "ABIA", "ACCA"),
     r"\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{12,}"),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"\b(?:gh[pousr]_|github_pat_)\w{16,}"),
    (("gl",), r"\bgl(?:pat|oas|dt|rt|cbt|ptt|ft|soat|agent|imt)-[\w.-]{16,}"),
    (("xox", "xapp-"), r"\b(?:xox[a-z]|xapp)-[\w-]{8,}"),
    (("hooks.slack.com",), r"\bhooks\.slack\.com/(?:services|workflows)/[\w/]{8,}"),
    (("/api/webhooks/",), r"\bdiscord(?:app)?\.com/api/webhooks/[\w/-]{8,}"),
    (("sk-",), r"\bsk-(?=[\w-]{0,80}\d)[\w-]{16,}"),
    (("sk_", "rk_", "pk_", "whsec_"), r"\b(?:(?:sk|rk|pk)_(?:live|test)|whsec)_\w{14,}"),
    (("AIza", "ya29.", "GOCSPX-", "1//0"), r"\b(?:AIza|ya29\.|GOCSPX-|1//0)[\w-]{16,}"),
    (("SG.",), r"\bSG\.[\w-]{8,}\.[\w-]{8,}"),
    (("eyJ",), r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"),
    (("hf_", "api_org_", "npm_", "r8_", "sbp_", "pscale_", "nvapi-", "gsk_", "xai-", "pplx-", "fw_",
      "jina_", "tvly-", "glc_", "glsa_", "lin_", "ntn_", "secret_", "dop_v1_", "doo_v1_", "dor_v1_",
      "shp", "sq0", "dckr_", "sntry", "figd_", "rnd_", "lsv2_", "tfp_", "fo1_", "key-", "pul-",
      "dt0c01."),
     r"\b(?:hf|api_org|npm|r8|sbp|pscale_[a-z]{2,5}|nvapi|gsk|xai|pplx|fw|jina|tvly|glc|glsa|lin_[a-z]{3,5}"
     r"|ntn|secret|do[opr]_v1|shp[a-z]{2}|sq0[a-z]{3}|dckr_[a-z]{3}|sntry[su]|figd|rnd|lsv2_[a-z]{2}|tfp"
     r"|fo1|key|pul|dt0c01)[._-](?=[\w.-]{0,80}\d)[\w.-]{16,}"),
    (("pypi-", "PMAK-", "NRAK-", "NRJS-", "NRII-"), r"\b(?:pypi|PMAK|NRAK|NRJS|NRII)-[\w-]{10,}"),
    (("dapi", "AC", "SK"), r"\b(?:dapi|AC|SK)[0-9a-f]{32}"),
    (("hvs.", "hvb.", "hvr.", "dp."), r"\b(?:hv[sbr]|dp\.[a-z]{2,6})\.[\w.-]{16,}"),
    ((".atlasv1.",), r"\b\w{8,20}\.atlasv1\.[\w-]{16,}"),
    (("FlyV1",), r"\bFlyV1 [\w+/=,]{16,}"),
    ((":AA",), r"\b\d{6,12}:AA[\w-]{30,}"),
    (("AGE-SECRET-KEY-1",), r"\bAGE-SECRET-KEY-1[0-9A-Z]{20,}"),
    (("M", "N"), r"\b[MN][A-Za-z\d]{22,28}\.[\w-]{6}\.[\w-]{20,}"),
    (("://",), r"://[^\s/:@'\"]{0,200}:(?P<value>[^\s/@'\"]{1,200})@"),
    (("://",), r"://(?P<value>[^\s/:@'\"]{16,200})@"),
    ((" -u",), r"\s-u\s{0,3}['\"]?[^\s:'\"]{1,80}:(?P<value>[^\s'\"]{1,200})"),
    (("sshpass", "mysql"), r"\b(?:sshpass|mysql)\s{1,3}-p\s{0,3}(?P<value>[^\s]{3,})"),
)  # fmt: skip
_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("passw", "passphrase", "passcode", "pwd", "secret", "credential", "token", "bearer", "dsn",
      "key"),
     r"(?s)(?:passw(?:or)?d|passphrase|passcode|pwd|secret|credential|token(?!s\b|i[sz])|bearer|dsn"
     r"|(?:api|app|access|account|auth|private|signing|encryption|master|shared|storage|service|ssh"
     r"|session|cookie|subscription|deploy|webhook|consumer|fernet|hmac)[_-]?key)"
     r"[\w-]{0,40}[\"'\])]{0,3}\s{0,4}"
     r"(?:(?:(?:[:=!]=?|,|\(|->)\s{0,4}|:\s{0,4}[\w\[\]|. ]{1,40}=\s{0,4})"
     rf"(?P<quoted>{_QUOTED})"
     r"|[:=]\ ?(?P<value>(?=[^\s\"'()\[\]{},;]{0,80}\d)[^\s\"'()\[\]{},;]{6,200})(?![\w(.\[]))"),
    (("bearer", "basic"), r"\b(?:bearer|basic)\s{1,4}(?P<value>[\w.~+/=-]{8,})"),
    (("token ",), r"\btoken {1,4}(?P<value>(?=[a-z_-]{0,80}\d)[\w.~+/=-]{12,})"),
    (("-password", "-passwd", "-token", "-secret", "-api"),
     r"-(?:password|passwd|token|secret|api-?key)[ =](?P<value>[^\s'\"]{3,})"),
    (("auth",),
     rf"\bauth\w{{0,20}}\s?=?\s?\(\s{{0,3}}{_QUOTED}\s{{0,3}},\s{{0,3}}(?P<quoted>{_QUOTED})"),
    (("log", "authenticate"),
     rf"\b(?:log_?in|authenticate)\s?\((?:[^()\n]{{0,80}},)?\s{{0,3}}(?P<quoted>{_QUOTED})"),
    (("=",), r"[?&;](?:sig|signature|token|key|api_?key|code|password|secret|x-amz-[a-z-]{1,30})="
             r"(?P<value>[^\s&'\"]{4,})"),
    (("accountkey=", "accesskey=", "pwd=", "password="),
     r"(?:accountkey|accesskey|pwd|password)=(?P<value>[^\s;'\"]{3,})"),
)  # fmt: skip
_PATTERNS = tuple((needles, re.compile(pattern)) for needles, pattern in _FORMATS)
_ANY_CASE = tuple((needles, re.compile(pattern, re.IGNORECASE)) for needles, pattern in _WORDS)
_DENSE = re.compile(r"[\w+/-]{20,}={0,2}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")


def mask_secrets(text: str) -> str:
    """The text with `***` for each known token format, password and high-entropy string."""
    small = text.lower()
    patterns = [pattern for needles, pattern in _PATTERNS if any(map(text.__contains__, needles))]
    patterns += [pattern for needles, pattern in _ANY_CASE if any(map(small.__contains__, needles))]
    for pattern in patterns:
        text = pattern.sub(_mask_match, text)
    return _DENSE.sub(_mask_dense, text)


def _mask_match(match: re.Match[str]) -> str:
    """The match, or the value in it, masked; quotes stay, an empty string too."""
    groups = match.groupdict()
    name = next((name for name, value in groups.items() if value is not None), None)
    if name is None:
        return MASK
    value, start = match[name], match.start(name) - match.start()
    masked = _mask_quoted(value) if name == "quoted" else MASK
    return f"{match[0][:start]}{masked}{match[0][start + len(value) :]}"


def _mask_quoted(literal: str) -> str:
    body = literal.lstrip("rbfuRBFU")
    quote = body[:3] if body[:3] in ('"""', "'''") else body[:1]
    return f"{quote}{MASK}{quote}" if len(body) > 2 * len(quote) else literal


def _mask_dense(match: re.Match[str]) -> str:
    text = match[0]
    return MASK if _looks_random(text) else text


def _looks_random(text: str) -> bool:
    """Hexadecimal of 32 and more, or a run that changes its kind of letter as no word or path does."""
    if _HEX.search(text):
        return True
    runs = [text] if "+" in text or text.endswith("=") else text.split("/")
    return any(len(run) >= 20 and _mixes(run) and _entropy_bits(run) >= 3.8 for run in runs)


def _mixes(run: str) -> bool:
    """Small, capital and digit, by turns: two random neighbours differ in kind 62 times of 100."""
    kinds = [
        "A" if char.isupper() else "0" if char.isdigit() else "a" for char in run if char.isalnum()
    ]
    return len(set(kinds)) == 3 and sum(a != b for a, b in pairwise(kinds)) >= len(kinds) * 0.35


def _entropy_bits(text: str) -> float:
    """Shannon's entropy per character."""
    counts = (text.count(char) / len(text) for char in set(text))
    return -sum(share * math.log2(share) for share in counts)
