"""One event of a log to the sentence that tells it, and to what the log says beside it."""

import re

from kerneld.model.fault_lines import fault_object
from kerneld.model.records import LogEvent
from kerneld.outputs.safe import UNBROKEN, safe_text
from kerneld.outputs.scan_memory import Detail, memory
from kerneld.outputs.units import signal_name

NULL_PAGE = 0x1000

_KILLS = {
    "oom_global": "was killed: the machine was out of memory",
    "oom_memcg": "was killed: its cgroup was full",
    "oomd": "was killed by systemd-oomd: too little memory was left",
    "earlyoom": "was ended by earlyoom: too little memory was left",
    "nohang": "was ended by nohang: too little memory was left",
    "segfault": "crashed: touched memory not its own (segfault)",
    "gpf": "crashed: used an address that cannot exist",
    "invalid_opcode": "crashed: an instruction this processor lacks",
    "int3": "crashed: ran into a trap, as failed checks do",
    "divide_error": "crashed: divided an integer by zero",
    "bus_error": "crashed: memory that can't be had (bus error)",
    "mce": "was killed: it touched memory that was reported as corrupt",
    "coredump": "dumped core",
    "seccomp": "was killed: it made a forbidden system call",
    "fatal_signal": "was ended by a signal",
    "other": "was ended",
}
_NODES = "was killed: the memory nodes it may use were full"
_SYSRQ = "was killed: somebody asked Linux to kill the largest process (SysRq f)"
_OF_NODES = ("CONSTRAINT_CPUSET", "CONSTRAINT_MEMORY_POLICY")

# parts of the lines of kind `other`, and of mce's, and what they mean
_BY_LINE = (
    ("auid=", "ended abnormally by {signal}, as audit says"),
    ("lowmemorykiller: Killing '", "was killed by Android's low memory killer"),
    ("Kill '", "was killed by Android's low memory killer"),
    ("Killing '", "was killed by Android's low memory killer"),
    (" stack segment ", "crashed: a bad stack pointer (stack segment trap)"),
    (" segment not present ", "crashed: used a segment that is not there"),
    (" bounds ip:", "crashed: an index out of its bounds (bound trap)"),
    (" overflow ip:", "crashed: a sum overflowed (into trap)"),
    ("] bad frame in ", "crashed: the frame of its signal handler was broken"),
    ("] control protection ", "crashed: it jumped or returned where it must not"),
    ("]: unhandled exception: ", "crashed: an exception that it did not handle"),
    ("User process fault: ", "crashed: a fault of the program"),
    (": Sending SIGBUS to ", "was sent SIGBUS: memory it has was reported as corrupt"),
    (": forcibly killing ", "was killed: corrupt memory could not be taken from it"),
)

# https://docs.nvidia.com/deploy/xid-errors/: what a number means
XIDS = {
    13: "the code that it ran failed, by a bad index as a rule",
    31: "the code that it ran used an address that is not there",
    43: "it stopped the work of a program that had failed",
    45: "work was removed from it, after another error as a rule",
    48: "its memory has an error that can't be corrected (double bit)",
    61: "its own controller stopped at a breakpoint",
    62: "its own controller halted",
    63: "a bad place of its memory was taken out of use",
    64: "a bad place of its memory could not be taken out of use",
    74: "its NVLink connection has an error",
    79: "it has fallen off the bus",
    92: "its memory has many errors, which were corrected",
    94: "an error of its memory hit one program only",
    95: "an error of its memory may have hit every program on it",
    119: "its system processor (GSP) does not answer",
}
_XID_AT = re.compile(r"NVRM: Xid \((?:PCI:)?([^)]{1,80})\)")

# what the daemons' lines say of the memory
_REASONS = (
    re.compile(r"Killed /.* due to (?P<why>(?:memory|swap|pressure)\b.*)", re.DOTALL),
    re.compile(r".*[:,] (?P<why>(?:badness|oom_score):? .*)", re.DOTALL),
)


def sentence(event: LogEvent, times: int = 1) -> str:
    """Who died of what. times: so often, one behind the other."""
    count = f" ×{times:,}" if times > 1 else ""
    if event.kind == "xid":
        return _gpu(event, count)
    what = _what(event)
    if times > 1:
        verb, _, rest = what.partition(":")
        what = f"{verb}{count}:{rest}" if rest else f"{verb}{count}"
    return f"{_who(event)} {what}"


