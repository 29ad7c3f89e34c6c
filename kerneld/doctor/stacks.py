"""py-spy, tried on a Python that this process started: can a kernel's stack be read here?"""

import os
import select
import subprocess
import sys
import time

from kerneld.doctor.check import RUN_AS_ROOT, Check
from kerneld.errors import SourceUnavailable
from kerneld.parse.stacks import MAX_TEXT_BYTES, NoStacks, parse_stacks
from kerneld.sources.pyspy import DEADLINE_S, Dump, check_rights, find_py_spy

NAME = "Python stacks"
LOST_LINES = "Which line grew a kernel's memory stays unknown."
_READY_S = 5.0
_SLEEPER = "import sys; print(flush=True); sys.stdin.read()"


def python_stacks() -> Check:
    try:
        program = find_py_spy()
        check_rights()
        problem = _try(program)
    except SourceUnavailable as refusal:
        problem, remedy = refusal.reason, refusal.remedy
    except OSError as failure:
        problem, remedy = f"py-spy can't be started: {failure.strerror}", ""
    else:
        remedy = "" if os.geteuid() == 0 else RUN_AS_ROOT
    if not problem:
        return Check(name=NAME, works=True, says="py-spy read the stack of a Python")
    return Check(name=NAME, works=False, says=problem, costs=LOST_LINES, remedy=remedy)


def _try(program: str) -> str:
    """Why the stack of a Python that waits could not be read; "" where it could."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _SLEEPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as sleeper:
        try:
            assert sleeper.stdout is not None
            if not select.select([sleeper.stdout], [], [], _READY_S)[0]:
                return "a Python did not start"
            return _dump(program, sleeper.pid)
        finally:
            sleeper.kill()


def _dump(program: str, pid: int) -> str:
    dump = Dump(program, pid, time.monotonic())
    if not select.select([dump.pidfd], [], [], 5 * DEADLINE_S)[0]:
        dump.kill()
        dump.bury()
        return "py-spy was too slow"
    out, _ = dump.take()
    try:
        told = parse_stacks(os.pread(out, MAX_TEXT_BYTES, 0))
    finally:
        os.close(out)
    return told.reason if isinstance(told, NoStacks) else ""
