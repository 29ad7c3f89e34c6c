"""`kerneld metrics`: what Prometheus scrapes, and the dashboard and alert rules that go with it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kerneld.cli.options import Configuration, Database


class Wanted(StrEnum):
    SHOW = "show"
    RULES = "rules"
    DASHBOARD = "dashboard"


FILES = {Wanted.RULES: "alerts.yml", Wanted.DASHBOARD: "grafana.json"}


def command(
    wanted: Annotated[
        Wanted,
        typer.Argument(metavar="show|rules|dashboard", show_default=False, help="What to print: show."),
    ] = Wanted.SHOW,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Print the metrics, or what goes with them.

    The metrics are those of the page's /metrics: without the page, a timer can write them into
    the folder of node_exporter's textfile collector. `rules` prints alert rules for Prometheus,
    `dashboard` a dashboard for Grafana to import.

    \b
    Examples:
      kerneld metrics rules > /etc/prometheus/kerneld.yml
      kerneld metrics dashboard > kerneld.json
    """
    from importlib.resources import files

    from kerneld.cli.terminal import say

    if wanted is Wanted.SHOW:
        say(_told(db, config_file))
    else:
        say((files("kerneld") / "data" / FILES[wanted]).read_text("utf-8"))


def _told(db: Path | None, config_file: Path | None) -> str:
    from datetime import UTC, datetime

    from kerneld.cli.reading import configuration, places, reading
    from kerneld.figures import figures_of
    from kerneld.outputs.metrics import exposition

    names_users = configuration(config_file).metrics.users
    with reading(db) as store:
        figures = figures_of(store, places(db).live, datetime.now(UTC), names_users=names_users)
    return exposition(figures).text
