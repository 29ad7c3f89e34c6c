"""`kerneld run`: checks its options, then becomes the daemon."""

from typing import Annotated

import typer

from kerneld.cli.options import Configuration, Database


def command(
    config_file: Configuration = None,
    db: Database = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start beside a system-wide recorder.")
    ] = False,
) -> None:
    """Record, in the foreground.

    As a service manager wants it: says one line on stderr when it is ready, and on a terminal one
    line for each incident as it settles. As root it watches the whole machine, else the kernels
    of the user who starts it. It ends on SIGTERM and SIGINT, and keeps what it had not finished
    for the next start.

    \b
    Examples:
      kerneld run
      kerneld run --config ./kerneld.toml --db ~/try.db
    """
    import os
    import sys

    from kerneld.config import load_given

    words = [sys.executable, "-m", "kerneld.daemon"]
    if config_file is not None:
        load_given(config_file)
        words += ["--config", str(config_file)]
    if db is not None:
        words += ["--db", str(db)]
    if force:
        words.append("--force")
    # the daemon is a program of its own: what the command line has imported shall not stay in memory
    os.execv(sys.executable, words)
