"""Who is let in: whom the JupyterHub knows, by its OAuth in a browser and by its tokens elsewhere.

Four requests of the Hub's REST API (https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html):
`jupyterhub`'s own helper would bring tornado, SQLAlchemy and alembic into this process.
"""

import asyncio
import hashlib
import json
import pwd
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kerneld.errors import ConfigError
from kerneld.store.query import HubUser
from kerneld.web.gate import Jar, Unreachable, address_of, credential
from kerneld.web.guards import own_path
from kerneld.web.logins import Logins, word_name
from kerneld.web.render import Renderer
from kerneld.web.sessions import Sessions
from kerneld.web.viewer import Viewer

READ_ALL = "custom:kerneld:read-all"
PATIENCE_S = 5.0
SESSION_S, MOST_SESSIONS = 12 * 3600.0, 10_000
RECHECKED_S = 300.0
"""who lost a right at the Hub loses it here within this time"""
TOKEN_S, MOST_TOKENS = 60.0, 1_000
LOGIN_S = 600.0
HUB_SESSION = "jupyterhub-session-id"
"""the Hub's own cookie: another one there means that somebody logged out, or in as somebody else"""
MAX_ANSWER_BYTES = 1 << 20
LONG_ACCOUNT = 26
"""letters"""


@dataclass(frozen=True, slots=True)
class Hub:
    """api_url: as this process reaches it. prefix: of this service's paths, with a slash at its end."""

    api_url: str
    api_token: str
    prefix: str
    name: str
    client_id: str
    host: str
    at: tuple[str, int]

    @property
    def home(self) -> str:
        """Where a browser finds the Hub's own pages."""
        return f"{self.host}{self.prefix.removesuffix(f'services/{self.name}/')}hub/"

    @property
    def callback(self) -> str:
        return f"{self.prefix}oauth_callback"


def hub_of(environ: Mapping[str, str]) -> Hub:
    """As the Hub tells a service, and the README an external one. ConfigError names what is missing."""

    def given(name: str) -> str:
        value = environ.get(f"JUPYTERHUB_{name}", "").strip()
        if not value:
            raise ConfigError(
                f"JUPYTERHUB_{name} is not set: README, behind a JupyterHub, has all of them"
            )
        return value

    prefix = given("SERVICE_PREFIX")
    url = urlsplit(given("SERVICE_URL"))
    name = prefix.strip("/").rpartition("/")[2]
    if not (prefix.startswith("/") and prefix.endswith(f"/services/{name}/")):
        raise ConfigError(f"JUPYTERHUB_SERVICE_PREFIX={prefix}: it has the form /services/NAME/")
    if url.scheme != "http" or not url.hostname or not url.port:
        raise ConfigError("JUPYTERHUB_SERVICE_URL: it has the form http://127.0.0.1:9988")
    return Hub(
        api_url=given("API_URL").rstrip("/"),
        api_token=given("API_TOKEN"),
        prefix=prefix,
        name=name,
        client_id=environ.get("JUPYTERHUB_CLIENT_ID") or f"service-{name}",
        host=environ.get("JUPYTERHUB_HOST", ""),
        at=(url.hostname, url.port),
    )


@dataclass(frozen=True, slots=True)
class Rights:
    """accounts: how this machine names a user of the Hub's: `{username}`, `jupyter-{username}`."""

    accounts: str
    sees_code: bool


@dataclass(slots=True)
class _Session:
    viewer: Viewer
    token: str
    hub_session: str | None
    checked_at: float


