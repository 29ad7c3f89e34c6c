"""An incident to its headline: who, and what happened, no surer than the verdict is."""

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.outputs.safe import safe_text

# what happened, as a fact ("ran …") and as a possibility ("have run …")
PHRASES: dict[Cause, tuple[str, str]] = {
    Cause.OOM_HOST: (
        "was killed: the machine was out of memory",
        "have been killed: the machine was out of memory",
    ),
    Cause.OOM_CGROUP: ("ran out of memory", "have run out of memory"),
    Cause.OOM_DAEMON: ("was killed by a memory guard", "have been killed by a memory guard"),
    Cause.ALLOCATION_FAILURE: ("was refused memory and gave up", "have been refused memory"),
    Cause.SHM_FULL: ("ran out of shared memory", "have run out of shared memory"),
    Cause.SEGFAULT: ("crashed in compiled code (segfault)", "have crashed in compiled code"),
    Cause.BUS_ERROR: ("crashed on a bus error", "have crashed on a bus error"),
    Cause.ILLEGAL_INSTRUCTION: (
        "crashed: code for another processor",
        "have crashed on code for another processor",
    ),
    Cause.ARITHMETIC_FAULT: ("crashed: an integer was divided by zero", "have divided by zero"),
    Cause.ABORT: ("was aborted by a library", "have been aborted by a library"),
    Cause.TRAP: ("crashed on a trap instruction", "have crashed on a trap instruction"),
    Cause.STACK_OVERFLOW: ("ran out of stack", "have run out of stack"),
    Cause.CPU_LIMIT: ("used up its processor time", "have used up its processor time"),
    Cause.FILE_SIZE_LIMIT: ("wrote too large a file", "have written too large a file"),
    Cause.SECCOMP: ("made a forbidden system call", "have made a forbidden system call"),
    Cause.KILLED_BY_PROCESS: ("was killed by another process", "have been killed by another process"),
    Cause.KILLED_BY_MANAGER: ("was ended by its manager", "have been ended by its manager"),
    Cause.EXIT_CALL: ("ended itself with exit()", "have ended itself with exit()"),
    Cause.HARD_EXIT: ("left without a word", "have left without a word"),
    Cause.STARTUP_FAILURE: ("did not start", "have failed to start"),
    Cause.PARENT_DIED: ("went with its server", "have gone with its server"),
    Cause.GPU_FAULT: ("was ended by a GPU fault", "have been ended by a GPU fault"),
    Cause.HARDWARE_MEMORY_ERROR: ("hit broken memory hardware", "have hit broken memory hardware"),
    Cause.HOST_RESTART: ("ended with the machine", "have ended with the machine"),
    Cause.SHUTDOWN: ("was shut down", "have been shut down"),
    Cause.RESTART: ("was restarted", "have been restarted"),
    Cause.SERVER_STOPPED: ("stopped with its server", "have stopped with its server"),
    Cause.CULLED: ("was culled for being idle", "have been culled for being idle"),
}
SUICIDE = ("shot itself", "have shot itself")
# these claim no more than what was seen, whatever the confidence
BARE: dict[Cause, str] = {
    Cause.KILLED: "was killed, by whom was not seen",
    Cause.UNKNOWN: "died, and nothing seen says why",
}


def tail(path: str, parts: int = 2) -> str:
    """The end of a path: `/home/alice/churn/train.ipynb` to `churn/train.ipynb`."""
    return "/".join(path.rstrip("/").split("/")[-parts:])


def who(incident: Incident) -> str:
    """Who died, as its user calls it. Safe text."""
    if incident.scope is Scope.SERVER:
        kind = incident.server.kind if incident.server else incident.process.comm
        return safe_text(f"The server ({kind}, pid {incident.process.pid})")
    name = kernel_name(incident)
    return f"A worker of {name}" if incident.scope is Scope.WORKER else name


def kernel_name(incident: Incident) -> str:
    """The notebook's name, else the kernel's. Safe text."""
    if incident.notebook:
        return safe_text(tail(incident.notebook.path))
    if incident.kernel and incident.kernel.name:
        return safe_text(f"{incident.kernel.name} kernel {incident.kernel.pid}")
    return safe_text(f"{incident.process.comm} {incident.process.pid}")


def what(incident: Incident) -> str:
    """What happened, with `probably` or `may` where the proof is thinner than certain."""
    if incident.cause in BARE:
        return BARE[incident.cause]
    fact, possibility = SUICIDE if _shot_itself(incident) else PHRASES[incident.cause]
    if incident.confidence is Confidence.CERTAIN:
        return fact
    return f"probably {fact}" if incident.confidence is Confidence.LIKELY else f"may {possibility}"


def _shot_itself(incident: Incident) -> bool:
    return incident.killer is not None and incident.killer.how == "self"


def standing(incident: Incident) -> str:
    """`incident 43, certain`; a verdict that is not settled says so."""
    name = "incident" if incident.is_incident else "end"
    number = f" {incident.id}" if incident.id is not None else ""
    provisional = ", provisional" if incident.state == "provisional" else ""
    return f"{name}{number}, {incident.confidence.value}{provisional}"
