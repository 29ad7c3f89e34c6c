"""The theories of death, in the order in which equals win."""

from typing import Protocol

from kerneld.model.case import Case
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause
from kerneld.rules import (
    abort,
    allocation_failure,
    arithmetic_fault,
    bus_error,
    cpu_limit,
    culled,
    exit_call,
    file_size_limit,
    gpu_fault,
    hard_exit,
    hardware_memory_error,
    headless_end,
    host_restart,
    illegal_instruction,
    killed,
    killed_by_itself,
    killed_by_manager,
    killed_by_process,
    oom_cgroup,
    oom_cgroup_counters,
    oom_daemon,
    oom_host,
    oom_host_counters,
    oom_near_host,
    oom_near_limit,
    parent_died,
    pool_ended,
    restart,
    seccomp,
    segfault,
    server_stopped,
    shm_full,
    shutdown,
    stack_overflow,
    startup_failure,
    trap,
    unit_stopped,
    unknown,
)


class Rule(Protocol):
    """One theory of death: a module of this room.

    NEEDS: the kinds of evidence it looks at; those that could not be read become `blind`.
    REFINES: the causes that it tells more precisely: once it is likely it beats them.
    """

    @property
    def __name__(self) -> str: ...

    @property
    def NEEDS(self) -> tuple[str, ...]: ...

    @property
    def REFINES(self) -> frozenset[Cause]: ...

    def judge(self, case: Case) -> Verdict | None: ...


RULES: tuple[Rule, ...] = (
    oom_cgroup,
    oom_host,
    oom_daemon,
    hardware_memory_error,
    gpu_fault,
    segfault,
    stack_overflow,
    bus_error,
    shm_full,
    illegal_instruction,
    arithmetic_fault,
    abort,
    allocation_failure,
    trap,
    cpu_limit,
    file_size_limit,
    seccomp,
    startup_failure,
    parent_died,
    oom_cgroup_counters,
    oom_host_counters,
    killed_by_manager,
    killed_by_process,
    killed_by_itself,
    killed,
    exit_call,
    unit_stopped,
    server_stopped,
    culled,
    shutdown,
    restart,
    headless_end,
    pool_ended,
    hard_exit,
    oom_near_limit,
    oom_near_host,
    host_restart,
    unknown,
)
