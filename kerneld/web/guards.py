"""Every request past the host's name and the origin, every answer with what a browser may not do."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# no inline script or style, nothing from elsewhere, in nobody's frame
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guards:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    told[name] = value
                told.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_known(host):
            text = "This host's name is not known here: name it in [web] hosts of the configuration.\n"
            await PlainTextResponse(text, 421)(scope, receive, sealed)
        elif scope["method"] not in _SAFE and not _is_from(headers, host):
            await PlainTextResponse("This came from another site.\n", 403)(scope, receive, sealed)
        else:
            await self._app(scope, receive, sealed)

    def _is_known(self, host: str) -> bool:
        """A page of another name that resolves to this machine (DNS rebinding) is not let in.

        An address can't be rebound: it is what the browser connected to.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_from(headers: Headers, host: str) -> bool:
    """A browser says where a form was sent from; a program sends no cookie and no Origin."""
    origin = headers.get("origin")
    if origin is None:
        return "cookie" not in headers and headers.get("sec-fetch-site") is None
    return urlsplit(origin).netloc.lower() == host.lower()


def own_path(text: str, prefix: str) -> str:
    """A path of this site's own to go back to; anything else is its front page.

    `//host`, `/\\host`, a scheme, control characters: to a browser each is another site.
    """
    is_plain = text.isprintable() and "\\" not in text and "//" not in text.partition("?")[0]
    return text if is_plain and text.startswith(prefix) and not text.startswith("//") else prefix
