"""`kerneld export`: incidents, or whole cases as test fixtures, to take elsewhere."""

from typing import TYPE_CHECKING, Annotated

import typer

from kerneld.cli.asking import (
    AsCsv,
    AsLines,
    Everything,
    Form,
    Since,
    Until,
    form_of,
    moment,
)
from kerneld.cli.options import Configuration, Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kerneld.cli.fixture import Fixture
    from kerneld.cli.reading import Eyes
    from kerneld.model.incident import Incident
    from kerneld.store import Store


def command(
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID…", show_default=False, help="These, by number or uuid. None: all."),
    ] = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    whole_case: Annotated[
        bool, typer.Option("--case", help="The evidence, as a fixture for kerneld's own tests.")
    ] = False,
    redacted: Annotated[
        bool, typer.Option("--redact", help="Without names of users and hosts, without code.")
    ] = False,
    as_jsonl: AsLines = False,
    as_csv: AsCsv = False,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Write incidents to stdout, in JSON, to keep or to send.

    With --case the evidence goes with it: kerneld judges it again, anywhere, to the same verdict.
    --redact takes out the names of users and hosts, the homes in paths and all code, and leaves
    what the verdict needs: such a file can go into a bug report. Read it before you send it.

    \b
    Examples:
      kerneld export 43 --case --redact > wrong-verdict.json
      kerneld export --since 30d --csv > november.csv
    """
    from itertools import chain

    from kerneld.cli.reading import eyes, reading
    from kerneld.cli.terminal import say
    from kerneld.errors import NothingFound, UsageError
    from kerneld.store import Query

    form = form_of(as_json=False, as_jsonl=as_jsonl, as_csv=as_csv)
    if whole_case and form == "csv":
        raise UsageError("--case and --csv exclude each other: a case is no row")
    if refs and (since or until):
        raise UsageError("give numbers, or --since and --until, not both")
    query = Query(since=moment(since, "--since"), until=moment(until, "--until"), all=everything)
    alone = whole_case and len(refs or []) == 1
    with reading(db) as store:
        found = [store.get(ref) for ref in refs] if refs else store.each(query)
        records = _records(store, found, eyes(config_file), whole_case=whole_case, redacted=redacted)
        first = next(records, None)
        if first is None:
            raise NothingFound("nothing to export: `kerneld incidents --all` lists what is known")
        say(_pieces(chain([first], records), form, alone=alone))


def _records(
    store: "Store", found: "Iterable[Incident]", seen: "Eyes", *, whole_case: bool, redacted: bool
) -> "Iterator[Incident | Fixture]":
    """As this reader may see them; a case whose evidence is gone is told and left out."""
    from kerneld.cli.fixture import fixture_of
    from kerneld.cli.terminal import complain
    from kerneld.model.vocabulary import CodePolicy
    from kerneld.outputs.redact import redact
    from kerneld.privacy import withhold

    for incident in found:
        record: Incident | Fixture = seen(incident, incident.user.uid)
        if whole_case:
            case = store.case(incident.uuid)
            if case is None:
                complain(f"the evidence of incident {incident.id} is not kept: left out")
                continue
            record = fixture_of(incident, seen(case, incident.user.uid))
        yield redact(withhold(record, CodePolicy.OFF)) if redacted else record


def _pieces(records: "Iterator[Incident | Fixture]", form: Form, *, alone: bool) -> "Iterator[str]":
    """One case that was asked for by its number is a file by itself; everything else is a list."""
    from kerneld.model.incident import Incident
    from kerneld.outputs import csv, json

    if form == "csv":
        yield csv.header()
        yield from (csv.line(record) for record in records if isinstance(record, Incident))
    elif form == "jsonl":
        yield from map(json.line, records)
    elif alone:
        yield from map(json.document, records)
    else:
        yield from json.array(records)
