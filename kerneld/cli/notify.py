"""`kerneld notify`: incidents told outside, and whether that works."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kerneld.cli.options import Configuration, Database


class Deed(StrEnum):
    RUN = "run"
    TEST = "test"


def command(
    deed: Annotated[Deed, typer.Argument(metavar="run|test", show_default=False, help="What to do.")],
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Tell incidents outside, as they settle.

    Each table [notify.NAME] of the configuration says which, and where to: a program, a webhook
    (JSON, Slack, ntfy), the desktop. `run` does so in the foreground, as a service manager wants
    it; what can't be delivered is tried again for a week. `test` sends a test by every rule, and
    says what came of it; its exit status is 1 where one failed.

    \b
    Examples:
      kerneld notify test
      kerneld notify run --config ./kerneld.toml
    """
    if deed is Deed.TEST:
        _test(config_file)
        return
    import os
    import sys

    words = [sys.executable, "-m", "kerneld.notify"]
    words += [] if config_file is None else ["--config", str(config_file)]
    words += [] if db is None else ["--db", str(db)]
    os.execv(sys.executable, words)


def _test(config_file: Path | None) -> None:
    import os
    import uuid

    from kerneld.cli.reading import configuration, places
    from kerneld.cli.terminal import complain, say
    from kerneld.errors import NothingFound
    from kerneld.notify.delivery import deliver
    from kerneld.outputs.notice import trial

    rules = configuration(config_file).notify
    if not rules:
        file = config_file or places().config
        raise NothingFound(f"{file} has no [notify.NAME]: config.example.toml shows one")
    failed = 0
    for name, rule in rules.items():
        outcome = deliver(rule, trial(name, os.uname().nodename, str(uuid.uuid4())))
        failed += bool(outcome.problem)
        if outcome.problem:
            complain(f"{name}: {outcome.problem}")
        else:
            say(f"{name}: delivered\n")
    raise typer.Exit(int(failed > 0))
