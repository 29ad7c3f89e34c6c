"""`kerneld kernels`: what is being watched now."""

from pathlib import Path
from typing import Annotated

import typer

from kerneld.cli.options import AsJson, Configuration, Database

PACE_S = 2.0
"""the daemon writes the living this often"""

_HOME_AND_CLEAR = "\x1b[H\x1b[J"


def command(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Tell again every 2 s.")] = False,
    as_json: AsJson = False,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """List the kernels that live now.

    With their state, memory, limit and growth, and for how long a cell runs. The one that holds
    most is last, nearest to the prompt.

    \b
    Examples:
      kerneld kernels
      kerneld kernels --watch
    """
    import gc
    import sys
    import time

    from kerneld.cli.reading import configuration
    from kerneld.cli.terminal import say
    from kerneld.errors import UsageError

    if watch and as_json:
        raise UsageError("--watch and --json exclude each other: leave one out")
    if config_file is not None:
        configuration(config_file)
    if not watch:
        say(_told(db, as_json=as_json))
        return
    gc.enable()
    clear = _HOME_AND_CLEAR if sys.stdout.isatty() else ""
    say(clear + _told(db, as_json=False))
    while True:
        time.sleep(PACE_S)
        say(clear + _told_or_why(db))


def _told(db: Path | None, *, as_json: bool) -> str:
    from kerneld.cli.reading import living, silence
    from kerneld.cli.terminal import say, view
    from kerneld.errors import NothingFound
    from kerneld.outputs import json
    from kerneld.outputs.kernels import kernels_table
    from kerneld.outputs.units import when

    eye = view()
    heard = living(db)
    runs = heard.is_running(eye.now)
    if runs and heard.states:
        return "".join(json.array(heard.states)) if as_json else kernels_table(heard.states, eye)
    if as_json:
        say("[]\n")
    if runs:
        raise NothingFound("no kernel lives")
    holds = silence(db, heard, eye.now)[1]
    if holds:
        raise NothingFound(f"what lives can't be told: {holds}; `kerneld doctor` looks into it")
    last = f"; one was last heard {when(heard.at, eye)}" if heard.at else ""
    raise NothingFound(f"no recorder runs{last}: start it with `kerneld run`")


def _told_or_why(db: Path | None) -> str:
    """While watching, that nothing lives is an answer too."""
    from kerneld.errors import NothingFound

    try:
        return _told(db, as_json=False)
    except NothingFound as nothing:
        return f"{nothing}\n"
