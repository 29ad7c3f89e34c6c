"""Every way to die into README's table: `python docs/make_table.py`, as root, in 2 minutes.

It plays what the live tests play, under three recorders' eyes, and writes what they said. With exit
status 1 something was told wrong, or not at all, and nothing is written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests" / "live")]

from memcg import LogWitness  # noqa: E402 - the path is set above
from report import Report, record  # noqa: E402
from rig import World  # noqa: E402
from test_causes import MANAGED, NO_LIVE  # noqa: E402
from ways import UNSEEN, WAYS, Way  # noqa: E402

from kerneld.model.incident import Incident  # noqa: E402
from kerneld.model.vocabulary import Cause  # noqa: E402

BEGIN, END = "<!-- written by docs/make_table.py -->\n", "<!-- end -->"
HEAD = """| front end | how the test did it | the service said | ms | a user's own recorder said |
|---|---|---|--:|---|
"""
LEFT_WITH_IT = {Cause.SHUTDOWN, Cause.SERVER_STOPPED}
"""what ends with its front end, a moment before or after it"""


def ends_of(report: Report, role: str, scenario: str) -> list[Incident]:
    """In the order of its processes; a pid may have had two."""
    pids = list(dict.fromkeys(life.pid for life in report.of(scenario)))
    extra = report.stage.extra.get(scenario, [])
    pids += extra if isinstance(extra, list) and scenario.startswith("worker") else []
    told = sorted(report.ends[role], key=lambda end: end.died_at)
    return [end for pid in pids for end in told if end.process.pid == pid]


def said(end: Incident | None) -> str:
    return f"`{end.cause}`, {end.confidence}" if end is not None else UNSEEN


def first_verdict_ms(end: Incident) -> float:
    return (end.recorded_at - end.died_at).total_seconds() * 1000


def row(way: Way, seen: Incident, own: Incident | None) -> str:
    ms = f"{first_verdict_ms(seen):.1f}"
    return f"| {way.front_end} | {way.how} | {said(seen)} | {ms} | {said(own)} |\n"


def rows(report: Report) -> Iterator[tuple[str, str]]:
    """Each way's row, and what is wrong with it."""
    for way in WAYS:
        if way.scenario not in report.lives:
            why = report.failed.get(way.scenario, "what it needs is not installed")
            yield "", f"{way.scenario} could not be played: {why!r}"
            continue
        seen = ends_of(report, "service", way.scenario)
        if len(seen) <= way.which:
            yield "", f"{way.scenario}: the service tells {len(seen)} ends"
            continue
        end = seen[way.which]
        right = LEFT_WITH_IT if way.cause in LEFT_WITH_IT else {way.cause}
        wrong = "" if end.cause in right else f"{way.scenario}: {way.cause} is right, not {said(end)}"
        yield row(way, end, _own(report, way, seen)), wrong


def _own(report: Report, way: Way, seen: list[Incident]) -> Incident | None:
    """The same end as the user's own recorder has it."""
    pid = seen[way.which].process.pid
    lives_before = sum(end.process.pid == pid for end in seen[: way.which])
    own = [end for end in ends_of(report, "plain", way.scenario) if end.process.pid == pid]
    return own[lives_before] if len(own) > lives_before else None


def unplayed() -> str:
    """The causes that no row can have."""
    managed = ", ".join(f"`{cause}`" for cause in MANAGED)
    told = [f"- {managed}: in a systemd of its own, `tests/system/test_unit_managers.py`.\n"]
    told += [f"- `{cause}`: {reason}.\n" for cause, reason in NO_LIVE.items()]
    return "Not in the table:\n\n" + "".join(told)


def main() -> int:
    world, log = World(), LogWitness()
    try:
        report = record(world, log, rounds=1)
    finally:
        log.close()
        world.remove()
    told = list(rows(report))
    wrong = [problem for _, problem in told if problem]
    table = HEAD + "".join(line for line, _ in told)
    if wrong:
        print(table, *wrong, sep="\n", file=sys.stderr)
        return 1
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}{table}\n{unplayed()}{END}{rest.partition(END)[2]}")
    print(f"{len(told)} ends, all right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
