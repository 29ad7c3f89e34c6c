"""Who is let in: alone, whoever has the token that was printed at the start, as with Jupyter."""

import hmac
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kerneld.web.guards import own_path
from kerneld.web.render import Renderer
from kerneld.web.sessions import Sessions
from kerneld.web.viewer import Viewer

MAX_FORM_BYTES = 8192
SESSION_S = 30 * 86_400.0
MOST_SESSIONS = 1_000


class Unreachable(Exception):
    """Who knows whom to let in does not answer; in words."""


class Gate(Protocol):
    """viewer: None where the request says nothing that proves who asks; Unreachable.

    can_leave: there is a session to end here. home: the page of whoever sent people here, or "".
    """

    can_leave: bool
    home: str

    async def viewer(self, request: Request) -> Viewer | None: ...

    def ask_in(self, request: Request) -> Response: ...

    def routes(self) -> list[Route]: ...


def credential(request: Request) -> str | None:
    """`Authorization: token …`, as Jupyter has it, or `Bearer …`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("token", "bearer") and token.strip() else None


@dataclass(frozen=True, slots=True)
class Jar:
    """A cookie for this site's paths alone."""

    name: str
    path: str

    def put(self, request: Request, response: Response, value: str, age_s: float) -> None:
        response.set_cookie(
            self.name, value, max_age=int(age_s), path=self.path, httponly=True, samesite="lax",
            secure=_is_encrypted(request),
        )  # fmt: skip

    def take(self, response: Response) -> None:
        response.delete_cookie(self.name, path=self.path, httponly=True, samesite="lax")


def _is_encrypted(request: Request) -> bool:
    """To the proxy in front; whoever forges the header harms the own cookie alone."""
    forwarded = request.headers.get("x-forwarded-proto", request.url.scheme)
    return forwarded.split(",")[0].strip() == "https"


class TokenGate:
    """The token opens a session; the address is cleared of it at once."""

    can_leave = True
    home = ""

    def __init__(self, token: str, viewer: Viewer, renderer: Renderer, *, port: int) -> None:
        self._token, self._viewer, self._renderer = token, viewer, renderer
        self._sessions: Sessions[Viewer] = Sessions(most=MOST_SESSIONS, age_s=SESSION_S)
        self._jar = Jar(f"kerneld-{port}", "/")  # cookies don't know of ports

    async def viewer(self, request: Request) -> Viewer | None:
        given = credential(request)
        if given is not None:
            return self._viewer if self._fits(given) else None
        return self._sessions.get(request.cookies.get(self._jar.name))

    def ask_in(self, request: Request) -> Response:
        token = request.query_params.get("token")
        if token is None:
            return self._form(address_of(request, "/"))
        if not self._fits(token):
            return self._form("/", is_wrong=True)
        rest = request.url.remove_query_params("token")
        return self._let_in(request, address_of(request, "/", rest.query))

    def routes(self) -> list[Route]:
        return [
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
        ]

    def _form(self, next_path: str, *, is_wrong: bool = False) -> Response:
        return self._renderer.page(
            "token.html",
            can_leave=False,
            home="",
            status=403 if is_wrong else 401,
            next_path=next_path,
            is_wrong=is_wrong,
        )

    def _fits(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    async def _login(self, request: Request) -> Response:
        form = await _fields(request)
        next_path = own_path(form.get("next", "/"), "/")
        if not self._fits(form.get("token", "")):
            return self._form(next_path, is_wrong=True)
        return self._let_in(request, next_path)

    async def _logout(self, request: Request) -> Response:
        self._sessions.close(request.cookies.get(self._jar.name))
        response = RedirectResponse("/", 303)
        self._jar.take(response)
        return response

    def _let_in(self, request: Request, path: str) -> Response:
        response = RedirectResponse(path, 303)
        self._jar.put(request, response, self._sessions.open(self._viewer), SESSION_S)
        return response


async def _fields(request: Request) -> dict[str, str]:
    """A form's, of 8 KiB at most."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413)
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except (ValueError, ClientDisconnect):
        raise HTTPException(400) from None
    return {name: values[0] for name, values in fields.items()}


def address_of(request: Request, prefix: str, query: str | None = None) -> str:
    """Of this site's own, to come back to."""
    query = request.url.query if query is None else query
    return own_path(f"{request.url.path}{'?' if query else ''}{query}", prefix)
