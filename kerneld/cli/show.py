"""`kerneld show`: the whole story of one incident."""

from typing import Annotated

import typer

from kerneld.cli.options import AsJson, Configuration, Database


def command(
    ref: Annotated[
        str, typer.Argument(metavar="ID|latest", help="Its number, its uuid, or the newest one.")
    ] = "latest",
    as_json: AsJson = False,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Tell the whole story of one incident.

    First what killed it and the numbers, then the memory before the death, the cell with the
    guilty line marked, the stack, what to do about it; last what proves it, what speaks against
    it, and what could not be looked at.

    \b
    Examples:
      kerneld show latest
      kerneld show 43 --json
    """
    from kerneld.cli.reading import asking, eyes
    from kerneld.cli.terminal import say, view
    from kerneld.errors import NothingFound
    from kerneld.outputs import json
    from kerneld.outputs.story import story

    with asking(db) as told:
        try:
            incident = told.get(ref)
        except NothingFound:
            if as_json:
                say("[]\n")
            raise
    seen = eyes(config_file)(incident, incident.user.uid)
    say(json.document(seen) if as_json else story(seen, view()))