class HubGate:
    can_leave = False

    def __init__(self, hub: Hub, rights: Rights, renderer: Renderer) -> None:
        self._hub, self._rights, self._renderer = hub, rights, renderer
        self.home = f"{hub.home}home"
        self._sessions: Sessions[_Session] = Sessions(most=MOST_SESSIONS, age_s=SESSION_S)
        self._logins = Logins(age_s=LOGIN_S)
        self._tokens: dict[bytes, tuple[float, Viewer | None]] = {}
        self._jar = Jar("kerneld-session", hub.prefix)

    def routes(self) -> list[Route]:
        return [Route("/oauth_callback", self._callback, methods=["GET"])]

    async def viewer(self, request: Request) -> Viewer | None:
        token = credential(request)
        if token is not None:
            return await self._of_token(token)
        name = request.cookies.get(self._jar.name)
        session = self._sessions.get(name)
        if session is None:
            return None
        if session.hub_session != request.cookies.get(HUB_SESSION):
            self._sessions.close(name)
            return None
        if time.monotonic() - session.checked_at > RECHECKED_S:
            viewer = await self._identified(session.token)
            if viewer is None:
                self._sessions.close(name)
                return None
            session.viewer, session.checked_at = viewer, time.monotonic()
        return session.viewer

    def ask_in(self, request: Request) -> Response:
        """To the Hub, with a word that only this browser and this process know."""
        state, word = self._logins.begin(address_of(request, self._hub.prefix))
        asked = urlencode(
            {
                "client_id": self._hub.client_id,
                "redirect_uri": self._hub.callback,
                "response_type": "code",
                "state": state,
            }
        )
        response = RedirectResponse(f"{self._hub.home}api/oauth2/authorize?{asked}", 303)
        self._login_jar(word).put(request, response, word, LOGIN_S)
        return response

    def _login_jar(self, word_or_state: str) -> Jar:
        return Jar(f"kerneld-login-{word_name(word_or_state)}", self._hub.prefix)

    async def _callback(self, request: Request) -> Response:
        state = request.query_params.get("state", "")
        jar = self._login_jar(state)
        next_path = self._logins.path_of(state, request.cookies.get(jar.name, ""))
        if next_path is None:
            return self._refused(
                "This login was not begun in this browser, or is too old: open the page again."
            )
        code = request.query_params.get("code")
        if not code:
            return self._refused("The Hub refused this login: open the page again.")
        try:
            token = await self._exchanged(code)
            viewer = None if token is None else await self._identified(token)
        except Unreachable as problem:
            return self._refused(str(problem), 503)
        if token is None or viewer is None:
            return self._refused("The Hub gives you no access to this service.")
        response = RedirectResponse(own_path(next_path, self._hub.prefix), 303)
        session = _Session(viewer, token, request.cookies.get(HUB_SESSION), time.monotonic())
        self._jar.put(request, response, self._sessions.open(session), SESSION_S)
        jar.take(response)
        return response

    def _refused(self, words: str, status: int = 403) -> Response:
        return self._renderer.page(
            "error.html", status=status, code=status, words=words, can_leave=False, home=self.home
        )

    # ------------------------------------------------------------------ what the Hub says

    async def _of_token(self, token: str) -> Viewer | None:
        """Known for a minute, and unknown as well: not each request is one of the Hub's, too."""
        name, now = hashlib.sha256(token.encode()).digest(), time.monotonic()
        until, viewer = self._tokens.get(name, (0.0, None))
        if until > now:
            return viewer
        viewer = await self._identified(token)
        if len(self._tokens) >= MOST_TOKENS:
            self._tokens.clear()
        self._tokens[name] = (now + TOKEN_S, viewer)
        return viewer

    async def _identified(self, token: str) -> Viewer | None:
        """None where the Hub does not know the token, or it is not for this service."""
        found = await asyncio.to_thread(_asked, f"{self._hub.api_url}/user", token=token)
        return None if found is None else await asyncio.to_thread(self._viewer_of, found)

    def _viewer_of(self, model: Mapping[str, Any]) -> Viewer | None:
        scopes = {str(scope) for scope in model.get("scopes") or ()}
        access = {"access:services", f"access:services!service={self._hub.name}"}
        name, is_user = str(model.get("name") or ""), model.get("kind") == "user"
        sees_all = READ_ALL in scopes or (is_user and model.get("admin") is True)
        if not name or not scopes & access or not (is_user or sees_all):
            return None
        return Viewer(
            name=name,
            hub_user=HubUser(name, self._uid_of(name)) if is_user else None,
            sees_all=sees_all,
            is_admin=sees_all,
            sees_code=sees_all and self._rights.sees_code,
        )

    def _uid_of(self, name: str) -> int | None:
        account = self._rights.accounts.replace("{username}", name)
        for each in (account, shortened(account)):
            try:
                return pwd.getpwnam(each).pw_uid
            except (KeyError, ValueError):
                continue
        return None

    async def _exchanged(self, code: str) -> str | None:
        """The token that a code stands for; None where the Hub does not take it."""
        form = {
            "client_id": self._hub.client_id,
            "client_secret": self._hub.api_token,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._hub.callback,
        }
        found = await asyncio.to_thread(_asked, f"{self._hub.api_url}/oauth2/token", form=form)
        token = None if found is None else found.get("access_token")
        return token if isinstance(token, str) else None


def shortened(account: str) -> str:
    """As The Littlest JupyterHub names the account of a user whose name is too long for Linux.

    https://github.com/jupyterhub/the-littlest-jupyterhub/blob/main/tljh/normalize.py
    """
    if len(account) < LONG_ACCOUNT:
        return account
    digest = hashlib.sha256(account.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{account[:LONG_ACCOUNT]}-{digest[:5]}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A token goes to the Hub and nowhere else."""


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def _asked(
    url: str, *, token: str | None = None, form: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """The Hub's answer; None where it refuses. Unreachable: none, or none that can be understood."""
    data = None if form is None else urlencode(form).encode()
    headers = {} if token is None else {"Authorization": f"token {token}"}
    try:
        request = urllib.request.Request(url, data, headers)
        with _opener.open(request, timeout=PATIENCE_S) as answer:
            found = json.loads(answer.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as refusal:
        refusal.close()
        if 400 <= refusal.code < 500:
            return None
        raise Unreachable(f"the Hub fails ({refusal.code}): try again in a moment") from None
    except (OSError, ValueError) as problem:
        raise Unreachable("the Hub does not answer: try again in a moment") from problem
    if not isinstance(found, dict):
        raise Unreachable("the Hub's answer can't be understood")
    return found
