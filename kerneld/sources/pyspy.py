"""py-spy as a child: bounded, its rights few, its words in a memory file, killed when late."""

import os
import select
import signal
import sysconfig

from kerneld.errors import SourceUnavailable
from kerneld.proc.capabilities import Capability, effective_capabilities, limit_children, ptrace_scope
from kerneld.sources.child import Bounds, spawn

NAME = "py-spy"
DEADLINE_S = 1.0
"""a dump takes 3 to 8 ms; a hundred times that, and the machine or the target is not to be trusted"""
RIGHTS = (Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH)
"""ptrace: another process's memory. dac_read_search: its interpreter may lie in a 0700 home"""
OUTPUT_BYTES = 4 << 20
_BOUNDS = Bounds(file_bytes=OUTPUT_BYTES, files=256, cpu_s=2)


def find_py_spy() -> str:
    """The binary beside this interpreter: nobody's PATH decides what runs with these rights.

    Raises SourceUnavailable.
    """
    path = f"{sysconfig.get_path('scripts')}/{NAME}"
    if not os.access(path, os.X_OK):
        python = f"{sysconfig.get_path('scripts')}/python"
        raise SourceUnavailable(f"{path} is not there", f"{python} -m pip install py-spy")
    return path


def check_rights(proc_root: str = "/proc") -> None:
    """Raises SourceUnavailable where no other process's memory may be read."""
    scope = ptrace_scope(proc_root)
    if scope == 0 or (scope < 3 and Capability.SYS_PTRACE in effective_capabilities(proc_root)):
        return
    reason = f"kernel.yama.ptrace_scope is {scope}: no other process's stack may be read"
    remedy = "sudo sysctl kernel.yama.ptrace_scope=0" if scope < 3 else ""
    raise SourceUnavailable(reason, remedy)


def leave_rights_behind() -> None:
    """Call once in the thread that starts dumps."""
    limit_children(RIGHTS)


class Dump:
    """One py-spy at work. When it is over, `take` or `bury` it. Raises OSError at its start."""

    def __init__(self, program: str, pid: int, now_s: float) -> None:
        self.began_s = now_s
        self._out = os.memfd_create("stacks", os.MFD_CLOEXEC)
        command = [NAME, "dump", "--nonblocking", "--json", "--pid", str(pid)]
        try:
            self._pid = spawn(program, command, _BOUNDS, out=self._out, err=self._out)
        except OSError:
            os.close(self._out)
            raise
        self.pidfd = os.pidfd_open(self._pid)

    def is_over(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def is_late(self, now_s: float) -> bool:
        return now_s - self.began_s > DEADLINE_S

    def kill(self) -> None:
        """It is over soon, unless a disk keeps it: nobody waits for that."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def take(self) -> tuple[int, float]:
        """What it wrote, as a descriptor that is the caller's now, and its CPU seconds."""
        return self._out, self._reap()

    def bury(self) -> float:
        """Nobody wants its words; its CPU seconds."""
        os.close(self._out)
        return self._reap()

    def _reap(self) -> float:
        os.close(self.pidfd)
        _, _, usage = os.wait4(self._pid, 0)
        return usage.ru_utime + usage.ru_stime
