"""Which incidents are asked for: the flags that `incidents` and `export` share, to a query."""

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import typer

from kerneld.errors import UsageError
from kerneld.model.vocabulary import Category, Cause

LARGEST_PID = 1 << 22
Form = Literal["text", "json", "jsonl", "csv"]

Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", show_default=False,
        help="From then on: 2d, 3h, 30m, today, yesterday, 14:03, 2026-01-31, 2026-01-31T14:03.",
    ),
]  # fmt: skip
Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", show_default=False, help="Before then.")
]
OfCause = Annotated[
    str | None,
    typer.Option(
        "--cause", metavar="CAUSE", show_default=False, help="Only this cause (`kerneld causes`)."
    ),
]
OfCategory = Annotated[
    str | None,
    typer.Option(
        "--category", metavar="CATEGORY", show_default=False,
        help="Only memory, native, limit, killed, exit, hardware, host, unknown or requested.",
    ),
]  # fmt: skip
OfUser = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", show_default=False, help="Only this user: a name or a uid."),
]
OfNotebook = Annotated[
    str | None,
    typer.Option(
        "--notebook", metavar="GLOB", show_default=False,
        help="Only notebooks whose path this matches: '*/churn/*'.",
    ),
]  # fmt: skip
OfKernel = Annotated[
    str | None,
    typer.Option("--kernel", metavar="ID", show_default=False, help="Only this id, or its start."),
]  # fmt: skip
OfPid = Annotated[
    int | None,
    typer.Option(
        "--pid", metavar="N", min=1, max=LARGEST_PID, show_default=False, help="Only this process."
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Ends that were asked for, too (shutdowns, restarts, culls).")
]
AsLines = Annotated[bool, typer.Option("--jsonl", help="Answer in JSON, one incident a line.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Answer in CSV.")]


def form_of(*, as_json: bool, as_jsonl: bool, as_csv: bool) -> Form:
    """At most one form may be asked for."""
    if as_json + as_jsonl + as_csv > 1:
        raise UsageError("--json, --jsonl and --csv exclude each other: give one")
    return "json" if as_json else "jsonl" if as_jsonl else "csv" if as_csv else "text"


def cause_named(word: str | None) -> Cause | None:
    return None if word is None else Cause(_known(word, list(Cause), "cause"))


def category_named(word: str | None) -> Category | None:
    return None if word is None else Category(_known(word, list(Category), "category"))


def _known(word: str, words: Sequence[str], kind: str) -> str:
    """The word, if it is of the vocabulary; else an error with the nearest one."""
    if word in words:
        return word
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no {kind} is named {word!r}: {hint}`kerneld causes` lists them")


def moment(text: str | None, option: str) -> datetime | None:
    """The moment that an option names, in this machine's zone."""
    from datetime import UTC

    from kerneld.cli.terminal import local_zone
    from kerneld.cli.when import parse_when

    if text is None:
        return None
    return parse_when(text, now=datetime.now(UTC), zone=local_zone(), option=option)
