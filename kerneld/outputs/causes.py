"""The closed vocabulary to a table for people: what proves a cause, and what helps against it."""

from dataclasses import dataclass

from kerneld.model.vocabulary import Category, Cause
from kerneld.outputs.safe import wrap
from kerneld.outputs.table import Cell, Column, table
from kerneld.outputs.view import View


@dataclass(frozen=True, slots=True)
class CauseText:
    """short: the cause in a few words. proof: what proves it. helps: what a person can do."""

    short: str
    proof: str
    helps: str


_UNDER = "The crash happened under Python, in compiled code. "
_UPDATE = "Update the package that the fault names, or report it there with the stack."

CAUSES: dict[Cause, CauseText] = {
    Cause.OOM_HOST: CauseText(
        "the machine ran out of memory: Linux killed it",
        "The out-of-memory report in the Linux log names this process, with constraint NONE, "
        "CPUSET or MEMORY_POLICY.",
        "Hold less at a time, stop what else fills the machine, or set a limit for each user, so "
        "that one notebook can't take the memory of all.",
    ),
    Cause.OOM_CGROUP: CauseText(
        "its memory limit was reached, Linux killed it",
        "The out-of-memory report names this process and says CONSTRAINT_MEMCG. Without the Linux "
        "log: the cgroup's counters rose across the death; then it is at most likely.",
        "Hold less at a time (chunks, smaller types, columns that are needed), or ask for a higher "
        "limit of the cgroup that the incident names.",
    ),
    Cause.OOM_DAEMON: CauseText(
        "a memory guard killed it (oomd, earlyoom, …)",
        "systemd-oomd, earlyoom or nohang says in the journal that it killed it (certain), or its "
        "cgroup (likely); or the signal trace shows that it sent the signal (likely). Slurm says that "
        "its job's step exceeded its memory: likely.",
        "Hold less at a time, or ask Slurm for more (--mem). The guard acts before Linux does: its "
        "thresholds are its own settings.",
    ),
    Cause.ALLOCATION_FAILURE: CauseText(
        "memory was refused, the process gave up",
        "SIGABRT (std::bad_alloc, a failed malloc) with a limit on address space or data (RLIMIT_AS, "
        "RLIMIT_DATA) nearly used up: likely. A MemoryError that the kernel survives is no death.",
        "Ask for less at once, or raise the limit (`ulimit -v`) that refused it.",
    ),
    Cause.SHM_FULL: CauseText(
        "/dev/shm was full",
        "SIGBUS, and the /dev/shm that it saw was full within its last 2 s: likely.",
        "Use fewer DataLoader workers or smaller batches; in a container raise --shm-size.",
    ),
    Cause.SEGFAULT: CauseText(
        "compiled code touched memory not its own",
        "SIGSEGV. The Linux log, the core's metadata or faulthandler's text name the place.",
        _UNDER + _UPDATE,
    ),
    Cause.BUS_ERROR: CauseText(
        "a mapped file or device vanished under it",
        "SIGBUS, with /dev/shm not full.",
        "Look whether a file that is mapped (np.memmap, mmap) was truncated, or its disk failed.",
    ),
    Cause.ILLEGAL_INSTRUCTION: CauseText(
        "compiled code is not for this processor",
        "SIGILL; the Linux log says `invalid opcode`, with the library.",
        "Install a build for this processor (often: one that needs no AVX).",
    ),
    Cause.ARITHMETIC_FAULT: CauseText(
        "an integer was divided by zero",
        "SIGFPE; the Linux log says `divide error`, with the library.",
        _UPDATE,
    ),
    Cause.ABORT: CauseText(
        "a library gave up (abort)",
        "SIGABRT. What it printed before says why, where that was kept.",
        "Read the library's last message; glibc's heap checks, a failed assertion and an uncaught "
        "C++ exception all end so.",
    ),
    Cause.TRAP: CauseText("a trap instruction was reached", "SIGTRAP.", _UPDATE),
    Cause.STACK_OVERFLOW: CauseText(
        "a recursion ran out of stack",
        "SIGSEGV, and the Linux log's address is where the main thread's stack had to end (certain), "
        "or where a thread's stack pointer stood, on a page that is not there (likely).",
        "Bound the recursion, or turn it into a loop; setrecursionlimit only removes the guard.",
    ),
    Cause.CPU_LIMIT: CauseText(
        "the limit of processor time was reached",
        "SIGXCPU, or SIGKILL at the hard limit of RLIMIT_CPU.",
        "Raise `ulimit -t`, or split the work.",
    ),
    Cause.FILE_SIZE_LIMIT: CauseText(
        "a file grew over the limit of file sizes", "SIGXFSZ.", "Raise `ulimit -f`, or split the file."
    ),
    Cause.SECCOMP: CauseText(
        "a forbidden system call was made",
        "SIGSYS; the Linux log names the call (audit type 1326).",
        "The sandbox of the container or unit forbids this call: its profile must allow it.",
    ),
    Cause.KILLED_BY_PROCESS: CauseText(
        "a process killed it, and is known",
        "A deadly signal whose sender was seen; `how: self` where the kernel shot itself.",
        "Ask the sender: the incident names its process and user.",
    ),
    Cause.KILLED_BY_MANAGER: CauseText(
        "a manager ended it: timeout, eviction, …",
        "systemd's log tells of a time limit, a watchdog or a session's end: certain where it names "
        "the process, else likely. SIGHUP from Linux or from the leader of its session: likely. "
        "Slurm's log tells of its job's time limit, preemption or failed node: likely.",
        "Ask for more time, or save in between; what ended it is named in the incident.",
    ),
    Cause.KILLED: CauseText(
        "a deadly signal came, its sender was not seen",
        "The signal alone. Memory is ruled out by the numbers (likely), or was near its limit "
        "(possible, with out-of-memory among the other theories).",
        "`kerneld doctor` says how senders of signals become visible.",
    ),
    Cause.EXIT_CALL: CauseText(
        "a cell called exit() or quit()",
        "The kernel left by itself, with status 0, after it had gone idle.",
        "Take exit() out of the notebook; `raise SystemExit` stops a cell without ending the kernel.",
    ),
    Cause.HARD_EXIT: CauseText(
        "it left at once, without Python's clean-up",
        "It left with a status that nobody asked for: os._exit(n), or exit(n) in C.",
        "Look for os._exit in the code and its libraries.",
    ),
    Cause.STARTUP_FAILURE: CauseText(
        "it died before it ever answered",
        "It ended without having listened on its ports, or said anything.",
        "Start it by hand (`jupyter console --kernel NAME`) and read what it says.",
    ),
    Cause.PARENT_DIED: CauseText(
        "its server died, and it left because of that",
        "The server's own crash, and the kernel's end within seconds of it.",
        "Look at the server's incident: it holds the cause.",
    ),
    Cause.GPU_FAULT: CauseText(
        "the graphics processor faulted",
        "An NVIDIA Xid line in the Linux log names this process.",
        "Restart the kernel; if the same Xid returns, it is the driver or the card.",
    ),
    Cause.HARDWARE_MEMORY_ERROR: CauseText(
        "a memory module is broken",
        "A machine check in the Linux log names this process.",
        "Tell the machine's administrator: the module must be replaced.",
    ),
    Cause.HOST_RESTART: CauseText(
        "the machine restarted or lost power",
        "Another boot id than the one the kernel lived in.",
        "Save in between; `journalctl --list-boots` tells when and how it went down.",
    ),
    Cause.UNKNOWN: CauseText(
        "nothing that was seen says why",
        "None of the above; the incident says what could not be looked at.",
        "`kerneld doctor` says which evidence is missing here, and how to get it.",
    ),
    Cause.SHUTDOWN: CauseText(
        "somebody shut the kernel down",
        "A shutdown request and its reply, or the connection file removed in time.",
        "Nothing: it was asked for.",
    ),
    Cause.RESTART: CauseText(
        "somebody restarted the kernel",
        "A shutdown request with restart, and a new process of the same kernel.",
        "Nothing: it was asked for.",
    ),
    Cause.SERVER_STOPPED: CauseText(
        "its server was stopped",
        "Its server ended by itself, by SIGTERM or by SIGINT.",
        "Nothing: it was asked for.",
    ),
    Cause.CULLED: CauseText(
        "the kernel had been idle too long",
        "The server's log, where it is a file, says that it culled this kernel: likely.",
        "Raise `cull_idle_timeout` of the server, if it culls too soon.",
    ),
}


