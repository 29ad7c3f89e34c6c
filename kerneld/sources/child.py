"""A program into a child that can't weigh on the machine: limits, and no place before others."""

import os
import resource
from dataclasses import dataclass

ADDRESS_SPACE_BYTES = 1 << 30
_OOM_SCORE = b"500"
_ENVIRON = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What it may write into one file, how many it may open, for how many seconds of CPU it may run."""

    file_bytes: int
    files: int
    cpu_s: int | None = None

    def limits(self) -> tuple[tuple[int, int], ...]:
        cpu = () if self.cpu_s is None else ((resource.RLIMIT_CPU, self.cpu_s),)
        return (
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, self.files),
            *cpu,
        )


def spawn(program: str, arguments: list[str], bounds: Bounds, *, out: int, err: int | None) -> int:
    """Its pid. out, err: its outputs, err None for /dev/null. Raises OSError.

    Its rights are those that the calling thread has not given up: `limit_children`.
    """
    null = (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)
    pid = os.posix_spawn(
        program,
        arguments,
        _ENVIRON,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            null if err is None else (os.POSIX_SPAWN_DUP2, err, 2),
        ],
        setpgroup=0,
        scheduler=(os.SCHED_OTHER, os.sched_param(0)),  # not the collector's real-time turn
    )
    _bound(pid, bounds)
    return pid


def _bound(pid: int, bounds: Bounds) -> None:
    """At once after its start: a program between fork and exec would be Python with the GIL held."""
    try:
        for limit, most in bounds.limits():
            resource.prlimit(pid, limit, (most, most))
        if os.getpriority(os.PRIO_PROCESS, pid) < 0:
            os.setpriority(os.PRIO_PROCESS, pid, 0)
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as score:
            score.write(_OOM_SCORE)
    except OSError:
        pass  # it ended already
