"""How often stacks may be taken: 1 % of a core for all kernels, and a short burst for one in haste."""

from dataclasses import dataclass, field

SHARE = 0.01
WINDOW_S = 600.0
SAVED_CPU_S = SHARE * WINDOW_S / 2
"""half of a window's share is saved up and half comes in: no window ever costs more than the share"""
REFILL_CPU_S = SHARE / 2
BURST_DUMPS, BURST_GAP_S, STEADY_GAP_S = 100, 0.05, 1.0
"""20 a second for 5 s, then 1 a second"""
FAST_SHARE_PER_S = 0.05
"""of its headroom: in 20 s it is at its limit"""


@dataclass(slots=True)
class Budget:
    """CPU seconds for stacks, all kernels together: saved up while none is taken."""

    now_s: float
    saved_cpu_s: float = SAVED_CPU_S

    def spend(self, cpu_s: float) -> None:
        self.saved_cpu_s -= cpu_s

    def may_dump(self, now_s: float) -> bool:
        elapsed_s, self.now_s = max(0.0, now_s - self.now_s), now_s
        self.saved_cpu_s = min(SAVED_CPU_S, self.saved_cpu_s + elapsed_s * REFILL_CPU_S)
        return self.saved_cpu_s > 0


@dataclass(slots=True)
class Pace:
    """One kernel's: BURST_DUMPS at BURST_GAP_S while it grows fast, else one every STEADY_GAP_S."""

    now_s: float
    burst: float = field(default=BURST_DUMPS)
    dumped_s: float = float("-inf")

    def may_dump(self, now_s: float, *, fast: bool) -> bool:
        self.burst = min(BURST_DUMPS, self.burst + max(0.0, now_s - self.now_s) / STEADY_GAP_S)
        self.now_s = now_s
        gap_s = BURST_GAP_S if fast and self.burst >= 1 else STEADY_GAP_S
        return now_s - self.dumped_s >= gap_s

    def dumped(self, now_s: float) -> None:
        self.dumped_s = now_s
        self.burst = max(0.0, self.burst - 1)


def is_fast(growth_bytes_per_s: float, headroom_bytes: int | None) -> bool:
    """Without a known limit nothing is near it."""
    return headroom_bytes is not None and growth_bytes_per_s > FAST_SHARE_PER_S * headroom_bytes


# ---------------------------------------------------------------- a starved machine

STARVED_MEMORY_FULL = 20.0
STARVED_CPU_SOME = 95.0
STARVED_LOAD_PER_CPU = 8.0


def starved(memory_full: float | None, cpu_some: float | None, load_per_cpu: float) -> str:
    """Why no stacks are taken now; "" where they may be.

    memory_full, cpu_some: PSI's avg10 in percent, None where this Linux has no PSI. load_per_cpu:
    tasks that run or wait.

    A kernel near its own limit stalls itself, so a little memory pressure is the rule where stacks
    matter: a fifth of all time lost by everybody at once is a machine that thrashes. That some task
    waited for a CPU all the time is so on any busy machine; it starves where eight wait for each.
    """
    if memory_full is not None and memory_full >= STARVED_MEMORY_FULL:
        return f"everybody waited for memory {memory_full:.0f} % of the time"
    waits = cpu_some is None or cpu_some >= STARVED_CPU_SOME
    if waits and load_per_cpu >= STARVED_LOAD_PER_CPU:
        return f"{load_per_cpu:.0f} tasks a CPU waited for their turn"
    return ""
