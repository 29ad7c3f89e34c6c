"""Every scenario by its name."""

from collections.abc import Callable
from pathlib import Path

import asked_for
import containers
import deaths
import front_ends
import libraries
import others
import rivals
import shells
import starts
import workers
from cells import ABORT_WITH_ROOM, FATAL_CELLS, REFUSED_MEMORY
from limits import LIMIT_CELLS
from stage import Life, Stage

IRKERNEL = Path("/usr/lib/R/site-library/IRkernel")
# the long ones first: the rest fills the gaps
SCENARIOS: dict[str, Callable[[Stage], list[Life]]] = {
    "broken-start": starts.fails_each_time,
    "reused-pid": rivals.pid_reused,
    "oom-cgroup": deaths.killed_for_its_cgroup,
    "container": containers.dies_in_a_container,
    "victim-of-a-hog": others.victim_of_a_hog,
    "worker-oom": workers.killed_for_memory,
    "worker-crashes": workers.crashed,
    "worker-bash": shells.bash_outgrows_its_cgroup,
    "server-killed": deaths.server_killed,
    "clean": asked_for.clean_starts_and_stops,
    "papermill": asked_for.finished_by_papermill,
    "papermill-fails": asked_for.failed_in_papermill,
    "server-stopped": asked_for.server_stopped,
    "culled": asked_for.culled_and_interrupted,
    "restart-idle": asked_for.restarted_idle,
    "restart-busy": asked_for.restarted_busy,
    "shutdown-stuck": asked_for.shut_down_stuck,
    "restart-stuck": asked_for.restarted_stuck,
    "survivor": asked_for.survives,
    "headless-crash": deaths.nbclient_cell_crashes,
    "twins": rivals.twins,
    "forged-name": rivals.named_by_a_file,
    "killed-near": deaths.killed_near_its_limit,
    "killed-beside": deaths.killed_beside_another,
    "crash-on-import": starts.crashes_on_import,
    "nbclient-fails": asked_for.failed_in_nbclient,
    "console": front_ends.console_ends_it,
    "code-server": front_ends.code_ends_it,
    "spyder": front_ends.spyder_ends_it,
    "nbclient": asked_for.finished_by_nbclient,
    "wrapped": deaths.wrapped_in_a_shell,
    "bare": deaths.bare_segfault,
    "bare-ipc": deaths.bare_ipc_segfault,
    "shm-full": deaths.shm_full,
    "shm-room": deaths.shm_has_room,
    "other-user": deaths.another_users_kernel,
    "xeus": deaths.xeus_segfault,
    "bash": shells.bash_killed,
    **({"irkernel": deaths.r_killed} if IRKERNEL.exists() else {}),
    "killed-gigabyte": deaths.killed_with_a_gigabyte,
    "killed-past": deaths.killed_in_a_cgroup_with_a_past,
    "killed-idle": deaths.killed_idle,
    "library": libraries.crash_in_a_library,
    "wheel": libraries.crash_in_a_wheel,
    "shutdown": asked_for.shut_down,
    "refused-memory": deaths.fatal("refused-memory", REFUSED_MEMORY),
    "abort-with-room": deaths.fatal("abort-with-room", ABORT_WITH_ROOM),
    **{name: deaths.fatal(name, code) for name, code in (FATAL_CELLS | LIMIT_CELLS).items()},
}
