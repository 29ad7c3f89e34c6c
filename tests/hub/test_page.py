"""The page in a real browser, with the worst that users can write: nothing runs, all can be read."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

from hostile_texts import XSS
from incidents import MIB, full
from web_rig import told_again

from kerneld.model.incident import Incident, LoopPart
from kerneld.model.living import LivingState
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Category, Cause
from kerneld.store import Store

pytestmark = [pytest.mark.needs_browser, pytest.mark.timeout(120)]
SHOTS = os.environ.get("KERNELD_SHOTS")
ENOUGH = 4.5
"""of contrast for text: WCAG 2.2, 1.4.3"""


@dataclass(frozen=True)
class Served:
    address: str
    store: Store

    @property
    def home(self) -> str:
        return self.address.partition("?")[0]


def an_end(text: str | None = None, **fields: object) -> Incident:
    given = {
        "id": None,
        "uuid": str(uuid.uuid4()),
        "died_at": datetime.now(UTC),
        "loop": None,
        **fields,
    }
    return full(text=text).model_copy(update=given)


def alive(pid: int, text: str) -> LivingState:
    now = datetime.now(UTC)
    return LivingState(
        key=ProcessKey(boot_id="b", pid=pid, start_ticks=1), at=now, kernel_id="k", state="busy",
        uid=os.getuid(), user_name=text, notebook_path=text, kernel_name=text, execution_count=7,
        cell_started_at=now, started_at=now - timedelta(hours=1), rss_bytes=95 * MIB,
        limit_bytes=100 * MIB, growth_bytes_per_s=2.0 * MIB, samples=((60.0, MIB), (0.0, 95 * MIB)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One incident of each category, and one of each hostile text."""
    database = tmp_path_factory.mktemp("page") / "kerneld.db"
    causes = {cause.category: cause for cause in Cause if cause.category is not Category.REQUESTED}
    ends = [an_end(cause=cause, category=kind) for kind, cause in causes.items()]
    ends += [an_end(text) for text in XSS]
    living = [alive(pid, text) for pid, text in enumerate(XSS, 11)]
    with Store.open(database) as store, told_again(database, living):
        store.save_all([(end, None) for end in ends])
        with started(database) as address:
            yield Served(address, store)


@contextmanager
def started(database: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "kerneld", "web", "--port", "0", "--db", str(database)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """Logged in; at its end the browser has had nothing to run and nothing to complain of."""
    context = browser.new_context()
    page, complaints = context.new_page(), list[str]()
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served.address)
    yield page
    assert complaints == []
    context.close()


def is_complaint(said: ConsoleMessage) -> bool:
    return said.type == "error" and "status of 404" not in said.text


def is_live(page: Page) -> None:
    page.locator("[data-live-word]", has_text=re.compile("^live$")).wait_for()


def test_nothing_runs_that_a_user_wrote(page: Page, served: Served) -> None:
    """In the list, as it arrives, in its story, in the filters."""
    is_live(page)
    ends = [an_end(text) for text in XSS]
    served.store.save_all([(end, None) for end in ends])
    for text, end in zip(XSS, ends, strict=True):
        page.locator(f'[data-uuid="{end.uuid}"] a').click()
        page.locator(".facts").wait_for()
        page.go_back()
        page.fill("[name=notebook]", text)
        page.press("[name=notebook]", "Enter")
        page.wait_for_url(re.compile("notebook="))
        page.goto(served.home)


def test_kernels_with_hostile_names_are_text(page: Page, served: Served) -> None:
    page.goto(f"{served.home}kernels")
    page.locator(".life").first.wait_for()
    assert page.locator(".life").count() == len(XSS)
    is_live(page)


def test_a_loop_is_one_line_and_the_count_goes_on(page: Page, served: Served) -> None:
    is_live(page)
    before = int(page.locator("[data-count]").get_attribute("data-count") or 0)
    first = an_end()
    again = an_end(loop=LoopPart(id=first.uuid, count=2))
    for number, end in enumerate((first, again), 1):
        served.store.save_all([(end, None)])
        page.locator(f'[data-uuid="{end.uuid}"]').wait_for()
        page.locator("[data-count]", has_text=f"{before + number} incidents").wait_for()
    assert page.locator(f'[data-uuid="{first.uuid}"]').count() == 0
    assert "×2" in page.locator(f'[data-uuid="{again.uuid}"]').inner_text()


# ---------------------------------------------------------------- for everybody's eyes and hands

READABLE = Path(__file__).with_name("readable.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_all_can_be_read_and_nothing_is_without_a_name(
    page: Page, served: Served, width: int, scheme: str
) -> None:
    """Contrast of every text, names of everything that can be used, no page wider than the screen."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    story = page.locator(".hit").last.get_attribute("href")
    for name, path in (("list", ""), ("story", story), ("kernels", "kernels"), ("error", "nowhere")):
        page.goto(f"{served.home}{(path or '').lstrip('/')}")
        page.locator("h1").wait_for()
        shown = page.evaluate(READABLE)
        faint = {what: round(ratio, 2) for what, ratio in shown["contrast"].items() if ratio < ENOUGH}
        assert (faint, shown["nameless"]) == ({}, []), name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"hostile-{name}-{width}-{scheme}.png", full_page=True)


def test_every_control_is_reached_by_the_tabulator_and_shows_it(page: Page) -> None:
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()")
        )
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", reached
    assert {"Skip to the content", "Kernels", "period", "cause", "notebook"} <= reached
