"""What a user names a file, a process or a variable never moves the reader's cursor."""

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incidents import HOSTILE, NOW, full
from rich.cells import cell_len

from kerneld.outputs import csv as to_csv
from kerneld.outputs import json as to_json
from kerneld.outputs.incidents import incidents_table
from kerneld.outputs.safe import cells, clip, safe_json, safe_text, wrap
from kerneld.outputs.story import story
from kerneld.outputs.text import one_line
from kerneld.outputs.view import View

RAW = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
NAMES = st.text(max_size=60)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("\ud83d", r"\ud83d"),
        ("\U000e0041", r"\U000e0041"),
        ("Ürömqi 漢字 👩‍💻.ipynb", "Ürömqi 漢字 👩‍💻.ipynb"),
    ],
    ids=["escape", "lines", "c1-and-del", "bidi", "surrogate", "tag", "honest"],
)
def test_control_characters_are_shown_escaped(raw: str, shown: str) -> None:
    assert safe_text(raw) == shown


@given(ANY_TEXT)
def test_no_text_passes_a_control_character(text: str) -> None:
    shown = safe_text(text)
    assert not RAW.search(shown)
    assert "\n" not in shown
    assert safe_text(shown) == shown


@given(ANY_TEXT)
def test_safe_json_parses_to_the_same_value(text: str) -> None:
    document = safe_json(json.dumps({"name": text}, ensure_ascii=False))
    assert not RAW.search(document)
    # JSON joins two escaped halves of one character, as every reader of JSON does
    assert json.loads(document) == json.loads(json.dumps({"name": text}))


@given(NAMES.map(safe_text), st.integers(2, 40))
def test_clipped_and_wrapped_text_fits(text: str, width: int) -> None:
    """Measured by another's rule of how wide a character is."""
    assert cell_len(clip(text, width)) <= width
    assert cell_len(clip(text, width, "end")) <= width
    assert all(cell_len(line) <= width for line in wrap(text, width))
    assert cells(text) >= cell_len(text)


@given(NAMES.map(safe_text), st.integers(2, 40))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    assert "".join("".join(wrap(text, width)).split()) == "".join(text.split())


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", [HOSTILE, "=1+1", "\x1b", "漢" * 300, "\n" * 9, " "])
def test_hostile_names_never_reach_an_output_raw(name: str, width: int) -> None:
    """Every string that a user can choose is hostile, in every renderer."""
    incident = full(text=name)
    view = View(NOW, NOW.tzinfo or _never(), width)
    told: dict[str, str] = {
        "story": story(incident, view),
        "table": incidents_table([incident], view),
        "line": one_line(incident),
        "json": to_json.document(incident),
        "jsonl": to_json.line(incident),
        "array": "".join(to_json.array([incident])),
        "csv": to_csv.header() + to_csv.line(incident),
    }
    assert {name: found for name, text in told.items() if (found := RAW.findall(text))} == {}
    assert told["line"].count("\n") == 0
    assert told["jsonl"].count("\n") == 1
    assert told["csv"].count("\n") == 2
    assert "\nfake row" not in told["story"]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_takes_a_name_for_a_formula(first: str) -> None:
    incident = full(text=first + 'cmd|" /C calc"!A0')
    row = next(csv.DictReader(io.StringIO(to_csv.header() + to_csv.line(incident))))
    assert [value for value in row.values() if value.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert row["user"].startswith("'")


def _never() -> Any:
    raise AssertionError("NOW has a zone")
