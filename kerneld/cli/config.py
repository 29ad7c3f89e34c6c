"""`kerneld config`: each effective value with its origin; a file checked; where it is looked for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kerneld.cli.options import AsJson, Configuration


class Deed(StrEnum):
    SHOW = "show"
    CHECK = "check"
    PATH = "path"


def command(
    deed: Annotated[
        Deed, typer.Argument(metavar="show|check|path", show_default=False, help="What to do: show.")
    ] = Deed.SHOW,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", show_default=False, help="The file to check.")
    ] = None,
    config_file: Configuration = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting and where it comes from.

    The value that holds, and the file it stands in, or `default`.

    `check` reads FILE, or the usual one, and says what is wrong in it; its exit status is 78 then.
    `path` prints where the configuration is looked for.

    \b
    Examples:
      kerneld config
      kerneld config check ./kerneld.toml
    """
    import os

    from kerneld.cli.reading import places
    from kerneld.cli.terminal import say
    from kerneld.config import load_given
    from kerneld.errors import UsageError
    from kerneld.outputs import json

    if file is not None and deed is not Deed.CHECK:
        raise UsageError(f"`config {deed.value}` takes no FILE; give it with --config {file}")
    path = file or config_file or places().config
    found = {"path": str(path), "exists": os.path.exists(path)}
    if deed is Deed.PATH:
        say(json.plain(found) if as_json else f"{path}\n")
        return
    if deed is Deed.CHECK:
        missing = file is None and config_file is None and not found["exists"]
        if not missing:
            load_given(path)
        word = "no such file: the defaults hold" if missing else "valid"
        say(json.plain({**found, "valid": True}) if as_json else f"{path}: {word}\n")
        return
    _show(path, is_given=config_file is not None, as_json=as_json)


def _show(path: Path, *, is_given: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from kerneld.cli.reading import mode_of_reader
    from kerneld.cli.terminal import say, view
    from kerneld.config import effective, load, load_given, toml
    from kerneld.outputs import json
    from kerneld.outputs.settings import settings_table

    config = load_given(path) if is_given else load(path)
    rows = effective(config, path, mode_of_reader())
    if as_json:
        say(json.plain([asdict(row) for row in rows]))
    else:
        say(settings_table([(row.key, toml(row.value), row.origin) for row in rows], view()))