def _what(event: LogEvent) -> str:
    if event.is_oom:
        return _out_of_memory(event)
    if event.kind in ("other", "mce"):
        for part, what in _BY_LINE:
            if part in event.line:
                return what.format(signal=signal_name(event.signal or 0))
    if event.kind in ("earlyoom", "nohang") and event.signal is not None:
        verb = "was killed" if event.signal == 9 else f"was sent {signal_name(event.signal)}"
        return f"{verb} by {event.kind}: too little memory was left"
    if event.kind in ("fatal_signal", "other") and event.signal is not None:
        return f"was ended by {signal_name(event.signal)}"
    return _KILLS[event.kind]


def _out_of_memory(event: LogEvent) -> str:
    if event.is_asked_for:
        return _SYSRQ
    what = _KILLS[event.kind]
    if event.kind == "oom_global" and event.constraint in _OF_NODES:
        what = _NODES
    return what.replace("was killed", "was killed with its group") if event.has_group else what


def _gpu(event: LogEvent, count: str) -> str:
    at = gpu_address(event)
    gpu = f"GPU {safe_text(at)}" if at else "a GPU"
    what = XIDS.get(event.xid or 0)
    meaning = f": {what}" if what else ""
    who = f", of {_who(event)}" if event.comm or event.pid is not None else ""
    return f"{gpu} reported Xid {event.xid}{count}{who}{meaning}"


def gpu_address(event: LogEvent) -> str | None:
    found = _XID_AT.match(event.line)
    return found[1] if found else None


def _who(event: LogEvent) -> str:
    name = safe_text(event.comm) if event.comm else None
    known = [f"pid{UNBROKEN}{event.pid}"] if event.pid is not None else []
    if event.uid is not None:
        known.append(f"uid{UNBROKEN}{event.uid}")
    inside = f" ({', '.join(known)})" if known else ""
    if name is None and event.cgroup is not None and not known:
        return safe_text(event.cgroup)
    return f"{name or 'a process'}{inside}"


def details(event: LogEvent) -> list[Detail]:
    """What stands below the sentence."""
    found: list[Detail] = []
    if event.is_oom:
        found += memory(event)
    place = _place_of_fault(event)
    if place:
        found.append((place, ""))
    if event.kind in ("seccomp", "coredump") and event.signal is not None:
        found.append((f"signal: {signal_name(event.signal)}", ""))
    if (reason := _reason(event)) is not None:
        found.append((reason, ""))
    if event.kind == "other" and not any(part in event.line for part, _ in _BY_LINE):
        found.append((safe_text(event.line), "dim"))
    return found


def _reason(event: LogEvent) -> str | None:
    """What systemd-oomd, earlyoom or nohang say of the memory, in their own words."""
    if event.kind not in ("oomd", "earlyoom", "nohang"):
        return None
    for pattern in _REASONS:
        if (said := pattern.fullmatch(event.line)) is not None:
            return f"it says: {safe_text(said['why'])}"
    return None


# ---------------------------------------------------------------- crashes


def object_name(event: LogEvent) -> str | None:
    """The file that a fault line names, without the addresses of its map."""
    if event.object is None:
        return None
    name = fault_object(event)[0] or event.object
    head, bracket, tail = name.rpartition("[")
    return head if bracket and not tail.strip("0123456789abcdef,+.]") else name


def _place_of_fault(event: LogEvent) -> str:
    name = object_name(event)
    has_jumped = event.kind == "segfault" and event.ip is not None and _where(event).startswith("it ")
    code = f"{'in' if has_jumped else 'by code in'} {safe_text(name)}" if name else ""
    where = "general protection fault" if event.kind == "gpf" else _where(event)
    return ", ".join(filter(None, (where, code)))


def _where(event: LogEvent) -> str:
    if event.fault_addr is None:
        return ""
    address = _number(event.fault_addr)
    if address is None:
        return ""
    if event.kind != "segfault":
        return f"at address {address:#x}"
    ip = 0 if event.ip is None and "ip (null)" in event.line else _number(event.ip)
    if ip == address:
        if address == 0:
            return "it called a null function pointer"
        what = "which it may not run" if event.object else "where it has no code"
        return f"it jumped to {address:#x}, {what}"
    if address == 0:
        return "through a null pointer"
    if address < NULL_PAGE:
        return f"near null ({address:#x}): a field of a null pointer, as a rule"
    return f"at address {address:#x}"


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 16)
    except ValueError:
        return None
