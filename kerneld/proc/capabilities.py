"""What this process may do: its effective capabilities, and so whether it watches one user or all."""

import os
from enum import IntEnum


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


def watches_everybody() -> bool:
    """Root, and a service user that may read everybody's files, watch the whole machine."""
    return os.geteuid() == 0 or Capability.DAC_READ_SEARCH in effective_capabilities()