def causes_table(view: View) -> str:
    """Every cause, by category."""
    columns = (Column("CATEGORY", 9), Column("CAUSE", 21), Column("MEANS", 20))
    rows = []
    last: Category | None = None
    for cause in Cause:
        shown = "" if cause.category is last else cause.category.value
        rows.append([Cell(shown), Cell(cause.value, "head"), Cell(CAUSES[cause].short)])
        last = cause.category
    lines = table(columns, rows, view)
    lines.append(view.paint("What proves one, and what helps: kerneld causes oom-cgroup", "dim"))
    return "\n".join(lines) + "\n"


def cause_page(cause: Cause, view: View) -> str:
    """One cause: what it means, what proves it, what helps."""
    text = CAUSES[cause]
    width = min(view.width, 100)
    lines = [f"{view.paint(cause.value, 'head')}  ({cause.category.value})"]
    for title, body in (("Means", text.short), ("Proof", text.proof), ("Helps", text.helps)):
        lines += ["", view.paint(title, "dim"), *("  " + line for line in wrap(body, width - 2))]
    return "\n".join(lines) + "\n"


def causes_data() -> list[dict[str, str]]:
    """The same as data: cause, category, short, proof, helps."""
    return [
        {
            "cause": cause.value,
            "category": cause.category.value,
            "short": text.short,
            "proof": text.proof,
            "helps": text.helps,
        }
        for cause, text in CAUSES.items()
    ]
