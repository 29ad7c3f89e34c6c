"""The page, over a real port: who sees what, nothing runs that a user wrote, and it is live."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile_texts import XSS
from incidents import MIB, asked_for, full
from web_rig import (
    ALICE,
    BOB,
    HOUR_AGO,
    TOKEN,
    HeaderGate,
    Web,
    a_daemon,
    contained,
    owned,
    served,
    token_gate,
    told_again,
)  # fmt: skip

import kerneld.web
from kerneld.live import LiveWriter, row_of
from kerneld.model.incident import CellPart, Incident
from kerneld.model.living import LivingState
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Cause, State
from kerneld.outputs.chart import Mark, Picture
from kerneld.store import Store
from kerneld.web.api import document
from kerneld.web.charts import HEIGHT, WIDTH, causes_chart, memory_chart
from kerneld.web.guards import HEADERS, own_path

ENDS = {
    "alice": owned(1, ALICE, "alice"),
    "bob": owned(2, BOB, "bob"),
    "cy": contained(3, "cy"),
    "dee": contained(4, "dee"),
    "of nobody's": owned(5, ALICE, None),
    "alice, forged by bob": owned(6, BOB, "alice"),
}
OWN = {
    "alice": {"alice"}, "bob": {"bob"}, "cy": {"cy"}, "dee": {"dee"}, "nobody": set(),
    "admin": set(ENDS), "reads code": set(ENDS),
}  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("web") / "kerneld.db"
    with Store.open(path) as store:
        store.save_all([(end, None) for end in ENDS.values()])
    return path


@pytest.fixture(scope="module")
def web(database: Path) -> Iterator[Web]:
    states = [living(end) for end in ENDS.values()]
    with told_again(database, states), served(database) as web:
        wait_until(lambda: "pid 1" in web.get("/kernels", "admin").text)
        yield web


def wait_until(is_so: Callable[[], bool], deadline_s: float = 20) -> None:
    end = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end, f"not within {deadline_s} s"
        time.sleep(0.02)


def living(end: Incident) -> LivingState:
    pid = end.id or 0
    return LivingState(
        key=ProcessKey(boot_id="b", pid=pid, start_ticks=1),
        at=HOUR_AGO,
        kernel_id=f"k{pid}",
        state="busy",
        uid=end.user.uid,
        hub_name=end.user.hub_name,
        container_id=end.container.id if end.container else None,
        notebook_path=end.notebook.path if end.notebook else None,
        started_at=HOUR_AGO,
        rss_bytes=5 * MIB,
        limit_bytes=10 * MIB,
        samples=((2.0, MIB), (0.0, 5 * MIB)),
    )


# ---------------------------------------------------------------- who sees what


@pytest.mark.parametrize("owner", ENDS)
@pytest.mark.parametrize("viewer", OWN)
def test_each_sees_the_own_and_every_other_is_not_there(web: Web, viewer: str, owner: str) -> None:
    end, is_own = ENDS[owner], owner in OWN[viewer]
    expected = 200 if is_own else 404
    for where in ("/incidents", "/api/v1/incidents"):
        for ref in (end.uuid, str(end.id)):
            answer = web.get(f"{where}/{ref}", viewer)
            assert answer.status == expected
            assert (end.uuid in answer.text) is is_own
    nowhere = web.get("/api/v1/incidents/ffffffff-0000-4000-8000-000000000000", viewer)
    if not is_own:
        assert web.get(f"/api/v1/incidents/{end.uuid}", viewer).text == nowhere.text


@pytest.mark.parametrize("viewer", OWN)
def test_lists_hold_the_own_rows_alone(web: Web, viewer: str) -> None:
    lists = [web.get(path, viewer).text for path in ("/", "/?all=1&period=all", "/api/v1/incidents")]
    counts, kernels = (web.get(f"/api/v1/{of}", viewer).text for of in ("overview", "kernels"))
    page = web.get("/kernels", viewer).text
    for owner, end in ENDS.items():
        is_own = owner in OWN[viewer]
        assert {end.uuid in text for text in lists} == {is_own}, owner
        path = end.notebook.path if end.notebook else ""
        assert {path in counts, path in kernels, f"pid {end.id} " in page} == {is_own}, owner
        person = end.user.hub_name or end.user.name
        assert (end.uuid in web.get(f"/api/v1/incidents?user={person}", viewer).text) is is_own


@pytest.mark.parametrize("viewer", OWN)
def test_counts_are_of_the_own_rows(web: Web, viewer: str) -> None:
    counts = web.get("/api/v1/overview", viewer).data
    assert isinstance(counts, dict)
    assert counts["count"] == len(OWN[viewer])


PATHS = ["/", "/incidents/1", "/kernels", "/api/v1/incidents", "/api/v1/incidents/1", "/api/v1/kernels",
         "/api/v1/overview", "/api/openapi.json", "/events", "/metrics"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_known_sees_nothing(web: Web, path: str) -> None:
    answer = web.get(path)
    assert answer.status == 401
    assert not any(end.uuid in answer.text for end in ENDS.values())


@pytest.mark.parametrize(("viewer", "status"), [("admin", 200), ("alice", 404)])
def test_metrics_are_for_who_sees_all(web: Web, viewer: str, status: int) -> None:
    answer = web.get("/metrics", viewer)
    assert answer.status == status
    assert ("kerneld_incidents_total" in answer.text) is (status == 200)


def test_health_tells_nobody_anything_but_that_it_is_well(web: Web) -> None:
    assert web.get("/healthz").data == {"database": True, "recorder": True}


def test_code_is_for_its_user_and_for_an_admin_who_may(tmp_path: Path) -> None:
    cell = CellPart(execution_count=7, source="secret_thoughts = 1", code_policy="full")
    end = owned(1, ALICE, "alice", cell=cell)
    seen: dict[str, bool] = {}
    with Store.open(tmp_path / "k.db") as store:
        store.save_all([(end, None)])
    with served(tmp_path / "k.db") as web:
        for viewer in ("alice", "admin", "reads code"):
            texts = [
                web.get(f"{at}/{end.uuid}", viewer).text for at in ("/incidents", "/api/v1/incidents")
            ]
            seen[viewer] = all("secret_thoughts" in text for text in texts)
            assert seen[viewer] is any("secret_thoughts" in text for text in texts)
    assert seen == {"alice": True, "admin": False, "reads code": True}


@pytest.mark.parametrize(("viewer", "named"), [("alice", False), ("cy", False), ("admin", True)])
def test_others_processes_have_names_for_the_admin_alone(web: Web, viewer: str, named: bool) -> None:
    """In a container, where many users have one uid, nobody but the admin."""
    end = ENDS["alice" if viewer == "admin" else viewer]
    for at in ("/incidents", "/api/v1/incidents"):
        assert ("chrome" in web.get(f"{at}/{end.uuid}", viewer).text) is named


# ---------------------------------------------------------------- nothing runs that a user wrote


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(html)
    return parser.found


def shape(html: str) -> set[tuple[str, ...]]:
    """Every kind of tag with its attributes; how many of a kind there are, the text decides."""
    return {(tag, *sorted(attributes)) for tag, attributes in tags(html)}


@pytest.mark.parametrize("text", XSS)
def test_what_users_wrote_stays_text(tmp_path: Path, text: str) -> None:
    """The page has the same tags and attributes as an honest one, whatever the names and the code."""
    shapes: list[list[object]] = []
    for kind, said in (("honest", "word"), ("hostile", text)):
        path = tmp_path / f"{kind}.db"
        end = full(text=said, died_at=HOUR_AGO)
        end = end.model_copy(update={"user": end.user.model_copy(update={"uid": ALICE})})
        state = living(end).model_copy(
            update={"notebook_path": said, "kernel_name": said, "user_name": said}
        )
        with Store.open(path) as store:
            store.save_all([(end, None)])
        with LiveWriter(path.with_name(f"{path.name}.live")) as live, served(path) as web:
            live.write([row_of(state)], a_daemon(), at=datetime.now(UTC))
            pages = [
                web.get(f"/incidents/{end.uuid}", "reads code"),
                web.get("/", "reads code"),
                web.get("/kernels", "reads code"),
            ]
        assert {page.status for page in pages} == {200}
        shapes.append([shape(page.text) for page in pages])
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("text", XSS)
def test_what_stands_in_the_address_stays_text(web: Web, text: str) -> None:
    from urllib.parse import quote

    given = quote(text)
    honest = web.get("/?notebook=word&user=word&period=24h", "admin").text
    hostile = web.get(f"/?notebook={given}&user={given}&period=24h", "admin").text
    assert shape(hostile) == shape(honest)
    assert web.get(f"/?cause={given}", "admin").status == 400
    assert "alert(1)</script>" not in web.get(f"/incidents/{quote(text, safe='')}", "admin").text


def test_no_page_has_script_or_style_of_its_own(web: Web) -> None:
    for path in ("/", "/incidents/1", "/kernels"):
        for tag, attributes in tags(web.get(path, "admin").text):
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert tag != "style"
            if tag == "script":
                assert (attributes["src"] or "").startswith("/static/")


@pytest.mark.parametrize(
    "template", sorted(Path(kerneld.web.__file__).parent.glob("templates/*")), ids=str
)
def test_no_template_trusts_a_text(template: Path) -> None:
    assert not re.search(r"\|\s*safe|autoescape", template.read_text())


# ---------------------------------------------------------------- what browsers may not do


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/nowhere", "/static/kerneld.css", "/api/v1/kernels"]
)
def test_every_answer_says_what_a_browser_may_not_do(web: Web, path: str) -> None:
    headers = web.get(path, "admin").headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    kept = "public, max-age=31536000, immutable" if path.startswith("/static") else "no-store"
    assert headers["cache-control"] == kept


HOSTS = [
    ("localhost", 200), ("localhost:8765", 200), ("127.0.0.1:80", 200), ("[::1]:80", 200),
    ("10.0.0.7", 200), ("hub.example.org", 200), ("HUB.example.org:443", 200),
    ("evil.example", 421), ("hub.example.org.evil.example", 421), ("localhost.evil.example", 421),
    ("evil.example:8765", 421), ("", 421), ("[::1", 421), ("user@localhost", 200),
]  # fmt: skip


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_a_page_of_another_name_does_not_get_in(web: Web, host: str, status: int) -> None:
    """DNS rebinding: evil.example resolves to 127.0.0.1, and the browser takes the page for its own."""
    assert web.get("/healthz", Host=host).status == status


FORGED = [
    ({"Origin": "http://evil.example", "Cookie": "a=b"}, 403),
    ({"Origin": "null", "Cookie": "a=b"}, 403),
    ({"Cookie": "a=b"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": "http://hub.example.org.evil.example"}, 403),
    ({"Origin": "http://hub.example.org", "Cookie": "a=b"}, 303),
    ({}, 303),
]


@pytest.mark.parametrize(("headers", "status"), FORGED, ids=str)
def test_a_form_of_another_site_does_nothing(
    database: Path, headers: dict[str, str], status: int
) -> None:
    with served(database, token_gate()) as web:
        assert web.ask("POST", "/logout", body="", Host="hub.example.org", **headers).status == status


REDIRECTS = [
    ("/incidents/1?a=//b", "/incidents/1?a=//b"), ("//evil.example", "/"), ("/\\evil.example", "/"),
    ("http://evil.example", "/"), ("/a//evil.example", "/"), ("/\tevil", "/"), ("", "/"), ("evil", "/"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "path"), REDIRECTS)
def test_nobody_is_sent_to_another_site(given: str, path: str) -> None:
    assert own_path(given, "/") == path
    assert own_path(given, "/services/kerneld/") == "/services/kerneld/"


# ---------------------------------------------------------------- the token


@pytest.fixture(scope="module")
def alone(database: Path) -> Iterator[Web]:
    with served(database, token_gate()) as web:
        yield web


def test_the_printed_link_opens_a_session_and_leaves_no_token_in_the_address(alone: Web) -> None:
    answer = alone.get(f"/incidents/1?token={TOKEN}")
    assert (answer.status, answer.headers["location"]) == (303, "/incidents/1")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    shown = alone.get("/incidents/1", Cookie=cookie.partition(";")[0])
    assert (shown.status, ENDS["alice"].uuid in shown.text) == (200, True)


def test_a_link_to_another_site_is_not_followed_with_the_token(alone: Web) -> None:
    assert alone.get(f"//evil.example/?token={TOKEN}").status == 404
    form = f"token={TOKEN}&next=//evil.example/"
    answer = alone.ask("POST", "/login", body=form)
    assert (answer.status, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "token wrong"}, {"Cookie": "kerneld-1=wrong"}]
)
def test_without_the_token_there_is_a_form_for_it(alone: Web, headers: dict[str, str]) -> None:
    answer = alone.get("/incidents/1", **headers)
    assert answer.status == 401
    assert 'name="next" value="/incidents/1"' in answer.text
    assert alone.get("/?token=wrong").status == 403
    assert alone.ask("POST", "/login", body="token=wrong").status == 403
    assert alone.ask("POST", "/login", body="x" * 9000).status == 413


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
def test_programs_send_the_token_in_a_header(alone: Web, scheme: str) -> None:
    assert alone.get("/api/v1/incidents/1", Authorization=f"{scheme} {TOKEN}").status == 200


def test_leaving_ends_the_session(alone: Web) -> None:
    cookie = alone.get(f"/?token={TOKEN}").headers["set-cookie"].partition(";")[0]
    origin = f"http://127.0.0.1:{alone.port}"
    assert alone.ask("POST", "/logout", body="", Cookie=cookie, Origin=origin).status == 303
    assert alone.get("/", Cookie=cookie).status == 401


# ---------------------------------------------------------------- live


def test_an_incident_appears_where_it_belongs_as_it_settles(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    with Store.open(path) as store:
        store.save_all([(owned(1, ALICE, "alice"), None)])
        with (
            served(path) as web,
            web.events("/events", "admin") as all_of_them,
            web.events("/events?cause=segfault", "admin") as segfaults,
            web.events("/events", "alice") as alices,
            web.events("/events", "bob") as bobs,
        ):
            for stream in (all_of_them, segfaults, alices, bobs):
                stream.until("retry:")
            every = [owned(7, ALICE, "alice"), owned(8, BOB, "bob", cause=Cause.SEGFAULT)]
            asked = asked_for(9, user=owned(9, ALICE, "alice").user)
            store.save_all([(end, None) for end in [*every, asked]])
            told = all_of_them.until(every[1].uuid)
            assert every[0].uuid in told
            assert f'event: gone\ndata: {{"uuid": "{asked.uuid}"}}' in all_of_them.until(asked.uuid)
            assert "event: incident" not in segfaults.until("event: gone").partition("event: gone")[0]
            assert every[1].uuid in segfaults.until("event: incident")
            assert every[0].uuid in alices.until("event: gone")
            alone = bobs.until("event: incident")
            assert every[1].uuid in alone
            assert every[0].uuid not in alone


def test_a_provisional_one_is_marked_and_not_announced(tmp_path: Path) -> None:
    end = owned(1, ALICE, "alice", state=State.PROVISIONAL, settled_at=None)
    with Store.open(tmp_path / "k.db") as store:
        store.save_all([(end, None)])
    with served(tmp_path / "k.db") as web:
        assert "not settled yet" in web.get("/", "alice").text


def test_the_living_are_told_again_and_again(web: Web) -> None:
    with web.events("/events?of=kernels", "bob") as stream:
        told = stream.until("event: kernels")
    assert "pid 2 " in told
    assert "pid 1 " not in told


# ---------------------------------------------------------------- lists


def test_pages_show_each_incident_once(tmp_path: Path) -> None:
    """Many of them at the same moment."""
    ends = [owned(number, ALICE, "alice", died_at=HOUR_AGO, kernel=None) for number in range(1, 124)]
    with Store.open(tmp_path / "k.db") as store:
        store.save_all([(end, None) for end in ends])
    seen: list[str] = []
    with served(tmp_path / "k.db") as web:
        path = "/api/v1/incidents"
        while path:
            answer = web.get(path, "alice")
            assert isinstance(answer.data, list)
            seen += [each["uuid"] for each in answer.data]
            link = re.match(r"<(.*)>; rel=\"next\"", answer.headers.get("link", ""))
            path = f"/api/v1/incidents{link[1]}" if link else ""
    assert sorted(seen) == sorted(end.uuid for end in ends)


FILTERS = [
    ("cause=segfault", {2}), ("category=memory", {1, 3}), ("user=alice", {1}), ("user=u1002", {2}),
    ("notebook=train", {1}), ("notebook=*/load.ipynb", {3}), ("period=24h", {1, 2}),
    ("all=1", {1, 2, 3, 4}), ("", {1, 2, 3}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "numbers"), FILTERS)
def test_filters_narrow_the_list_and_the_counts(tmp_path: Path, query: str, numbers: set[int]) -> None:
    def named(number: int, path: str, **fields: object) -> Incident:
        notebook = owned(number, BOB, None).notebook
        assert notebook
        return owned(number, BOB, None, notebook=notebook.model_copy(update={"path": path}), **fields)

    alice = named(1, "/h/churn/train.ipynb", user=owned(1, ALICE, "alice").user)
    ends = [
        alice,
        named(2, "/h/eda.ipynb", cause=Cause.SEGFAULT),
        named(
            3,
            "/h/etl/load.ipynb",
            user=owned(1, ALICE, None).user,
            died_at=HOUR_AGO - timedelta(days=3),
        ),
        named(4, "/h/eda.ipynb", cause=Cause.SHUTDOWN),
    ]
    with Store.open(tmp_path / "k.db") as store:
        store.save_all([(end, None) for end in ends])
    with served(tmp_path / "k.db") as web:
        found = web.get(f"/api/v1/incidents?{query}", "admin").data
        counts = web.get(f"/api/v1/overview?{query}", "admin").data
    assert isinstance(found, list)
    assert isinstance(counts, dict)
    assert {each["id"] for each in found} == numbers
    assert counts["count"] == len(numbers - {4}), "what was asked for is not counted"


@pytest.mark.parametrize(
    "query", ["cause=nope", "period=9d", "before=x-y", "before=1", f"user={'x' * 300}", "category=%00"]
)
def test_a_word_of_no_vocabulary_is_not_understood(web: Web, query: str) -> None:
    for path in ("/", "/api/v1/incidents", "/api/v1/overview", "/events"):
        answer = web.get(f"{path}?{query}", "admin")
        assert answer.status == 400
        assert "Traceback" not in answer.text


def test_the_line_that_kills_most_is_counted_over_runs(tmp_path: Path) -> None:
    cell = CellPart(execution_count=7, sha256="ab" * 16, line=4)
    ends = [
        owned(
            n,
            ALICE,
            "alice",
            cell=cell.model_copy(update={"execution_count": n}),
            notebook=ENDS["alice"].notebook,
        )
        for n in (1, 2)
    ]
    with Store.open(tmp_path / "k.db") as store:
        store.save_all([(end, None) for end in ends])
    with served(tmp_path / "k.db") as web:
        counts = web.get("/api/v1/overview", "alice").data
    assert isinstance(counts, dict)
    (line,) = counts["lines"]
    assert (line["count"], line["line"], line["latest"]) == (2, "cell [2] line 4", ends[1].uuid)


# ---------------------------------------------------------------- a database that comes and goes


def test_a_missing_database_is_told_and_one_that_comes_back_is_read(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    with served(path) as web:
        for where in ("/", "/api/v1/incidents", "/healthz"):
            assert web.get(where, "admin").status == 503
        for number in (1, 2):
            with Store.open(path) as store:
                store.save_all([(owned(number, ALICE, "alice"), None)])
            answer = web.get("/api/v1/incidents", "admin").data
            assert isinstance(answer, list)
            assert [each["uuid"] for each in answer] == [owned(number, ALICE, "alice").uuid]
            for file in tmp_path.iterdir():
                file.unlink()


# ---------------------------------------------------------------- the document and the charts


def test_the_document_names_what_can_be_asked_and_the_shape_that_is_told(web: Web) -> None:
    told = document("/services/kerneld/")
    for path in told["paths"]:
        assert web.get(path.replace("{ref}", "1"), "admin").status == 200, path
    incident_schema = told["components"]["schemas"]["Incident"]
    data = web.get("/api/v1/incidents/1", "admin").data
    assert isinstance(data, dict)
    assert set(data) == set(incident_schema["properties"])
    assert web.get("/api/openapi.json", "alice").data == document("/")


def test_a_memory_chart_keeps_its_peak_and_its_frame() -> None:
    samples = tuple((600.0 - step, 100 * MIB if step == 333 else 10 * MIB) for step in range(600))
    chart = memory_chart(
        Picture(samples, 110 * MIB, 10 * MIB, [Mark(300.0, "[7]"), Mark(900.0, "[1]")])
    )
    assert chart is not None
    points = [tuple(map(float, point.split())) for point in chart.line.lstrip("M").split("L")]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert min(y for _, y in points) == pytest.approx(HEIGHT * (1 - 100 / 110 / 1.06), abs=0.1)
    assert [(mark.at, mark.text) for mark in chart.marks] == [(WIDTH / 2, "[7]")]
    assert "from 10 MiB to 10 MiB in the last 10 min, under a limit of 110 MiB" in chart.words


@pytest.mark.parametrize(
    "samples", [(), ((1.0, 5),), ((1.0, 5), (1.0, 6)), ((0.0, 0), (0.0, 0))], ids=str
)
def test_a_memory_chart_of_one_moment_is_none(samples: tuple[tuple[float, int], ...]) -> None:
    assert memory_chart(Picture(samples)) is None


def test_columns_stack_to_their_count_and_none_is_left_out() -> None:
    from kerneld.model.vocabulary import Category

    counts = [(0, Category.MEMORY, 3), (0, Category.EXIT, 1), (20, Category.MEMORY, 2)]
    chart = causes_chart(counts, first_us=0, column_us=10, until_us=35)
    assert [column.count for column in chart.columns] == [4, 0, 2, 0]
    assert chart.columns[0].blocks[-1].y == 0
    assert sum(block.height for block in chart.columns[2].blocks) == HEIGHT / 2
    assert [level.text for level in chart.levels] == ["1", "2", "3", "4"]


def test_behind_a_base_every_address_stays_below_it(database: Path) -> None:
    with served(database, HeaderGate(), base="/services/kerneld/") as web:
        assert web.get("/", "admin").status == 404
        page = web.get("/services/kerneld/", "admin")
        assert page.status == 200
        links = [
            value for _, attributes in tags(page.text)
            for name, value in attributes.items() if name in ("href", "src", "action", "data-events")
        ]  # fmt: skip
        outside = {link for link in links if not (link or "").startswith(("/services/kerneld/", "#"))}
        assert outside == {"/hub/home"}
        css = next(link for link in links if link and "kerneld.css" in link)
        assert web.get(css).headers["content-type"].startswith("text/css")
