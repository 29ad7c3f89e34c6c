"""Who wants others to have no page: silent and slow connections, floods, streams that end at once."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from web_rig import ALICE, BOB, HOUR_AGO, TOKEN, Web, owned, served, token_gate

import kerneld.web.feed
import kerneld.web.serving
import kerneld.web.site
from kerneld.model.base import to_us
from kerneld.model.incident import LoopPart
from kerneld.store import Store
from kerneld.web.guards import HEADERS
from kerneld.web.logins import Logins, word_name
from kerneld.web.serving import listener


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "k.db"
    with Store.open(path) as store:
        store.save_all([(owned(1, ALICE, "alice"), None)])
    return path


# ---------------------------------------------------------------- connections


def connected(web: Web, said: bytes) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", web.port), timeout=10)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream.sendall(said)
    return stream


HALF = [
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken",
    b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


@pytest.mark.parametrize("said", HALF, ids=lambda said: said[:12].decode())
def test_who_does_not_go_on_is_let_go(
    database: Path, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kerneld.web.serving, "PATIENCE_S", 0.2)
    with served(database, token_gate()) as web, connected(web, said) as stream:
        while stream.recv(65536):
            pass


def test_one_connection_too_many_is_closed_at_once(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kerneld.web.serving, "MOST_CONNECTIONS", 2)
    with served(database) as web, connected(web, b""), connected(web, b""):
        assert is_closed(web)


def is_closed(web: Web) -> bool:
    with connected(web, b"") as stream, suppress(ConnectionResetError):
        return not stream.recv(1)
    return True


def test_what_is_no_http_fills_no_log(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    with served(database, token_gate()) as web, connected(web, said) as stream:
        assert b" 400 " in stream.recv(100)
        while stream.recv(65536):
            pass
    assert capfd.readouterr().err == ""


def test_no_answer_waits_for_an_acknowledgement() -> None:
    """asyncio turns that off for sockets that say TCP themselves; else each answer takes 40 ms."""
    with listener("127.0.0.1", 0) as at:
        assert at.proto == socket.IPPROTO_TCP


def test_who_does_not_read_the_answer_is_let_go(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for them is memory."""
    monkeypatch.setattr(kerneld.web.serving, "PATIENCE_S", 0.2)
    ask = b"GET /static/kerneld.css HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400
    with served(database) as web, connected(web, ask) as stream, pytest.raises(ConnectionError):
        keep_sending(stream)


def keep_sending(stream: socket.socket, deadline_s: float = 10) -> None:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        stream.sendall(b"x" * 65536)
        time.sleep(0.05)


@pytest.mark.parametrize("end", ["at once", "after a word"])
def test_a_stream_that_ends_at_once_leaves_nothing(database: Path, end: str) -> None:
    """One that was never begun has to be forgotten, too: 64 of them, and there is none for its user."""
    ask = b"GET /events HTTP/1.1\r\nHost: localhost\r\nX-Viewer: alice\r\n\r\n"
    with served(database) as web:
        for _ in range(2 * kerneld.web.feed.MOST_OF_ONE):
            with connected(web, ask) as stream:
                if end == "after a word":
                    stream.recv(10)
        deadline = time.monotonic() + 10
        while b" 200 " not in heard(web, ask):
            assert time.monotonic() < deadline, "there is room again"
            time.sleep(0.05)


def heard(web: Web, ask: bytes) -> bytes:
    with connected(web, ask) as stream:
        return stream.recv(200)


# ---------------------------------------------------------------- floods


def test_one_who_asks_much_at_once_is_refused_and_another_is_not(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kerneld.web.site, "MOST_AT_ONCE", 1)
    over = threading.Event()
    with served(database) as web:
        busy, original = threading.Event(), kerneld.web.site.Site.page

        async def slow(site: object, viewer: object, asked: object) -> object:
            import asyncio

            if getattr(viewer, "name", "") == "alice":
                busy.set()
                while not over.is_set():
                    await asyncio.sleep(0.01)
            return await original(site, viewer, asked)  # type: ignore[arg-type]

        monkeypatch.setattr(kerneld.web.site.Site, "page", slow)
        first = threading.Thread(target=web.get, args=("/api/v1/incidents", "alice"))
        first.start()
        assert busy.wait(10)
        told = {who: web.get("/api/v1/incidents", who).status for who in ("alice", "bob")}
        over.set()
        first.join()
        assert told == {"alice": 503, "bob": 200}
        assert web.get("/api/v1/incidents", "alice").status == 200


