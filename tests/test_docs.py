"""The documents keep their word: commands run, causes, rights and links are what they say.

That config.example.toml documents every key with its default stands in tests/unit/test_config.py.
README's two commands are run by .ci/run, as they are written.
"""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import kerneld.rules
from kerneld.cli.main import VERBS, Verbs
from kerneld.config import Retention, parse
from kerneld.model.vocabulary import Category, Cause, Confidence
from kerneld.outputs.causes import CAUSES
from kerneld.store import Store

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("unit", "live", "")]

from incidents import full, segfault  # noqa: E402 - the path is set above
from scenarios import SCENARIOS  # noqa: E402
from test_causes import LIVE, MANAGED, NO_LIVE, ONLY_X86  # noqa: E402
from ways import UNSEEN, WAYS  # noqa: E402

README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(ROOT.glob("*.md"))
SHIPPED = [
    *DOCUMENTS,
    *(file for file in sorted((ROOT / "docs").iterdir()) if file.suffix != ".png"),
    *(file for file in sorted((ROOT / "systemd").rglob("*")) if file.is_file()),
    ROOT / "config.example.toml",
    ROOT / "pyproject.toml",
    *sorted(Path(kerneld.__file__).parent.rglob("*.py")),
]
OPTIONAL = {"irkernel"}
"""played where it is installed"""
INSTALL = "python3 -m venv .venv && .venv/bin/pip install '.[demo]' && .venv/bin/kerneld demo"
TEST = ".venv/bin/pip install '.[test]' && .venv/bin/pytest"
FOREIGN = {
    "a number of an issue": re.compile(
        r"\bissues? #?\d+|(?<![\w&(/'\"])#\d+\b(?![\w;])", re.IGNORECASE
    ),
    "a folder of one machine": re.compile(r"(?<![\w.{])/(?:work\b|opt/(?!kerneld\b|tljh\b))"),
    "who or what wrote it": re.compile(r"\b(?:AI|LLM|chatbot|assistant|subagent)s?\b"),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """README's commands that answer and end: `$ kerneld …` in a console block."""
    lines = "".join(blocks("console")).splitlines()
    found = [line.removeprefix("$ ") for line in lines if line.startswith("$ kerneld ")]
    return [line for line in found if line != "kerneld run"]


def verb(name: str) -> Any:
    """The command of typer's own click."""
    return Verbs(name="kerneld").get_command(None, name)


def options(name: str) -> set[str]:
    return {word for each in verb(name).params for word in each.opts}


def table_after(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = README.partition(f"## {heading}\n")[2]
    lines = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", VERBS)
def test_every_command_is_in_the_readme_and_its_help_has_an_example(name: str) -> None:
    assert f"| `kerneld {name}` |" in README
    assert f"kerneld {name}" in (verb(name).help or "").partition("Examples:")[2]


@pytest.mark.parametrize("name", VERBS)
def test_every_option_says_what_it_does(name: str) -> None:
    silent = [each.name for each in verb(name).params if not getattr(each, "help", None)]
    assert silent == []


def test_an_option_that_the_readme_names_exists() -> None:
    known = set().union(*map(options, VERBS)) | {"--help"}
    told = re.findall(r"(?:`|\$ )(kerneld [^`\n]+|--[a-z-]+)", README)
    named = {word for words in told for word in re.findall(r"(?<!\S)--[a-z-]+", words)}
    assert named - known == set()
    assert len(named) >= 8, "it finds them"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database holds two fresh incidents."""
    folder = tmp_path_factory.mktemp("home")
    with Store.open(folder / "kerneld.db") as store:
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        for end in (segfault(), full()):
            store.save_all([(end.model_copy(update={"died_at": hour_ago}), None)])
    captured = ROOT / "tests" / "captured" / "kmsg"
    records = [
        line
        for name in ("oom-memcg-v1-6.18.txt", "segfault-6.18.txt")
        for line in (captured / name).read_text().splitlines(keepends=True)
        if not line.startswith("#")
    ]
    (folder / "kern.log").write_text("".join(records))
    return folder


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_runs(line: str, home: Path) -> None:
    words = shlex.split(line)[1:]
    if "--db" in options(words[0]):
        words += ["--db", str(home / "kerneld.db")]
    environ = os.environ | {"HOME": str(home), "COLUMNS": "80"}
    argv = [sys.executable, "-m", "kerneld", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environ, cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_log_that_the_readme_reads_is_told_as_it_shows(home: Path) -> None:
    argv = [sys.executable, "-m", "kerneld", "scan", "kern.log"]
    environ = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environ, cwd=home)
    assert done.stdout == blocks("text")[1]


def test_there_are_commands_to_run() -> None:
    assert len(commands()) >= 8


def test_the_settings_that_the_readme_shows_are_valid() -> None:
    shown = blocks("toml")
    assert shown
    for block in shown:
        parse(block.encode(), Path("README.md"))


def test_the_first_two_shell_blocks_are_the_two_commands_that_ci_runs() -> None:
    assert [block.strip() for block in blocks("sh")[:2]] == [INSTALL, TEST]


def test_every_cause_stands_in_the_readme_with_its_category_and_meaning() -> None:
    expected = [[cause.category.value, f"`{cause}`", CAUSES[cause].short] for cause in Cause]
    assert table_after("Causes") == expected


def test_the_readme_names_the_causes_that_no_rule_reaches() -> None:
    folder = Path(kerneld.rules.__file__).parent
    theories = "".join(file.read_text() for file in folder.glob("*.py"))
    unreached = {cause for cause in Cause if not re.search(rf"\bCause\.{cause.name}\b", theories)}
    told = README.partition("- **Not judged yet**:")[2].partition("\n- ")[0]
    assert set(re.findall(r"`([a-z-]+)`", told)) == {cause.value for cause in unreached}


def test_every_capability_of_the_unit_has_its_reason_in_the_readme() -> None:
    unit = (ROOT / "systemd" / "kerneld.service").read_text()
    granted = re.search(r"^AmbientCapabilities=(.*)$", unit, re.MULTILINE)
    assert granted
    rows = table_after("What it may do, and why")
    told = {re.sub("`", "", row[0]) for row in rows if row[0].startswith("`CAP_")}
    assert told == set(granted[1].split())
    assert all(all(row) for row in rows), "what for, and what is lost without"


def test_the_readme_keeps_what_the_defaults_keep() -> None:
    kept = Retention()
    told = (
        f"kept {kept.max_age_days} days, raw evidence {kept.evidence_days}, "
        f"ends that were asked for {kept.requested_days}"
    )
    assert told in " ".join(README.split())


def test_the_table_of_ways_to_die_is_that_of_the_live_tests() -> None:
    """Row by row what is played, with causes and confidences of the vocabulary, and the right ones."""
    told = table_after("Every way to die")
    assert [(row[0], row[1]) for row in told] == [(way.front_end, way.how) for way in WAYS]
    for row, way in zip(told, WAYS, strict=True):
        for words in (row[2], row[4]):
            verdict = re.fullmatch(r"`([a-z-]+)`, ([a-z]+)", words)
            assert verdict or words == UNSEEN
            assert verdict is None or (Cause(verdict[1]) and Confidence(verdict[2]))
        said = Cause(row[2].partition("`, ")[0][1:])
        assert said is way.cause or {said.category, way.cause.category} == {Category.REQUESTED}
        assert float(row[3]) > 0


def test_a_cause_is_in_the_table_of_ways_to_die_or_it_says_why_not() -> None:
    told = {cell.partition("`, ")[0][1:] for row in table_after("Every way to die") for cell in row}
    assert {cause.value for cause in LIVE} <= told
    assert {way.scenario for way in WAYS} | OPTIONAL == set(SCENARIOS) | ONLY_X86 | OPTIONAL
    assert len({way.front_end for way in WAYS}) >= 4
    below = README.partition("Not in the table:\n")[2].partition("<!-- end -->")[0]
    named = {cause.value for cause in (*MANAGED, *NO_LIVE)}
    assert {name for name in re.findall(r"`([a-z-]+)`", below) if name in set(Cause)} >= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    lost = [to for to in targets if "://" not in to and not (ROOT / to.partition("#")[0]).exists()]
    assert lost == []


def test_the_files_that_the_readme_installs_are_there() -> None:
    named = re.findall(r"install -Dm644 (\S+) ", README)
    assert {name for name in named if not (ROOT / name).is_file()} == set()
    units = {str(file.relative_to(ROOT)) for file in (ROOT / "systemd").rglob("*") if file.is_file()}
    assert units <= set(named)


def test_no_file_speaks_of_where_it_was_made() -> None:
    found = {
        (str(file), what): words.search(text)
        for file in SHIPPED
        for text in [file.read_text()]
        for what, words in FOREIGN.items()
    }
    assert {where: match[0] for where, match in found.items() if match} == {}


def test_the_picture_shows_the_incident_that_the_readme_tells() -> None:
    story = blocks("text")[0]
    picture = (ROOT / "docs" / "incident.svg").read_text().replace("&#160;", " ")
    headline, uuid = story.partition("  ")[0], story.split()[-1]
    assert headline in picture
    assert uuid in picture
