"""How starved the machine is: pressure stall information, where Linux keeps it, and the load."""

import os
from dataclasses import dataclass

from kerneld.parse.pressure import parse_load, parse_pressure


@dataclass(frozen=True, slots=True)
class Pressure:
    """memory_full, cpu_some: percent of the last 10 s; None: this Linux has no PSI."""

    memory_full: float | None
    cpu_some: float | None
    load_per_cpu: float


def read_pressure(proc_root: str = "/proc") -> Pressure:
    load = parse_load(_read(f"{proc_root}/loadavg"))
    return Pressure(
        memory_full=parse_pressure(_read(f"{proc_root}/pressure/memory")).get("full"),
        cpu_some=parse_pressure(_read(f"{proc_root}/pressure/cpu")).get("some"),
        load_per_cpu=load / (os.cpu_count() or 1),
    )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(512) or b""
    except OSError:
        return b""