def test_no_flood_of_logins_makes_another_ones_forgotten() -> None:
    now = [1000.0]
    logins = Logins(age_s=600, clock=lambda: now[0])
    state, word = logins.begin("/services/kerneld/?user=ana")
    others = [logins.begin("/") for _ in range(5000)]
    assert logins.path_of(state, word) == "/services/kerneld/?user=ana"
    assert word_name(word) == word_name(state), "its cookie is found by the address"
    forged = [
        (state, others[0][1]), (others[0][0], word), (state, ""), ("", word), ("a.b.c.d", word),
        (state[:-1], word), (state.replace(".", "..", 1), word), ("." * 4, ""),
    ]  # fmt: skip
    assert {logins.path_of(*each) for each in forged} == {None}
    assert Logins(age_s=600).path_of(state, word) is None, "another process's"
    assert logins.path_of(*logins.begin("/" + "x" * 5000)) == ""
    now[0] += 601
    assert logins.path_of(state, word) is None


def test_a_form_of_too_many_fields_is_not_understood(database: Path) -> None:
    with served(database, token_gate()) as web:
        assert web.ask("POST", "/login", body=f"token={TOKEN}" + "&a=1" * 20).status == 400


REFUSED = [("GET", {"Host": "evil.example"}), ("POST", {"Origin": "http://evil.example"})]


@pytest.mark.parametrize(("method", "headers"), REFUSED, ids=str)
def test_who_is_refused_is_told_what_a_browser_may_not_do(
    database: Path, method: str, headers: dict[str, str]
) -> None:
    with served(database) as web:
        told = web.ask(method, "/", **headers).headers
    assert {name: told.get(name) for name in HEADERS} == HEADERS


# ---------------------------------------------------------------- what a page missed


@pytest.fixture
def told(database: Path) -> Iterator[tuple[Web, Store]]:
    with Store.attach(database) as store, served(database) as web:
        yield web, store


def test_what_settles_before_the_stream_begins_or_between_two_is_told(
    told: tuple[Web, Store],
) -> None:
    """A browser says until when it knows all: of the page at first, then of the last event."""
    web, store = told
    now = datetime.now(UTC)
    mine, bens = owned(7, ALICE, "alice", settled_at=now), owned(8, BOB, "bob", settled_at=now)
    store.save_all([(mine, None), (bens, None)])
    page = to_us(now - timedelta(seconds=1))
    with web.events(f"/events?after={page}", "alice") as stream:
        heard = stream.until(mine.uuid)
        assert "event: incident" in heard
        assert bens.uuid not in heard
        known_until = int(heard.rpartition("id: ")[2].split()[0])
    assert known_until > page
    late = owned(9, ALICE, "alice", settled_at=now + timedelta(seconds=2))
    store.save_all([(late, None)])
    again = f"alice\r\nLast-Event-ID: {known_until}"
    with web.events(f"/events?after={page}", again) as stream:
        assert late.uuid in stream.until(late.uuid)


@pytest.mark.parametrize("seen", ["", "x", "-1", "9" * 40, "0"])
def test_whoever_knows_nothing_of_a_time_is_told_what_comes(told: tuple[Web, Store], seen: str) -> None:
    web, store = told
    with web.events(f"/events?after={seen}", "alice") as stream:
        stream.until("retry:")
        store.save_all([(owned(7, ALICE, "alice"), None)])
        stream.until(owned(7, ALICE, "alice").uuid)


def test_who_missed_too_much_loads_the_page_anew(
    told: tuple[Web, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    web, store = told
    monkeypatch.setattr(kerneld.web.feed, "CAUGHT_UP", 2)
    now = datetime.now(UTC)
    store.save_all([(owned(n, ALICE, "alice", settled_at=now), None) for n in (7, 8)])
    with web.events(f"/events?after={to_us(now)}", "alice") as stream:
        stream.until("event: reload")


def test_the_rows_of_one_loop_are_known_by_it(told: tuple[Web, Store]) -> None:
    """So that a page puts the loop's latest death in the place of the one before."""
    web, store = told
    first = owned(7, ALICE, "alice", died_at=HOUR_AGO)
    store.save_all([(first.model_copy(update={"loop": LoopPart(id=first.uuid, count=1)}), None)])
    with web.events("/events", "alice") as stream:
        stream.until("retry:")
        loop = LoopPart(id=first.uuid, count=2)
        store.save_all([(owned(8, ALICE, "alice", loop=loop), None)])
        assert f'data-loop=\\"{first.uuid}\\"' in stream.until("event: incident")
