"""`kerneld causes`: the closed vocabulary, what proves each cause and what helps."""

from typing import Annotated

import typer

from kerneld.cli.options import AsJson


def command(
    cause: Annotated[
        str | None, typer.Argument(metavar="CAUSE", show_default=False, help="Tell all of this one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what each cause means, what proves it, and what helps.

    The names are a contract: they stand in the database, in JSON and in the metrics.

    \b
    Examples:
      kerneld causes
      kerneld causes oom-cgroup
    """
    from kerneld.cli.asking import cause_named
    from kerneld.cli.terminal import say, view
    from kerneld.outputs import json
    from kerneld.outputs.causes import cause_page, causes_data, causes_table

    one = cause_named(cause)
    if as_json:
        say(json.plain([row for row in causes_data() if one is None or row["cause"] == one]))
    elif one is not None:
        say(cause_page(one, view()))
    else:
        say(causes_table(view()))
