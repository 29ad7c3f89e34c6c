"""Cells as people write them: what leaves, what kills itself, and what only looks like it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.model.said import CodeFacts
from kerneld.parse.code import MAX_CHARS, NOT_PARSED, code_facts, without_magics

CELLS = {
    "exit()": CodeFacts(calls_exit=True),
    "x = 1\nquit()": CodeFacts(calls_exit=True),
    "if x:\n    exit(3)": CodeFacts(calls_exit=True),
    "exit": CodeFacts(calls_exit=True),
    "print(1)\nquit": CodeFacts(calls_exit=True),
    "exit\nprint(1)": CodeFacts(),
    "exit(keep_kernel=True)": CodeFacts(),
    "# exit()\n'exit()'": CodeFacts(),
    "app.exit()": CodeFacts(),
    "import os\nos._exit(3)": CodeFacts(hard_exits=True),
    "from os import _exit as leave\nleave(0)": CodeFacts(hard_exits=True),
    "import os as o; o._exit(1)": CodeFacts(hard_exits=True),
    "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)": CodeFacts(kills_itself=True),
    "pid = os.getpid()\nos.kill(pid, 9)": CodeFacts(kills_itself=True),
    "os.kill(4711, 9)": CodeFacts(),
    "os.kill(child.pid, 9)": CodeFacts(),
    "os.kill(0, 15)": CodeFacts(kills_itself=True),
    "os.killpg(os.getpgid(0), 9)": CodeFacts(kills_itself=True),
    "from signal import raise_signal, SIGSEGV\nraise_signal(SIGSEGV)": CodeFacts(kills_itself=True),
    "os.abort()": CodeFacts(kills_itself=True),
    "import psutil\npsutil.Process().kill()": CodeFacts(kills_itself=True),
    "psutil.Process(pid).kill()": CodeFacts(),
    "import sys\nsys.exit(1)": CodeFacts(raises_system_exit=True),
    "raise SystemExit": CodeFacts(raises_system_exit=True),
    "raise SystemExit(2)": CodeFacts(raises_system_exit=True),
    "from sys import exit\nexit()": CodeFacts(raises_system_exit=True),
    "await client.run()\nexit()": CodeFacts(calls_exit=True),
    "": CodeFacts(),
    # IPython's own lines
    "%matplotlib inline\nexit()": CodeFacts(calls_exit=True),
    "!pip install x\nimport os\nos._exit(1)": CodeFacts(hard_exits=True),
    "if slow:\n    !sleep 1\nquit()": CodeFacts(calls_exit=True),
    "files = !ls\nos.abort()": CodeFacts(kills_itself=True),
    "t = %timeit -o f()\nexit()": CodeFacts(calls_exit=True),
    "%time exit()": CodeFacts(calls_exit=True),
    "str.split?\nexit()": CodeFacts(calls_exit=True),
    "%%time\nexit()": CodeFacts(calls_exit=True),
    "%%bash\nexit 1": NOT_PARSED,
    "x = '''\n%load\n!x\n'''\nexit()": CodeFacts(calls_exit=True),
    "x = a \\\n  % b": CodeFacts(),
    # no Python
    "exit(": NOT_PARSED,
    "x\0y": NOT_PARSED,
}


@pytest.mark.parametrize(("source", "facts"), CELLS.items(), ids=[repr(s)[:40] for s in CELLS])
def test_a_cell_tells(source: str, facts: CodeFacts) -> None:
    assert code_facts(source, language="python") == facts


def test_lines_keep_their_numbers() -> None:
    """A line of the stripped text is the same line of the cell."""
    assert without_magics("%%time\n!ls\nx = %magic\ny") == "\npass\nx = None\ny"


@pytest.mark.parametrize("language", ["R", "bash", None])
def test_other_languages_are_not_judged_as_python(language: str | None) -> None:
    assert code_facts("exit()", language=language) == NOT_PARSED


@pytest.mark.parametrize(
    "source",
    ["(" * 30_000, "-" * 60_000 + "1", "a." * 30_000 + "a", "[" * 5000 + "]" * 5000,
     "x = " + "9" * 50_000, "#" * (MAX_CHARS + 1), "\ud800", "f'" + "{" * 5000],
    ids=lambda s: f"{s[:3]!r} × {len(s)}",
)  # fmt: skip
def test_hostile_source_is_only_not_parsed(source: str) -> None:
    facts = code_facts(source, language="python")
    assert facts in (NOT_PARSED, CodeFacts())


@pytest.mark.parametrize(
    "source",
    [" " * 62_000 + "x\n= =", "\t" * 62_000 + "x\n= =", "a =" * 20_000 + "= =", "?" * 60_000 + "\n= =",
     "!" + " " * 60_000 + "\n= =", "%time" + " " * 60_000 + "\n= =", "[" * 60_000 + "=!\n= ="],
    ids=lambda s: f"{s[:5]!r} × {len(s)}",
)  # fmt: skip
def test_magics_are_taken_out_in_linear_time(source: str) -> None:
    """A cell of blanks held the reader for 25 s, and everybody's kernels went unheard."""
    began = time.process_time()
    code_facts(source, language="python")
    assert time.process_time() - began < 0.5


@given(st.text(alphabet="exit()quos._kl%!?\n =.'\"#\\", max_size=60))
def test_no_source_raises(source: str) -> None:
    assert isinstance(code_facts(source, language="python"), CodeFacts)
