"""`kerneld rejudge`: today's rules over stored cases."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kerneld.cli.options import AsJson, Configuration, Database

if TYPE_CHECKING:
    from kerneld.model.case import Case
    from kerneld.model.incident import Incident


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: AsJson = False,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Judge every stored case again, with the rules of this version.

    Where the verdict changes, the incident gets it, with a higher revision and a line in its
    story that says what was believed before. Cases whose evidence is no longer kept stay as
    they are.

    \b
    Examples:
      kerneld rejudge --dry-run
      kerneld rejudge
    """
    from datetime import UTC

    from kerneld.cli.reading import configuration, reading, writing
    from kerneld.cli.terminal import say
    from kerneld.outputs import json

    if config_file is not None:
        configuration(config_file)
    now = datetime.now(UTC)
    changes: list[dict[str, object]] = []
    with (reading if dry_run else writing)(db) as store:
        for incident in store.ends():
            case = store.case(incident.uuid)
            again = rejudged(incident, case, now) if case is not None else None
            if again is None:
                continue
            changes.append(_change(incident, again))
            if not dry_run:
                store.save_all([(again, None)])
    if as_json:
        say(json.plain(changes))
    elif not changes:
        say("every verdict stays\n")
    else:
        say(f"{row['id']}: {row['before']} -> {row['after']}\n" for row in changes)


def rejudged(incident: "Incident", case: "Case", now: datetime) -> "Incident | None":
    """The incident with today's verdict; None where it says the same."""
    from kerneld.advise import advise
    from kerneld.diagnose import diagnose
    from kerneld.model.incident import TimelineEntry
    from kerneld.model.vocabulary import CodePolicy
    from kerneld.privacy import withhold
    from kerneld.report import build_incident

    judgement = diagnose(case)
    verdict = judgement.verdict
    if (verdict.cause, verdict.confidence) == (incident.cause, incident.confidence):
        return None
    note = TimelineEntry(
        at=now,
        source="kerneld",
        text=f"judged again by newer rules; before: {incident.cause}, {incident.confidence}",
    )
    fresh = build_incident(
        case,
        judgement,
        now=now,
        state=incident.state,
        revision=incident.revision + 1,
        recorded_at=incident.recorded_at,
        settled_at=incident.settled_at,
    )
    notes = [entry for entry in incident.timeline if entry.source == "kerneld"]
    policy = incident.cell.code_policy if incident.cell else None
    fresh = fresh.model_copy(
        update={
            "id": incident.id,
            "advice": advise(case, judgement),
            "loop": incident.loop,
            "evidence_dropped": incident.evidence_dropped,
            "timeline": (*fresh.timeline, *notes, note),
        }
    )
    return withhold(fresh, CodePolicy(policy)) if policy else fresh


def _change(before: "Incident", after: "Incident") -> dict[str, object]:
    return {
        "id": before.id,
        "uuid": before.uuid,
        "before": f"{before.cause}, {before.confidence}",
        "after": f"{after.cause}, {after.confidence}",
        "revision": after.revision,
    }
