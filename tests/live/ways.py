"""What each end that the scenarios play is called in README's table, and what is right for it."""

from dataclasses import dataclass

from kerneld.model.vocabulary import Cause as C

UNSEEN = "nothing: not seen"
SERVER, BARE = "Jupyter Server", "a program's KernelManager"


@dataclass(frozen=True)
class Way:
    """which: of the scenario's ends, in the order in which its processes are told, workers last."""

    scenario: str
    how: str
    cause: C
    front_end: str = SERVER
    which: int = 0


WAYS = (
    Way("oom-cgroup", "a list grows in a loop, to its cgroup's limit", C.OOM_CGROUP),
    Way("victim-of-a-hog", "the same, but another user's process holds nearly all", C.OOM_CGROUP),
    Way("container", "the same, in pid, mount and network namespaces", C.OOM_CGROUP, BARE, 2),
    Way("worker-oom", "the same in a process pool's worker; the kernel lives", C.OOM_CGROUP, which=1),
    Way("worker-bash", "the same in bash_kernel's child; the kernel lives", C.OOM_CGROUP, which=1),
    Way("refused-memory", "C++ `new` below a limit of address space", C.ALLOCATION_FAILURE),
    Way("shm-full", "a mapped file fills a small /dev/shm", C.SHM_FULL, BARE),
    Way("segfault", "`ctypes.string_at(0)`", C.SEGFAULT),
    Way("thread-segfault", "the same in a thread", C.SEGFAULT),
    Way("faulthandler", "the same with faulthandler on, so that Linux logs nothing", C.SEGFAULT),
    Way("library", "a C function of one's own library reads address 0", C.SEGFAULT),
    Way("wheel", "a C function of an installed wheel does", C.SEGFAULT),
    Way("wild-write", "machine code writes to where nothing is", C.SEGFAULT),
    Way("wrapped", "a segfault, the kernel below two shells", C.SEGFAULT),
    Way("bare", "a segfault", C.SEGFAULT, BARE),
    Way("bare-ipc", "a segfault of a kernel with sockets that are files", C.SEGFAULT, BARE),
    Way("container", "a segfault in pid, mount and network namespaces", C.SEGFAULT, BARE, 0),
    Way("headless-crash", "a segfault in the second cell", C.SEGFAULT, "nbclient"),
    Way("reused-pid", "a segfault of a kernel with the pid of one just shot", C.SEGFAULT, "none", 1),
    Way("worker-crashes", "a segfault of a spawned worker; the kernel lives", C.SEGFAULT, which=1),
    Way("worker-crashes", "a segfault of a forked worker; the kernel lives", C.SEGFAULT, which=3),
    Way("worker-crashes", "`os.abort()` in a forkserver's worker; the kernel lives", C.ABORT, which=2),
    Way("stack-overflow", "machine code calls itself", C.STACK_OVERFLOW),
    Way("thread-stack-overflow", "the same in a thread", C.STACK_OVERFLOW),
    Way("bus-error", "a mapped file is cut short", C.BUS_ERROR),
    Way("shm-room", "the same, with a small /dev/shm nearly empty", C.BUS_ERROR, BARE),
    Way("illegal-instruction", "`ud2`", C.ILLEGAL_INSTRUCTION),
    Way("arithmetic-fault", "`div` by 0", C.ARITHMETIC_FAULT),
    Way("abort", "`os.abort()`", C.ABORT),
    Way("abort-with-room", "abort(3) far below a limit of address space", C.ABORT),
    Way("trap", "`int3`", C.TRAP),
    Way("cpu-limit", "a loop below RLIMIT_CPU", C.CPU_LIMIT),
    Way("file-size", "a file grows over RLIMIT_FSIZE, SIGXFSZ not ignored", C.FILE_SIZE_LIMIT),
    Way("seccomp", "mkdir(2) below a filter that kills", C.SECCOMP),
    Way("self-kill", "`os.kill(os.getpid(), SIGKILL)`", C.KILLED_BY_PROCESS),
    Way("killed-idle", "a person's SIGKILL, the kernel idle", C.KILLED_BY_PROCESS),
    Way("killed-gigabyte", "the same, while it holds 1 GiB", C.KILLED_BY_PROCESS),
    Way("killed-near", "the same, 20 MiB below its cgroup's limit", C.KILLED_BY_PROCESS),
    Way("killed-past", "the same, in a cgroup with an earlier OOM kill", C.KILLED_BY_PROCESS),
    Way(
        "killed-beside", "the same, just after an OOM kill beside it in its cgroup", C.KILLED_BY_PROCESS
    ),
    Way("twins", "one of two shot at once, an OOM kill forged by /dev/kmsg", C.KILLED_BY_PROCESS),
    Way("twins", "the other", C.KILLED_BY_PROCESS, which=1),
    Way("forged-name", "an OOM kill forged by a crashing library's name", C.KILLED_BY_PROCESS),
    Way("reused-pid", "a person's SIGKILL; the next kernel has its pid", C.KILLED_BY_PROCESS, "none"),
    Way("other-user", "a person's SIGKILL, another user's kernel", C.KILLED_BY_PROCESS, BARE),
    Way("bash", "a person's SIGKILL, bash_kernel", C.KILLED_BY_PROCESS),
    Way("irkernel", "a person's SIGKILL, IRkernel", C.KILLED_BY_PROCESS),
    Way("exit-call", "`exit()`", C.EXIT_CALL),
    Way("hard-exit-3", "`os._exit(3)`", C.HARD_EXIT),
    Way("hard-exit-0", "`os._exit(0)`", C.HARD_EXIT),
    Way("xeus", "a segfault that xeus-python handles, and leaves with 1", C.HARD_EXIT),
    Way("broken-start", "a file random.py hides Python's own", C.STARTUP_FAILURE),
    Way("broken-start", "there is no ipykernel", C.STARTUP_FAILURE, which=1),
    Way("broken-start", "a dependency lacks a name", C.STARTUP_FAILURE, which=2),
    Way("broken-start", "a port is in use", C.STARTUP_FAILURE, which=3),
    Way("broken-start", "the disk is full", C.STARTUP_FAILURE, which=4),
    Way("broken-start", "a compiled library is lost", C.STARTUP_FAILURE, which=5),
    Way("crash-on-import", "a segfault on import", C.STARTUP_FAILURE),
    Way("server-killed", "the server gets SIGKILL by a person", C.KILLED_BY_PROCESS),
    Way("server-killed", "its idle kernel", C.PARENT_DIED, which=1),
    Way("server-killed", "its busy kernel", C.PARENT_DIED, which=2),
    Way("shutdown", "by the REST API", C.SHUTDOWN),
    Way("shutdown-stuck", "the same, stuck in C: the server kills it", C.SHUTDOWN),
    Way("clean", "the same, again and again: the first", C.SHUTDOWN),
    Way("survivor", "the same, after an interrupt, sys.exit() and MemoryError", C.SHUTDOWN),
    Way("container", "a shutdown in pid, mount and network namespaces", C.SHUTDOWN, BARE, 1),
    Way("nbclient", "its notebook is done", C.SHUTDOWN, "nbclient"),
    Way("nbclient-fails", "a cell raised", C.SHUTDOWN, "nbclient"),
    Way("papermill", "its notebook is done", C.SHUTDOWN, "papermill"),
    Way("papermill-fails", "a cell raised", C.SHUTDOWN, "papermill"),
    Way("console", "`exit` at the prompt", C.SHUTDOWN, "jupyter console"),
    Way("code-server", "its window is closed: SIGTERM", C.SHUTDOWN, "as VS Code"),
    Way("spyder", "its console is closed: SIGKILL", C.SHUTDOWN, "as Spyder"),
    Way("restart-idle", "by the REST API", C.RESTART),
    Way("restart-busy", "the same, in a cell", C.RESTART),
    Way("restart-stuck", "the same, stuck in C: the server kills it", C.RESTART),
    Way("server-stopped", "SIGTERM to the server", C.SERVER_STOPPED),
    Way("server-stopped", "its idle kernel", C.SERVER_STOPPED, which=1),
    Way("server-stopped", "its busy kernel", C.SERVER_STOPPED, which=2),
    Way("culled", "Ctrl-C, twice, to the server", C.SERVER_STOPPED, which=1),
    Way("culled", "its busy kernel", C.SERVER_STOPPED, which=2),
    Way("culled", "idle for 2 s", C.CULLED),
)
