"""A real JupyterHub, real servers, kernels that really die, and a real browser before the page."""

import http.client
import os
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hub import LIMIT_MIB, PASSWORD, Hub
from machine import wait_for
from playwright.sync_api import Browser, BrowserContext, Page

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Scope, State

pytestmark = [
    pytest.mark.needs_browser,
    pytest.mark.needs_hub,
    pytest.mark.needs_systemd,
    pytest.mark.needs_root,
    pytest.mark.timeout(180),
]
PAGE = "/services/kerneld/"
SHOTS = os.environ.get("KERNELD_SHOTS")
LEAVES = "import os, time\ntime.sleep(0.5)\nos._exit({})"
GROWS = "import time\nheld = []\nwhile True:\n    held.append(b'x' * 10_000_000)\n    time.sleep(0.02)"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    proxy = shutil.which("configurable-http-proxy")
    assert proxy
    with Hub(tmp_path_factory.mktemp("hub"), proxy) as hub:
        hub.start_servers()
        yield hub


@pytest.fixture(scope="module")
def people(hub: Hub, browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    """Each logged in at the Hub, in a browser of the own."""
    contexts = {name: browser.new_context(base_url=hub.url) for name in ("ana", "ben", "boss", "ops")}
    for name, context in contexts.items():
        log_in(context.new_page(), name)
    yield contexts
    for context in contexts.values():
        context.close()


def log_in(page: Page, name: str) -> None:
    page.goto("/hub/login?next=/hub/home")
    page.fill("#username_input", name)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")


@pytest.fixture(scope="module")
def ends(hub: Hub, people: dict[str, BrowserContext]) -> dict[str, Incident]:
    """One of each user's kernels dies before the admin's open page, which has to show it by itself."""
    page = people["boss"].pages[0]
    page.goto("/hub/home")
    page.get_by_role("button", name="Services").or_(page.get_by_text("Services")).first.click()
    page.get_by_role("link", name="kerneld").click()
    page.wait_for_url(f"**{PAGE}")
    page.locator("[data-live-word]", has_text=re.compile("^live$")).wait_for()
    assert page.locator(".row").count() == 0
    notebooks = {name: hub.notebook(name, f"{name}s-work.ipynb") for name in ("ana", "ben")}
    hub.add_kernelspec("ana", "liar", JUPYTERHUB_USER="ben")
    notebooks["liar"] = hub.notebook("ana", "liars-work.ipynb", kernel="liar")
    for status, notebook in enumerate(notebooks.values(), 3):
        notebook.run(LEAVES.format(status))
    notebooks["big"] = hub.notebook("ana", "bigs-work.ipynb")
    notebooks["big"].run(GROWS)
    for name in notebooks:
        page.locator(".row", has_text=f"{name}s-work.ipynb").wait_for(timeout=20_000)
    return {name: settled(hub, notebook.kernel_id) for name, notebook in notebooks.items()}


def is_watched(hub: Hub, kernel_id: str) -> bool:
    """Where the proc connector is silent, a kernel is found by a look each second."""
    return kernel_id in {state.kernel_id for state in hub.machine.living()}


def settled(hub: Hub, kernel_id: str) -> Incident:
    def found() -> list[Incident]:
        every = hub.machine.ends()
        return [e for e in every if e.kernel and e.kernel.id == kernel_id and e.state is State.SETTLED]

    return wait_for(found, 15, "it is settled")[0]


# ---------------------------------------------------------------- what each sees


def test_the_admin_sees_an_incident_appear_and_opens_its_story(
    people: dict[str, BrowserContext], ends: dict[str, Incident]
) -> None:
    """From the Hub's own menu, without a consent page and without loading anything again."""
    page = people["boss"].pages[0]
    page.locator(".row", has_text="anas-work.ipynb").locator("a").click()
    page.wait_for_url(f"**{PAGE}incidents/{ends['ana'].uuid}")
    assert "left without a word" in (page.locator("h1").text_content() or "")
    facts = page.locator(".facts").text_content() or ""
    assert "left with status 3" in facts
    assert ends["ana"].cause is Cause.HARD_EXIT
    page.locator("[data-back]").click()
    page.wait_for_url(f"**{PAGE}")


def test_a_limit_of_the_spawner_is_told_as_the_limit(ends: dict[str, Incident]) -> None:
    """SystemdSpawner makes a unit of each server, and the README's line its limit."""
    end = ends["big"]
    assert (end.cause, end.memory.limit_bytes) == (Cause.OOM_CGROUP, LIMIT_MIB << 20)
    assert (end.memory.limit_path or "").endswith("/jupyter-ana-singleuser.service")
    assert end.user.hub_name == "ana"


WHERE = ["incidents/{uuid}", "incidents/{id}", "api/v1/incidents/{uuid}", "api/v1/incidents/{id}"]
SEES = {"boss": {"ana", "ben"}, "ops": {"ana", "ben"}, "ana": {"ana"}, "ben": {"ben"}}


@pytest.mark.parametrize("viewer", SEES)
def test_users_see_their_own_and_every_foreign_cell_is_not_there(
    people: dict[str, BrowserContext], ends: dict[str, Incident], viewer: str
) -> None:
    """The matrix of users, endpoints and owners; ops has the scope, boss is an admin."""
    page = people[viewer].new_page()
    page.goto(PAGE)  # the Hub lets the browser in without a word
    page.wait_for_url(f"**{PAGE}")
    for owner in ("ana", "ben"):
        end, is_own = ends[owner], owner in SEES[viewer]
        for where in WHERE:
            path = PAGE + where.format(uuid=end.uuid, id=end.id)
            assert page.request.get(path).status == (200 if is_own else 404), path
        for listed in ("", "api/v1/incidents", "api/v1/overview", "?all=1&period=all"):
            assert (f"{owner}s-work.ipynb" in page.request.get(PAGE + listed).text()) is is_own
    metrics = page.request.get(f"{PAGE}metrics")
    assert metrics.status == (200 if viewer in ("boss", "ops") else 404)
    page.close()


def test_living_kernels_are_shown_to_their_user(hub: Hub, people: dict[str, BrowserContext]) -> None:
    hub.notebook("ana", "alive.ipynb")
    for viewer, is_own in (("ana", True), ("ben", False), ("boss", True)):
        page = people[viewer].new_page()
        page.goto(f"{PAGE}kernels")
        page.locator("[data-live-word]", has_text=re.compile("^live$")).wait_for()
        shown = page.locator(".life", has_text="alive.ipynb")
        if is_own:
            shown.wait_for(timeout=15_000)
        assert (shown.count() == 1) is is_own
        page.close()


def test_a_kernel_that_calls_itself_anothers_is_shown_to_no_user(
    people: dict[str, BrowserContext], ends: dict[str, Incident]
) -> None:
    """The Hub's name stands in an environment that its user can set: the uid has to agree."""
    liar = ends["liar"]
    assert (liar.user.hub_name, liar.user.uid) == ("ben", ends["ana"].user.uid)
    for viewer in SEES:
        page = people[viewer].new_page()
        page.goto(PAGE)
        told = page.request.get(f"{PAGE}api/v1/incidents/{liar.uuid}").status
        assert told == (200 if len(SEES[viewer]) == 2 else 404), viewer
        page.close()


# ---------------------------------------------------------------- who is not let in


class Plain:
    """Requests as no browser sends them."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def test_who_is_not_logged_in_is_sent_to_the_hub_and_told_nothing(
    hub: Hub, ends: dict[str, Incident]
) -> None:
    web = Plain(hub.port)
    status, headers, text = web.get(f"{PAGE}incidents/{ends['ana'].uuid}")
    assert (status, text) == (303, "")
    asked = parse_qs(urlsplit(headers["location"]).query)
    assert headers["location"].startswith("/hub/api/oauth2/authorize?")
    assert asked["redirect_uri"] == [f"{PAGE}oauth_callback"]
    cookie = headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", f"Path={PAGE}"} <= set(cookie.split("; "))
    for path in ("api/v1/incidents", "events", "metrics", "api/v1/kernels"):
        assert web.get(PAGE + path)[0] == 401


def test_tokens_of_the_hub_are_worth_what_their_scopes_say(hub: Hub, ends: dict[str, Incident]) -> None:
    web = Plain(hub.port)
    tokens = {
        "ana's": hub.token_of("ana"),
        "ana's, for something else": hub.token_of("ana", scopes=["read:users!user=ana"]),
        "the admin's": hub.token_of("boss"),
        "forged": "0" * 32,
    }
    told: dict[str, list[int]] = {}
    for whose, token in tokens.items():
        paths = [f"{PAGE}api/v1/incidents/{ends[owner].uuid}" for owner in ("ana", "ben")]
        told[whose] = [web.get(path, Authorization=f"token {token}")[0] for path in paths]
    assert told == {
        "ana's": [200, 404],
        "ana's, for something else": [401, 401],
        "the admin's": [200, 200],
        "forged": [401, 401],
    }


def test_a_login_that_another_began_is_refused(hub: Hub, people: dict[str, BrowserContext]) -> None:
    """OAuth's state: known to one browser, good for one time."""
    web = Plain(hub.port)
    _, headers, _ = web.get(PAGE)
    state = parse_qs(urlsplit(headers["location"]).query)["state"][0]
    callback = f"{PAGE}oauth_callback?code=x&state="
    own = headers["set-cookie"].partition(";")[0]
    assert web.get(f"{callback}{state}")[0] == 403, "without the cookie"
    assert web.get(f"{callback}other", Cookie=own)[0] == 403, "another state"
    assert people["ana"].request.get(f"{callback}{state}").status == 403, "in another browser"
    assert web.get(f"{callback}{state}", Cookie=own)[0] == 403, "a code that the Hub did not give"
    assert web.get(f"{callback}{state}", Cookie=own)[0] == 403, "a second time"


def test_who_leaves_the_hub_has_left_the_page(
    hub: Hub, browser: Browser, ends: dict[str, Incident]
) -> None:
    """At once, and whoever logs in next in that browser sees the own."""
    context = browser.new_context(base_url=hub.url)
    page = context.new_page()
    anas, bens = (f"{PAGE}incidents/{ends[owner].uuid}" for owner in ("ana", "ben"))
    log_in(page, "ana")
    page.goto(anas)
    assert page.request.get(anas, max_redirects=0).status == 200
    page.goto("/hub/logout")
    assert page.request.get(anas, max_redirects=0).status == 303
    log_in(page, "ben")
    page.goto(bens)
    assert ends["ben"].uuid in page.content()
    assert page.request.get(anas).status == 404
    context.close()


def test_a_link_leads_back_here_and_nowhere_else(hub: Hub, people: dict[str, BrowserContext]) -> None:
    context = people["ana"].browser.new_context(base_url=hub.url)  # type: ignore[union-attr]
    page = context.new_page()
    log_in(page, "ana")
    page.goto(f"{PAGE}/evil.example/..//evil.example?a=//b")
    assert urlsplit(page.url).netloc == urlsplit(hub.url).netloc
    context.close()


def test_the_page_has_no_right_and_survives_the_hub_and_the_recorder(
    hub: Hub, people: dict[str, BrowserContext], ends: dict[str, Incident]
) -> None:
    """Started again, with the recorder gone, it reads on; the Hub lets people in again."""
    machine = hub.machine
    pid = int(machine.show("MainPID", "kerneld-web"))
    rows = machine.path(f"/proc/{pid}/status").read_text().splitlines()
    told = {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}
    assert told["Uid"].split()[0] == machine.run("id", "-u", "kerneld").strip()
    assert {told[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {f"{0:016x}"}
    recorder = machine.daemon_pid()
    machine.systemctl("restart", "kerneld-web")
    assert machine.daemon_pid() == recorder, "it does not notice"
    machine.systemctl("stop", "kerneld")
    wait_for(hub._page_answers, 20, "the page answers again")
    page = people["ana"].new_page()
    page.goto(f"{PAGE}incidents/{ends['ana'].uuid}")
    assert ends["ana"].uuid in page.content()
    page.goto(f"{PAGE}kernels")
    assert "The recorder does not run" in page.content()
    page.close()
    machine.systemctl("start", "kerneld")


# ---------------------------------------------------------------- how it looks


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_logs_no_error(
    hub: Hub, people: dict[str, BrowserContext], ends: dict[str, Incident], width: int, scheme: str
) -> None:
    page = people["boss"].new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for name, path in (
        ("list", ""),
        ("story", f"incidents/{ends['ana'].uuid}"),
        ("kernels", "kernels"),
    ):
        page.goto(PAGE + path)
        page.locator("h1").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=True)
    assert complaints == []
    page.close()


def test_the_keyboard_is_enough(people: dict[str, BrowserContext], ends: dict[str, Incident]) -> None:
    page = people["boss"].new_page()
    page.goto(PAGE)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "notebook"
    page.keyboard.type("anas")
    page.keyboard.press("Enter")
    page.wait_for_url("**notebook=anas*")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/incidents/{ends['ana'].uuid}")
    page.close()


# ------------------------------------------------------------ an end that was asked for


def test_kernels_of_a_server_that_is_stopped_at_the_hub_are_no_incidents(hub: Hub) -> None:
    """The Hub ends the server alone; its kernels notice, and leave with status 1."""
    notebook = hub.notebook("ben", "stopped-work.ipynb")
    wait_for(
        partial(is_watched, hub, notebook.kernel_id), 15, "the recorder, just started, has seen it"
    )
    hub.ask("DELETE", "/hub/api/users/ben/server")
    end = settled(hub, notebook.kernel_id)
    assert (end.cause, end.is_incident) == (Cause.SERVER_STOPPED, False), end
    assert not [e for e in hub.machine.ends() if e.is_incident and e.scope is Scope.SERVER]
