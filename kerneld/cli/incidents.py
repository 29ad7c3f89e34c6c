"""`kerneld incidents`: what died, newest last."""

import gc
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerneld.cli.asking import (
    AsCsv,
    AsLines,
    Everything,
    Form,
    OfCategory,
    OfCause,
    OfKernel,
    OfNotebook,
    OfPid,
    OfUser,
    Since,
    Until,
    form_of,
    moment,
)
from kerneld.cli.options import AsJson, Configuration, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn

    from kerneld.cli.reading import Eyes
    from kerneld.cli.told import Told
    from kerneld.model.incident import Incident
    from kerneld.store import Query

PAGE = 50
LARGEST_NUMBER = 1_000_000_000
PACE_S = 1.0


def command(
    since: Since = None,
    until: Until = None,
    cause: OfCause = None,
    category: OfCategory = None,
    user: OfUser = None,
    notebook: OfNotebook = None,
    kernel: OfKernel = None,
    pid: OfPid = None,
    number: Annotated[
        int | None,
        typer.Option(
            "-n", metavar="N", min=1, max=LARGEST_NUMBER, show_default=False,
            help="The newest N (a table: 50; JSON and CSV: all).",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Newest first.")] = False,
    everything: Everything = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Then tell each further one as it settles.")
    ] = False,
    as_json: AsJson = False,
    as_jsonl: AsLines = False,
    as_csv: AsCsv = False,
    db: Database = None,
    config_file: Configuration = None,
) -> None:  # fmt: skip
    """List what died and why, newest last.

    CAUSE ends in ? where it is only possible, and in … while the verdict is not settled. Times
    are local. What was asked for (shutdowns, restarts) is listed with --all only.

    \b
    Examples:
      kerneld incidents --since 2d --category memory
      kerneld incidents --user alice --csv > alice.csv
      kerneld incidents --follow --jsonl
    """
    from kerneld.cli.asking import category_named, cause_named
    from kerneld.errors import UsageError
    from kerneld.store import Query

    form = form_of(as_json=as_json, as_jsonl=as_jsonl, as_csv=as_csv)
    if follow and (form == "json" or reverse):
        raise UsageError("--follow goes with the table, --jsonl or --csv, and not with --reverse")
    query = Query(
        since=moment(since, "--since"),
        until=moment(until, "--until"),
        cause=cause_named(cause),
        category=category_named(category),
        user=user,
        notebook=notebook,
        kernel=kernel,
        pid=pid,
        limit=number or (PAGE if form == "text" else None),
        reverse=reverse,
        all=everything,
    )
    _answer(query, form, follow=follow, db=db, config_file=config_file)


def _answer(
    query: "Query", form: Form, *, follow: bool, db: Path | None, config_file: Path | None
) -> None:
    from itertools import chain

    from kerneld.cli.reading import asking, eyes
    from kerneld.cli.terminal import say
    from kerneld.errors import NothingFound
    from kerneld.outputs import csv

    # a table shows no code: it needs no configuration to know what this reader may see
    seen = eyes(config_file) if form != "text" or config_file else None
    with asking(db) as told:
        settled = told.following() if follow else None
        is_bounded = query.limit is not None or query.reverse
        found = iter(told.find(query) if is_bounded else told.each(query))
        first = next(found, None)
        if form == "csv" and (first or follow):
            say(csv.header())
        if first or form == "json":
            say(_told(chain([first] if first else [], found), form, seen))
        if settled is not None:
            _follow(told, query, form, seen, settled=settled)
        if not first:
            raise NothingFound("no incident fits; --all counts ends that were asked for, too")


def _follow(
    told: "Told",
    query: "Query",
    form: Form,
    seen: "Eyes | None",
    *,
    settled: "Callable[[], list[Incident]]",
) -> "NoReturn":
    """For ever: what settles from now on and fits, a line each."""
    from kerneld.cli.reading import tell_unread
    from kerneld.cli.terminal import say, view
    from kerneld.outputs.incidents import followed_line

    gc.enable()
    while True:
        fresh = settled()
        for place in told.places:
            tell_unread(place)
        for incident in _that_fit(told, query, fresh):
            if form == "text":
                say(followed_line(incident, view()))
            else:
                say(_told([incident], form, seen))
        time.sleep(PACE_S)


def _told(found: "Iterable[Incident]", form: Form, seen: "Eyes | None") -> "Iterator[str]":
    """A list in its form; the header of CSV was told before."""
    from kerneld.cli.terminal import view
    from kerneld.outputs import csv, json
    from kerneld.outputs.incidents import incidents_table

    if form == "text":
        yield incidents_table([*found], view())
        return
    shown = (seen(incident, incident.user.uid) if seen else incident for incident in found)
    if form == "json":
        yield from json.array(shown)
    else:
        yield from map(json.line if form == "jsonl" else csv.line, shown)


def _that_fit(told: "Told", query: "Query", settled: "list[Incident]") -> "list[Incident]":
    """Those of the newly settled that the query asks for; the store alone knows what fits."""
    if not settled:
        return []
    first, last = (pick(incident.died_at for incident in settled) for pick in (min, max))
    window = replace(
        query,
        since=max(first, query.since or first),
        until=min(last + timedelta(microseconds=1), query.until or datetime.max.replace(tzinfo=UTC)),
        limit=None,
    )
    fitting = {incident.uuid for incident in told.find(window)}
    return [incident for incident in settled if incident.uuid in fitting]
