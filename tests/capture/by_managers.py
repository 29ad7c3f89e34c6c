"""Ends by managers in a machine of its own into tests/cases: `python tests/capture/by_managers.py`.

As root, with earlyoom, nohang and slurmd on PATH; a job's time limit of a minute is waited for. A
case that got another verdict than the right one, or tells of this machine, is not written, and told on
stderr.
"""

import json
import socket
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDERS = (HERE.parent / "live", HERE, HERE.parent / "system", HERE.parent / "unit")
sys.path[:0] = map(str, FOLDERS)

from capture import write  # noqa: E402
from machine import PID_1, Machine  # noqa: E402
from managed import AT_LENGTH, PLAYS, play  # noqa: E402
from recorders import KEEPING  # noqa: E402
from wanted import CERTAIN, LIKELY, POSSIBLE  # noqa: E402

from kerneld.model.vocabulary import Cause  # noqa: E402

DATABASE = "/var/lib/kerneld/kerneld.db"
WANTED = (
    ("oom_daemon/hit", "earlyoom", Cause.OOM_DAEMON, CERTAIN),
    ("oom_daemon/hit_nohang", "nohang", Cause.OOM_DAEMON, CERTAIN),
    ("oom_daemon/near_miss_forged", "forged-line", Cause.KILLED, POSSIBLE),
    ("killed_by_manager/hit", "watchdog", Cause.KILLED_BY_MANAGER, CERTAIN),
    ("killed_by_manager/hit_time_limit", "time-limit", Cause.KILLED_BY_MANAGER, LIKELY),
    ("oom_daemon/hit_slurm", "slurm-memory", Cause.OOM_DAEMON, LIKELY),
    ("oom_daemon/near_miss_slurm_preempted", "slurm-preempted", Cause.KILLED_BY_MANAGER, LIKELY),
    ("killed_by_manager/hit_slurm_preempted", "slurm-preempted", Cause.KILLED_BY_MANAGER, LIKELY),
    ("killed_by_manager/hit_slurm_time_limit", "slurm-time-limit", Cause.KILLED_BY_MANAGER, LIKELY),
    ("killed_by_manager/near_miss_slurm_cancelled", "slurm-cancelled", Cause.SERVER_STOPPED, LIKELY),
    ("killed_by_manager/near_miss_stopped", "stuck", Cause.SERVER_STOPPED, CERTAIN),
    ("unit_stopped/hit", "stuck", Cause.SERVER_STOPPED, CERTAIN),
    ("unit_stopped/near_miss_time_limit", "time-limit", Cause.KILLED_BY_MANAGER, LIKELY),
)


def main() -> int:
    wrong = 0
    with (
        tempfile.TemporaryDirectory(prefix="kerneld-") as folder,
        Machine(Path(folder) / "machine", PID_1) as machine,
    ):
        machine.run("hostname", "laboratory")
        machine.path("/run/keeping.py").write_text(KEEPING)
        machine.drop_in("ExecStart=", f"ExecStart={sys.executable} /run/keeping.py")
        ends = play(machine, PLAYS | AT_LENGTH)
        for file, name, cause, confidence in WANTED:
            words = ("export", ends[name].uuid, "--case", "--redact", "--db", DATABASE)
            document = json.loads(machine.run(sys.executable, "-m", "kerneld", *words))
            expect = {"cause": cause.value, "confidence": confidence.value}
            problem = f"got {document['expect']}, and right is {expect}"
            if document["expect"] == expect:
                how = {"command": "python tests/capture/by_managers.py", "scenario": name}
                document["header"] |= how | {"seen_by": "service"}
                problem = write(
                    file, document, {socket.gethostname(), folder, "/work", "/opt", "/root"}
                )
            if problem:
                wrong += 1
                print(f"{file}: {problem}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
