"""What this process may do: its effective capabilities, and so whether it watches one user or all."""

import ctypes
import os
from collections.abc import Collection
from enum import IntEnum

_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER = 24, 47, 3
_LAST_CAPABILITY = 63
_libc = ctypes.CDLL(None, use_errno=True)


class Capability(IntEnum):
    """The four that a system-wide kerneld asks for; numbers of linux/capability.h."""

    DAC_READ_SEARCH = 2
    NET_ADMIN = 12
    SYS_PTRACE = 19
    SYSLOG = 34


def effective_capabilities(proc_root: str = "/proc") -> frozenset[Capability]:
    """The capabilities of `Capability` that this process has in effect."""
    with open(f"{proc_root}/self/status", "rb") as status:
        line = next(line for line in status if line.startswith(b"CapEff:"))
    mask = int(line.split()[1], 16)
    return frozenset(c for c in Capability if mask >> c & 1)


def limit_children(kept: Collection[Capability]) -> None:
    """What the calling thread starts from now on has these at most; the thread keeps its own.

    Ambient and bounding sets belong to a thread. Refused (no CAP_SETPCAP, a capability that this
    Linux does not know): then a child has none beyond the ambient ones.
    """
    for number in range(_LAST_CAPABILITY + 1):
        if number not in kept:
            _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, number, 0, 0)
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def ptrace_scope(proc_root: str = "/proc") -> int:
    """Yama's kernel.yama.ptrace_scope; 0 where there is no Yama."""
    try:
        with open(f"{proc_root}/sys/kernel/yama/ptrace_scope", "rb") as scope:
            return int(scope.read())
    except (OSError, ValueError):
        return 0


def watches_everybody() -> bool:
    """Root, and a service user that may read everybody's files, watch the whole machine."""
    return os.geteuid() == 0 or Capability.DAC_READ_SEARCH in effective_capabilities()
