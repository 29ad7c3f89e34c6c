"""Takes README's picture of the page, docs/page.png, anew: a browser on a page of made-up incidents.

`python docs/make_page_picture.py`, with the extras `web` and `test`, and Debian's chromium.
"""

import os
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

from kerneld.model.incident import CellPart, Incident, NotebookPart, UserPart
from kerneld.model.vocabulary import Category, Cause, Confidence
from kerneld.store import Store

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "unit"))
from incidents import GIB, MIB, full  # noqa: E402 - the path is set above

PEOPLE = {
    "alice": ("churn/train.ipynb", "churn/features.ipynb"), "bob": ("eda.ipynb",),
    "carol": ("etl/load.ipynb", "etl/daily.ipynb"), "dmitri": ("llm/finetune.ipynb",),
    "eve": ("thesis/figures.ipynb",), "farid": ("week3/homework.ipynb",),
}  # fmt: skip
CAUSES = [Cause.OOM_CGROUP] * 6 + [Cause.SEGFAULT] * 3 + [Cause.EXIT_CALL] * 2
CAUSES += [Cause.SHM_FULL, Cause.ABORT, Cause.HARD_EXIT, Cause.KILLED, Cause.KILLED_BY_PROCESS]
PROBABLE = {Cause.KILLED: Confidence.LIKELY, Cause.SHM_FULL: Confidence.LIKELY}


def made_up() -> list[Incident]:
    random.seed(11)
    now, ends = datetime.now(UTC), []
    for days in range(29, -1, -1):
        weekend = (now - timedelta(days=days)).weekday() >= 5
        for _ in range(random.randint(0, 1) if weekend else random.randint(1, 6)):
            ends.append(_one(now - timedelta(days=days, hours=random.random() * 8, minutes=7)))
    return sorted(ends, key=lambda end: end.died_at)


def _one(died_at: datetime) -> Incident:
    person = random.choices(list(PEOPLE), [9, 5, 4, 3, 2, 2])[0]
    path, cause = f"/home/{person}/{random.choice(PEOPLE[person])}", random.choice(CAUSES)
    end = full(uuid=f"{random.getrandbits(32):08x}-0000-5000-8000-000000000000")
    hungry = cause.category is Category.MEMORY
    peak = 4 * GIB if hungry else random.randint(180, 900) * MIB
    line = random.choice([4, 4, 4, 11]) if cause is Cause.OOM_CGROUP else None
    digest = f"{sum(map(ord, path)):08x}"
    return end.model_copy(
        update={
            "id": None, "cause": cause, "category": cause.category, "died_at": died_at, "loop": None,
            "confidence": PROBABLE.get(cause, Confidence.CERTAIN), "settled_at": died_at,
            "user": UserPart(uid=1000 + len(person), name=person),
            "notebook": NotebookPart(path=path, how="environ"),
            "memory": end.memory.model_copy(update={"peak_bytes": peak}),
            "cell": CellPart(execution_count=7, sha256=digest, line=line),
            "growth_lines": (),
        }
    )  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "kerneld.db"
        with Store.open(database) as store:
            store.save_all([(end, None) for end in made_up()])
        argv = [sys.executable, "-m", "kerneld", "web", "--port", "0", "--db", str(database)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ) as page:
            assert page.stdout
            take(page.stdout.readline().strip())
            page.terminate()


def take(address: str) -> None:
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
        shown.goto(address)
        shown.locator("[data-live-word]", has_text="live").wait_for()
        shown.screenshot(path=ROOT / "docs" / "page.png")
        browser.close()


if __name__ == "__main__":
    main()
