"""A page on a database of a test's own: a real server on a real port, and who asks as a header says."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from incidents import full, incident
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from kerneld.live import LiveWriter, row_of
from kerneld.model.incident import ContainerPart, Incident, NotebookPart, UserPart
from kerneld.model.living import DaemonState, LivingState
from kerneld.model.vocabulary import Mode
from kerneld.store.query import HubUser
from kerneld.web.app import application
from kerneld.web.archive import Archive
from kerneld.web.gate import Gate, TokenGate
from kerneld.web.render import Renderer
from kerneld.web.serving import listener, server_of
from kerneld.web.site import Site
from kerneld.web.viewer import Viewer

HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
ALICE, BOB, CONTAINED = 1001, 1002, 1000
TOKEN = "a-token-of-this-test"

VIEWERS = {
    "admin": Viewer("boss", hub_user=HubUser("boss", 1003), sees_all=True, is_admin=True),
    "reads code": Viewer("boss", sees_all=True, is_admin=True, sees_code=True),
    "alice": Viewer("alice", hub_user=HubUser("alice", ALICE)),
    "bob": Viewer("bob", hub_user=HubUser("bob", BOB)),
    "cy": Viewer("cy", hub_user=HubUser("cy", None)),
    "dee": Viewer("dee", hub_user=HubUser("dee", None)),
    "nobody": Viewer("nobody", hub_user=HubUser("nobody", 65534)),
}  # fmt: skip


def owned(number: int, uid: int, name: str | None, **fields: object) -> Incident:
    """In the last hour; name: as the Hub calls its user."""
    given = {
        "died_at": HOUR_AGO + timedelta(seconds=number),
        "user": UserPart(uid=uid, name=f"u{uid}", hub_name=name),
        "notebook": NotebookPart(path=f"/home/u{uid}/nb{number}.ipynb", how="environ"),
        "bystanders": full().bystanders,
    } | fields
    return incident(number, **given)


def contained(number: int, name: str) -> Incident:
    container = ContainerPart(id=f"container-of-{name}", how="cgroup")
    return owned(number, CONTAINED, name, container=container)


class HeaderGate:
    """Lets in whom a header names."""

    can_leave = False
    home = "/hub/home"

    async def viewer(self, request: Request) -> Viewer | None:
        return VIEWERS.get(request.headers.get("x-viewer", ""))

    def ask_in(self, request: Request) -> Response:
        return PlainTextResponse("who?", 401)

    def routes(self) -> list[Route]:
        return []


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def data(self) -> object:
        return json.loads(self.text)


@dataclass(frozen=True)
class Web:
    port: int

    def get(self, path: str, viewer: str = "", **headers: str) -> Answer:
        return self.ask("GET", path, viewer, **headers)

    def ask(
        self, method: str, path: str, viewer: str = "", body: str | None = None, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if viewer:
            given["x-viewer"] = viewer
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return Answer(answer.status, text, {k.lower(): v for k, v in answer.getheaders()})

    @contextmanager
    def events(self, path: str, viewer: str) -> Iterator["Events"]:
        """The stream of a page that is open."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            stream.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Viewer: {viewer}\r\n\r\n".encode()
            )
            yield Events(stream)


class Events:
    def __init__(self, stream: socket.socket) -> None:
        self._stream, self._read = stream, b""

    def until(self, word: str, deadline_s: float = 10) -> str:
        """All that was read, as soon as the word is in it."""
        end = time.monotonic() + deadline_s
        while word.encode() not in self._read:
            assert time.monotonic() < end, f"no {word!r} within {deadline_s} s in {self._read!r}"
            piece = self._stream.recv(65536)
            assert piece, f"it ended: {self._read!r}"
            self._read += piece
        return self._read.decode()


@contextmanager
def served(database: Path, gate: Gate | None = None, *, base: str = "/") -> Iterator[Web]:
    renderer = Renderer(base, UTC)
    site = Site(
        Archive(database, database.with_name(f"{database.name}.live")), gate or HeaderGate(), renderer
    )
    with listener("127.0.0.1", 0) as at:
        server = server_of(application(site, ["hub.example.org"]))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield Web(at.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(10)


def token_gate(viewer: str = "admin") -> TokenGate:
    return TokenGate(TOKEN, VIEWERS[viewer], Renderer("/", UTC), port=1)


@contextmanager
def told_again(database: Path, states: list[LivingState]) -> Iterator[None]:
    """As a recorder does, over and over."""
    over = threading.Event()
    rows = [row_of(state) for state in states]

    def tell() -> None:
        with LiveWriter(database.with_name(f"{database.name}.live")) as live:
            while not over.wait(0.5):
                live.write(rows, a_daemon(), at=datetime.now(UTC))

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def a_daemon() -> DaemonState:
    now = datetime.now(UTC)
    return DaemonState(pid=1, started_at=now, version="0", mode=Mode.SYSTEM, database="/x")
