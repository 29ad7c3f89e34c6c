"""`kerneld prune`: what the retention settings no longer keep goes now."""

from typing import TYPE_CHECKING, Annotated

import typer

from kerneld.cli.options import AsJson, Configuration, Database

if TYPE_CHECKING:
    from kerneld.store import PruneReport


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Delete by age even where more than a tenth would go."),
    ] = False,
    as_json: AsJson = False,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Delete what the settings under [retention] no longer keep.

    The recorder does so by itself. A prune by age that would take more than a tenth deletes nothing
    until --yes, because clocks jump; limits of count and size always hold.

    \b
    Examples:
      kerneld prune --dry-run
      kerneld prune --yes
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from kerneld.cli.reading import configuration, reading, writing
    from kerneld.cli.terminal import say
    from kerneld.errors import KerneldError
    from kerneld.outputs import json

    limits = configuration(config_file).retention
    with (reading if dry_run else writing)(db) as store:
        report = store.prune(limits, datetime.now(UTC), dry_run=dry_run, confirmed=yes)
    say(json.plain(asdict(report)) if as_json else _told(report, dry_run=dry_run))
    if report.refused:
        raise KerneldError(report.refused)


def _told(report: "PruneReport", *, dry_run: bool) -> str:
    """`deleted 12 ends (9 by age, 3 by the limit of a user) and the evidence of 4`."""
    reasons = [
        f"{count} {reason}"
        for count, reason in (
            (report.by_age, "by age"),
            (report.by_user, "by the limit of a user"),
            (report.by_count, "by the limit of all"),
            (report.by_size, "by size"),
        )
        if count
    ]
    parts = [f"{report.ends} ends ({', '.join(reasons)})"] if report.ends else []
    if report.evidence:
        parts.append(f"the evidence of {report.evidence} more")
    if report.files:
        parts.append(f"{report.files} old files beside the database")
    if not parts:
        return "nothing is past its time or over a limit\n"
    return f"{'would delete' if dry_run else 'deleted'} {', '.join(parts)}\n"
