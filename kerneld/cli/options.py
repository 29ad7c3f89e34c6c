"""What several verbs take: where to read, and in which form to answer."""

from pathlib import Path
from typing import Annotated

import typer

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

Database = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="This database, not the usual one.", show_default=False),
]  # fmt: skip
Configuration = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Use this configuration.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
