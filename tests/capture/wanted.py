"""Which death becomes which case, seen by whom, and the verdict that is right for it.

The verdicts are said here by hand, before the capture, and a case that got another one is not written.
"""

from dataclasses import dataclass

from kerneld.model.vocabulary import Cause, Confidence

CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE


@dataclass(frozen=True)
class Wanted:
    """file: below tests/cases. life: which of the scenario's. role: whose daemon saw it.

    traced: with the signal trace set up, in a round of its own.
    """

    file: str
    scenario: str
    cause: Cause
    confidence: Confidence
    role: str = "root"
    life: int = 0
    traced: bool = False


def _row(file: str, scenario: str, cause: Cause, confidence: Confidence, **more: object) -> Wanted:
    return Wanted(file, scenario, cause, confidence, **more)  # type: ignore[arg-type]


WANTED = (
    _row("oom_cgroup/hit", "oom-cgroup", Cause.OOM_CGROUP, CERTAIN),
    _row("oom_cgroup/hit_service", "oom-cgroup", Cause.OOM_CGROUP, CERTAIN, role="service"),
    _row("oom_cgroup/hit_at_once", "oom-at-once", Cause.OOM_CGROUP, CERTAIN),
    _row("oom_cgroup/hit_in_absence", "absent-oom", Cause.OOM_CGROUP, CERTAIN),
    _row("oom_cgroup/hit_worker", "worker-oom", Cause.OOM_CGROUP, CERTAIN, life=1),
    _row("oom_cgroup/hit_victim", "victim-of-a-hog", Cause.OOM_CGROUP, CERTAIN),
    _row("oom_cgroup/hit_container", "container", Cause.OOM_CGROUP, CERTAIN, life=2),
    _row("oom_cgroup/near_miss_gigabyte", "killed-gigabyte", Cause.KILLED, LIKELY),
    _row("oom_cgroup/near_miss_killed_before", "killed-past", Cause.KILLED, LIKELY),
    _row("oom_cgroup/near_miss_beside_another", "killed-beside", Cause.KILLED, POSSIBLE),
    _row("oom_host/near_miss_cgroup", "oom-cgroup", Cause.OOM_CGROUP, CERTAIN),
    _row("segfault/hit", "segfault", Cause.SEGFAULT, CERTAIN),
    _row("segfault/hit_library", "library", Cause.SEGFAULT, CERTAIN),
    _row("segfault/hit_wheel", "wheel", Cause.SEGFAULT, CERTAIN, role="service"),
    _row("segfault/hit_faulthandler", "faulthandler", Cause.SEGFAULT, CERTAIN),
    _row("segfault/hit_plain", "segfault", Cause.SEGFAULT, CERTAIN, role="plain"),
    _row("segfault/hit_headless", "headless-crash", Cause.SEGFAULT, CERTAIN),
    _row("segfault/hit_wrapped", "wrapped", Cause.SEGFAULT, CERTAIN),
    _row("segfault/hit_container", "container", Cause.SEGFAULT, CERTAIN, role="service"),
    _row("segfault/hit_in_absence", "absent-segfault", Cause.SEGFAULT, CERTAIN),
    _row("segfault/hit_worker", "worker-crashes", Cause.SEGFAULT, CERTAIN, life=1),
    _row("segfault/near_miss_handled", "xeus", Cause.HARD_EXIT, LIKELY),
    _row("stack_overflow/hit", "stack-overflow", Cause.STACK_OVERFLOW, CERTAIN),
    _row("stack_overflow/hit_thread", "thread-stack-overflow", Cause.STACK_OVERFLOW, LIKELY),
    _row("stack_overflow/near_miss_null", "segfault", Cause.SEGFAULT, CERTAIN),
    _row("stack_overflow/near_miss_wild", "wild-write", Cause.SEGFAULT, CERTAIN),
    _row("stack_overflow/near_miss_no_log", "stack-overflow", Cause.SEGFAULT, CERTAIN, role="plain"),
    _row("bus_error/hit", "bus-error", Cause.BUS_ERROR, CERTAIN),
    _row("bus_error/near_miss_read_only", "read-only", Cause.SEGFAULT, CERTAIN),
    _row("shm_full/hit", "shm-full", Cause.SHM_FULL, LIKELY),
    _row("shm_full/hit_plain", "shm-full", Cause.SHM_FULL, LIKELY, role="plain"),
    _row("shm_full/near_miss_room", "shm-room", Cause.BUS_ERROR, CERTAIN),
    _row("illegal_instruction/hit", "illegal-instruction", Cause.ILLEGAL_INSTRUCTION, CERTAIN),
    _row("illegal_instruction/near_miss_data", "run-data", Cause.SEGFAULT, CERTAIN),
    _row("arithmetic_fault/hit", "arithmetic-fault", Cause.ARITHMETIC_FAULT, CERTAIN),
    _row("arithmetic_fault/near_miss_python", "division", Cause.SHUTDOWN, CERTAIN),
    _row("abort/hit", "abort", Cause.ABORT, CERTAIN),
    _row("abort/hit_worker", "worker-crashes", Cause.ABORT, CERTAIN, role="plain", life=2),
    _row("allocation_failure/hit", "refused-memory", Cause.ALLOCATION_FAILURE, LIKELY),
    _row(
        "allocation_failure/hit_plain", "refused-memory", Cause.ALLOCATION_FAILURE, LIKELY, role="plain"
    ),
    _row("allocation_failure/near_miss_room", "abort-with-room", Cause.ABORT, CERTAIN),
    _row("allocation_failure/near_miss_no_limit", "abort", Cause.ABORT, CERTAIN),
    _row("abort/near_miss_134", "hard-exit-134", Cause.HARD_EXIT, CERTAIN),
    _row("trap/hit", "trap", Cause.TRAP, CERTAIN),
    _row("trap/near_miss_ud2", "illegal-instruction", Cause.ILLEGAL_INSTRUCTION, CERTAIN),
    _row("cpu_limit/hit", "cpu-limit", Cause.CPU_LIMIT, CERTAIN),
    _row("cpu_limit/near_miss_hard_limit", "cpu-limit-hard", Cause.KILLED, LIKELY),
    _row("file_size_limit/hit", "file-size", Cause.FILE_SIZE_LIMIT, CERTAIN),
    _row("file_size_limit/near_miss_os_error", "file-size-error", Cause.SHUTDOWN, CERTAIN),
    _row("seccomp/hit", "seccomp", Cause.SECCOMP, CERTAIN),
    _row("seccomp/hit_plain", "seccomp", Cause.SECCOMP, CERTAIN, role="plain"),
    _row("seccomp/near_miss_errno", "seccomp-error", Cause.SHUTDOWN, CERTAIN),
    _row("startup_failure/hit", "broken-start", Cause.STARTUP_FAILURE, LIKELY),
    _row("startup_failure/near_miss_answered", "hard-exit-3", Cause.HARD_EXIT, CERTAIN),
    _row("startup_failure/near_miss_killed", "killed-slow", Cause.KILLED, LIKELY),
    _row("parent_died/hit", "server-killed", Cause.PARENT_DIED, CERTAIN, life=1),
    _row("parent_died/hit_busy", "server-killed", Cause.PARENT_DIED, CERTAIN, life=2),
    _row("parent_died/hit_manager", "manager-killed", Cause.PARENT_DIED, CERTAIN),
    _row("parent_died/near_miss_stopped", "manager-terminated", Cause.SERVER_STOPPED, LIKELY),
    _row("parent_died/near_miss_server_lives", "hard-exit-1", Cause.HARD_EXIT, CERTAIN),
    _row("oom_cgroup_counters/hit", "oom-slowly", Cause.OOM_CGROUP, LIKELY, role="plain"),
    _row("oom_cgroup_counters/hit_at_once", "oom-at-once", Cause.OOM_CGROUP, LIKELY, role="plain"),
    _row("oom_cgroup_counters/near_miss_gone", "oom-cgroup", Cause.KILLED, POSSIBLE, role="plain"),
    _row("oom_cgroup_counters/near_miss_past", "killed-past", Cause.KILLED, POSSIBLE, role="plain"),
    _row("oom_cgroup_counters/near_miss_full", "killed-near", Cause.KILLED, POSSIBLE, role="plain"),
    _row("oom_cgroup_counters/near_miss_beside", "killed-beside", Cause.KILLED, POSSIBLE),
    _row("oom_host_counters/near_miss_at_once", "oom-at-once", Cause.OOM_CGROUP, LIKELY, role="plain"),
    _row("killed_by_itself/hit", "self-kill", Cause.KILLED_BY_PROCESS, LIKELY),
    _row("killed_by_itself/near_miss_handled", "self-signal-then-killed", Cause.KILLED, LIKELY),
    _row("killed_by_process/hit", "killed-idle", Cause.KILLED_BY_PROCESS, CERTAIN, traced=True),
    _row(
        "killed_by_process/hit_service",
        "killed-idle",
        Cause.KILLED_BY_PROCESS,
        CERTAIN,
        role="service",
        traced=True,
    ),
    _row("killed_by_process/hit_itself", "self-kill", Cause.KILLED_BY_PROCESS, CERTAIN, traced=True),
    _row("killed_by_process/near_miss_by_linux", "oom-cgroup", Cause.OOM_CGROUP, CERTAIN, traced=True),
    _row("killed_by_process/near_miss_abort", "abort", Cause.ABORT, CERTAIN, traced=True),
    _row("killed_by_process/near_miss_server", "shutdown-stuck", Cause.SHUTDOWN, LIKELY, traced=True),
    _row("restart/hit_stuck", "restart-stuck", Cause.RESTART, LIKELY, traced=True),
    _row("killed/hit", "killed-idle", Cause.KILLED, LIKELY),
    _row("killed/hit_plain", "killed-idle", Cause.KILLED, POSSIBLE, role="plain"),
    _row("killed/hit_gigabyte", "killed-gigabyte", Cause.KILLED, LIKELY),
    _row("killed/hit_gigabyte_plain", "killed-gigabyte", Cause.KILLED, POSSIBLE, role="plain"),
    _row("killed/hit_server", "server-killed", Cause.KILLED, LIKELY),
    _row("killed/hit_sigterm", "sigterm", Cause.KILLED, LIKELY),
    _row("culled/hit", "culled", Cause.CULLED, LIKELY),
    _row("culled/near_miss_shutdown", "shutdown", Cause.SHUTDOWN, CERTAIN),
    _row("killed/near_miss_oom", "oom-cgroup", Cause.OOM_CGROUP, CERTAIN),
    _row("killed/near_miss_restart", "restart-busy", Cause.RESTART, CERTAIN),
    _row("exit_call/hit", "exit-call", Cause.EXIT_CALL, CERTAIN),
    _row("exit_call/near_miss_shut_down", "exit-not-called", Cause.SHUTDOWN, CERTAIN),
    _row("exit_call/near_miss_in_mid_cell", "hard-exit-0", Cause.HARD_EXIT, CERTAIN),
    _row("exit_call/near_miss_not_reached", "exit-not-reached", Cause.HARD_EXIT, CERTAIN),
    _row("exit_call/near_miss_not_called", "exit-in-background", Cause.HARD_EXIT, POSSIBLE),
    _row("server_stopped/hit", "server-stopped", Cause.SERVER_STOPPED, CERTAIN, life=1),
    _row("server_stopped/hit_busy", "server-stopped", Cause.SERVER_STOPPED, CERTAIN, life=2),
    _row("server_stopped/hit_server", "server-stopped", Cause.SERVER_STOPPED, CERTAIN),
    _row("server_stopped/hit_orphan", "manager-terminated", Cause.SERVER_STOPPED, LIKELY),
    _row("server_stopped/near_miss_killed", "server-killed", Cause.PARENT_DIED, CERTAIN, life=1),
    _row("server_stopped/near_miss_server", "server-killed", Cause.KILLED, LIKELY),
    _row("shutdown/hit", "shutdown", Cause.SHUTDOWN, CERTAIN),
    _row("shutdown/hit_survivor", "survivor", Cause.SHUTDOWN, CERTAIN),
    _row("shutdown/near_miss_file_removed", "headless-crash", Cause.SEGFAULT, CERTAIN),
    _row("shutdown/near_miss_exit_call", "exit-call", Cause.EXIT_CALL, CERTAIN),
    _row("shutdown/near_miss_restart", "restart-idle", Cause.RESTART, CERTAIN),
    _row("restart/hit", "restart-idle", Cause.RESTART, CERTAIN),
    _row("restart/hit_busy", "restart-busy", Cause.RESTART, CERTAIN),
    # killed/hit_stuck is the same of a server whose log could not be read
    _row("restart/hit_by_log", "restart-stuck", Cause.RESTART, LIKELY),
    _row("restart/near_miss_autorestart", "killed-idle", Cause.KILLED, LIKELY),
    _row("restart/near_miss_shutdown", "restart-idle", Cause.SHUTDOWN, CERTAIN, life=1),
    _row("headless_end/hit", "finished-unheard", Cause.SHUTDOWN, LIKELY),
    _row("headless_end/hit_container", "container", Cause.SHUTDOWN, LIKELY, life=1),
    _row("headless_end/near_miss_container", "container", Cause.SEGFAULT, CERTAIN),
    _row("headless_end/near_miss_crash", "headless-crash", Cause.SEGFAULT, CERTAIN),
    _row("headless_end/near_miss_server", "exit-in-background", Cause.HARD_EXIT, POSSIBLE),
    _row("headless_end/near_miss_exit_call", "exit-call", Cause.EXIT_CALL, CERTAIN),
    _row("pool_ended/near_miss_kernel", "sigterm", Cause.KILLED, LIKELY),
    _row("hard_exit/hit", "hard-exit-3", Cause.HARD_EXIT, CERTAIN),
    _row("hard_exit/hit_0", "hard-exit-0", Cause.HARD_EXIT, CERTAIN),
    _row("hard_exit/hit_handled_crash", "xeus", Cause.HARD_EXIT, LIKELY),
    _row("hard_exit/near_miss_startup", "broken-start", Cause.STARTUP_FAILURE, LIKELY),
    _row("hard_exit/near_miss_shutdown", "shutdown", Cause.SHUTDOWN, CERTAIN),
    _row("oom_near_limit/hit", "killed-near", Cause.KILLED, POSSIBLE),
    _row("oom_near_limit/hit_gone", "oom-cgroup", Cause.KILLED, POSSIBLE, role="plain"),
    _row("oom_near_limit/near_miss_room", "killed-past", Cause.KILLED, LIKELY),
    _row("oom_near_host/near_miss_room", "killed-gigabyte", Cause.KILLED, LIKELY),
    _row("host_restart/near_miss_same_boot", "absent-killed", Cause.UNKNOWN, POSSIBLE),
    _row("unknown/hit", "absent-killed", Cause.UNKNOWN, POSSIBLE),
    _row("unknown/hit_plain", "absent-killed", Cause.UNKNOWN, POSSIBLE, role="plain"),
    _row("unknown/near_miss_log", "absent-segfault", Cause.SEGFAULT, CERTAIN),
    _row("host_restart/hit", "rebooted", Cause.HOST_RESTART, LIKELY),
)
