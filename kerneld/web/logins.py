"""Logins that were begun into words that only their browser and this process can bring back."""

import base64
import hmac
import secrets
import time
from collections.abc import Callable

MAX_PATH = 2048
_WORD_BYTES, _SEPARATOR = 18, "."


class Logins:
    """OAuth's `state`. It holds all there is to know, signed: no flood of logins forgets another's."""

    def __init__(self, *, age_s: float, clock: Callable[[], float] = time.time) -> None:
        self._age_s, self._clock = age_s, clock
        self._key = secrets.token_bytes(32)

    def begin(self, path: str) -> tuple[str, str]:
        """(state, word): one for the address, the other for a cookie. path: where to go back to."""
        word = secrets.token_urlsafe(_WORD_BYTES)
        until = str(int(self._clock() + self._age_s))
        kept = base64.urlsafe_b64encode((path if len(path) <= MAX_PATH else "").encode()).decode()
        said = _SEPARATOR.join((word_name(word), until, kept))
        return f"{said}{_SEPARATOR}{self._sign(said, word)}", word

    def path_of(self, state: str, word: str) -> str | None:
        """Where to go back to; None where this browser did not begin this login, or too long ago."""
        said, _, signature = state.rpartition(_SEPARATOR)
        if not hmac.compare_digest(signature.encode(), self._sign(said, word).encode()):
            return None
        _, until, kept = said.split(_SEPARATOR)
        return base64.urlsafe_b64decode(kept).decode() if int(until) > self._clock() else None

    def _sign(self, said: str, word: str) -> str:
        return hmac.new(self._key, f"{word}{_SEPARATOR}{said}".encode(), "sha256").hexdigest()


def word_name(word_or_state: str) -> str:
    """Of the cookie: each login that is begun has its own, in however many tabs at once."""
    return word_or_state[:8]
