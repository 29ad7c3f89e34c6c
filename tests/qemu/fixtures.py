"""What a smoke run kept into fixtures: `python tests/qemu/fixtures.py FOLDER [CASE…]`.

It takes what `python tests/qemu/smoke.py --capture FOLDER` kept. Trees and the Linux log go to
tests/captured, cases to tests/cases, or those cases alone; one with another verdict than the right
one, by today's rules, or that tells of this machine, is not written. What a plain user's daemon still
sees of an end, its status or its cgroup, is chance: such cases are of several runs.
"""

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "capture"), str(HERE.parent / "live"), str(HERE.parents[1])]

from capture import write  # noqa: E402
from jupyters import TOKEN  # noqa: E402

from kerneld.diagnose import diagnose  # noqa: E402
from kerneld.model.case import Case  # noqa: E402
from kerneld.model.vocabulary import Cause, Confidence  # noqa: E402

CAPTURED = HERE.parent / "captured"
COMMAND = "python tests/qemu/smoke.py --capture FOLDER"
CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE
LOGS = {
    "oom-memcg-v2-6.1": ("a kernel that fills the memory.max of a slice above its unit", "/team.slice"),
    "oom-group-6.1": (
        "a kernel that fills the memory.max of a unit with memory.oom.group",
        "oom-group",
    ),
}
TREES = {"idle": "ipykernel-v2", "zombie": "ipykernel-v2-zombie"}
AROUND_AN_OOM = ("before-oom", "after-oom")
PRIVATE = {TOKEN, "/work", "/root"}


@dataclass(frozen=True)
class Row:
    file: str
    life: str
    role: str
    cause: Cause
    confidence: Confidence


ROWS = (
    Row("oom_cgroup/hit_v2_ancestor", "oom-ancestor", "service", Cause.OOM_CGROUP, CERTAIN),
    Row("oom_cgroup/hit_v2_own", "oom-own", "service", Cause.OOM_CGROUP, CERTAIN),
    Row("oom_cgroup/hit_v2_group", "oom-group", "service", Cause.OOM_CGROUP, CERTAIN),
    Row("oom_cgroup/hit_v2_group_server", "oom-group-server", "service", Cause.OOM_CGROUP, CERTAIN),
    Row("oom_cgroup_counters/hit_v2", "oom-own", "plain", Cause.OOM_CGROUP, LIKELY),
    Row("oom_cgroup_counters/hit_v2_stopped", "oom-ancestor", "plain", Cause.OOM_CGROUP, LIKELY),
    Row("unknown/hit_v2_reaped", "oom-group", "plain", Cause.UNKNOWN, POSSIBLE),
    Row("oom_cgroup_counters/hit_v2_lost", "oom-ancestor", "plain", Cause.OOM_CGROUP, POSSIBLE),
    Row("oom_cgroup_counters/near_miss_v2_stopped", "restarted", "plain", Cause.SHUTDOWN, POSSIBLE),
    Row("killed/hit_v2_unread", "oom-ancestor", "plain", Cause.KILLED, POSSIBLE),
    Row("oom_cgroup_counters/near_miss_v2_killed", "killed", "plain", Cause.KILLED, POSSIBLE),
    Row("killed_by_manager/hit_oom_beside", "restarted", "service", Cause.KILLED_BY_MANAGER, CERTAIN),
    Row("killed_by_manager/hit_oom_server", "server", "service", Cause.KILLED_BY_MANAGER, LIKELY),
    Row("server_stopped/hit_unit_stopped", "stopped-own", "service", Cause.SERVER_STOPPED, LIKELY),
    Row("unit_stopped/hit_v2", "stopped", "service", Cause.SERVER_STOPPED, CERTAIN),
    Row("oom_daemon/hit_v2", "oomd", "service", Cause.OOM_DAEMON, CERTAIN),
    Row("server_stopped/near_miss_oom", "oom-ancestor", "plain", Cause.OOM_CGROUP, LIKELY),
    Row("segfault/hit_6_1", "segfault", "service", Cause.SEGFAULT, CERTAIN),
)


def main(folder: Path, chosen: set[str]) -> int:
    lives = {life["name"]: life["pid"] for life in json.loads((folder / "lives.json").read_text())}
    if not chosen:
        _keep_trees(folder)
        _keep_logs(folder, lives)
    rows = [row for row in ROWS if not chosen or row.file in chosen]
    problems = [problem for row in rows if (problem := _keep_case(folder, lives, row))]
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


def _keep_trees(folder: Path) -> None:
    for name, kept in TREES.items():
        shutil.rmtree(CAPTURED / "proc" / kept, ignore_errors=True)
        shutil.copytree(folder / name, CAPTURED / "proc" / kept, symlinks=True)
    around = CAPTURED / "proc/oom-v2"
    shutil.rmtree(around, ignore_errors=True)
    for name in AROUND_AN_OOM:
        shutil.copytree(folder / name / "cgroup", around / name.removesuffix("-oom") / "cgroup")


def _keep_logs(folder: Path, lives: dict[str, int]) -> None:
    records = (folder / "kmsg.txt").read_text(errors="surrogateescape")
    release = re.search(r"Linux version (\S+)", records)
    origin = f"# Linux {release[1] if release else '6.1'} x86_64, Debian 12, cgroup v2, by {COMMAND}\n"
    reports = re.findall(
        r"^4,[^\n]* invoked oom-killer: .*?(?=^4,[^\n]* invoked oom-killer|\Z)", records, re.M | re.S
    )
    for name, (what, owner) in LOGS.items():
        report = next(text for text in reports if "oom_memcg=" in text and owner in text)
        told = [row for row in report.splitlines(keepends=True) if not row.startswith((" ", "\t"))]
        last = max(i for i, row in enumerate(told) if "Killed process" in row)
        how = f"# raw records of /dev/kmsg, one read each: {what}\n"
        text = origin + how + "".join(told[: last + 1])
        (CAPTURED / f"kmsg/{name}.txt").write_text(text, errors="surrogateescape")
    fault = next(row for row in records.splitlines() if f"[{lives['segfault']}]: segfault at" in row)
    how = "# raw records of /dev/kmsg, one read each, after: ctypes.string_at(0) in a cell\n"
    (CAPTURED / "kmsg/segfault-6.1.txt").write_text(f"{origin}{how}{fault}\n")


def _keep_case(folder: Path, lives: dict[str, int], row: Row) -> str:
    """Why it can't be kept; "" if it was."""
    documents = json.loads((folder / f"cases-{row.role}.json").read_text())
    found = [one for one in documents if one["case"]["process"]["key"]["pid"] == lives[row.life]]
    if len(found) != 1:
        return f"{row.file}: {len(found)} cases of {row.life}"
    document = found[0]
    verdict = diagnose(Case.model_validate(document["case"])).verdict
    if (verdict.cause, verdict.confidence) != (row.cause, row.confidence):
        return f"{row.file}: got {verdict.cause}, {verdict.confidence}: {verdict.because}"
    document["expect"] = {"cause": row.cause.value, "confidence": row.confidence.value}
    document["header"] |= {"command": COMMAND, "scenario": row.life, "seen_by": row.role}
    return write(row.file, document, PRIVATE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), set(sys.argv[2:])))
