"""Logs with the events that they state, and how a reader of logs is held against them.

A folder has one file a case and `cases.jsonl`; what its lines hold: tests/captured/logs/README.md.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kerneld.outputs.scan import json_line
from kerneld.scan.files import blocks
from kerneld.scan.reader import LogReader

Event = dict[str, Any]
SIGNALS = {"SIGTERM": 15, "SIGKILL": 9, "SIGSEGV": 11, "SIGABRT": 6, "SIGBUS": 7, "SIGSYS": 31}
ADDRESSES = {"fault_addr", "ip"}
OOM = {"oom_global", "oom_memcg"}


CAPTURED = Path(__file__).parent.parent / "captured" / "logs"
NAMED = os.environ.get("KERNELD_LOGS", "")


def folders() -> list[Path]:
    """The folder that the environment names, and the one of this repository if it is there."""
    found = [Path(NAMED)] if NAMED else []
    return [*found, *([CAPTURED] if (CAPTURED / "cases.jsonl").exists() else [])]


def cases(folder: Path) -> list[dict[str, Any]]:
    with (folder / "cases.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def scanned(path: Path) -> list[Event]:
    """What `kerneld scan --json` prints for a file."""
    reader = LogReader(zone=UTC, latest=datetime.now(UTC), source_file=str(path))
    events = [event for block in blocks(str(path)) if block for event in reader.feed(block)]
    return [json.loads(json_line(event)) for event in [*events, *reader.close()]]


def mistakes(case: dict[str, Any], found: list[Event]) -> list[str]:
    """Why a case is not read right; empty where it is."""
    fair = case.get("fair", {})
    stated: list[Event] = case["events"]
    left = list(found)
    wrong: list[str] = []
    for event in stated:
        fitting = [got for got in left if _is_same(event, got, fair)]
        told = fitting or [got for got in found if _is_same(event, got, fair)]
        if not told:
            if not _may_lack(event, found, fair, stated):
                wrong.append(f"not told: {event}")
            continue
        differences = [list(_differences(event, got)) for got in told]
        best = min(range(len(told)), key=lambda index: len(differences[index]))
        wrong += [f"{event['kind']} {event.get('pid')}: {what}" for what in differences[best]]
        if fitting:
            left.remove(told[best])
    return wrong + [f"told beyond: {got}" for got in left if not _is_fair(got, stated, fair)]


def _is_same(event: Event, got: Event, fair: dict[str, Any]) -> bool:
    kinds = {event["kind"], *fair.get("kinds_also_fair", {}).get(event["kind"], [])}
    if fair.get("either_oom_kind") and event["kind"] in OOM:
        kinds |= OOM
    if got["kind"] not in kinds or (event["kind"] == "xid" and got["xid"] != event["xid"]):
        return False
    if event.get("pid") is None:
        return got["pid"] is None and ("comm" not in event or got["comm"] == event["comm"])
    return bool(got["pid"] == event["pid"])


def _may_lack(event: Event, found: list[Event], fair: dict[str, Any], stated: list[Event]) -> bool:
    """Records with one pid tell of one death, and once is enough."""
    if any(event["kind"] == each.get("kind", each) for each in fair.get("not_required", [])):
        return True
    pid = event.get("pid")
    told_else = [got for got in found if pid is not None and got["pid"] == pid]
    return any(_is_same(other, got, fair) for got in told_else for other in stated)


def _differences(event: Event, got: Event) -> Iterator[str]:
    for key, expected in event.items():
        if key == "kind":
            continue
        actual = got[key]
        if key in ADDRESSES:
            same = actual is not None and int(str(actual), 16) == int(str(expected), 16)
        elif key == "signal":
            same = actual == SIGNALS.get(expected, expected)
        else:
            same = actual == expected
        if not same:
            yield f"{key} is {actual!r}, not {expected!r}"


def _is_fair(got: Event, stated: list[Event], fair: dict[str, Any]) -> bool:
    """A further record of a death that is stated, or one that the case tolerates."""
    if any(_is_same(event, got, fair) for event in stated):
        return True
    tolerated = fair.get("tolerated")
    if not tolerated or got["kind"] not in tolerated["kinds"]:
        return False
    return tolerated["pid"] is None or got["pid"] == tolerated["pid"]
