"""One event of a log to the sentence that tells it, and to what the log says beside it."""

import re

from kerneld.model.evidence import fault_object, gib
from kerneld.model.facts import LogEvent, TaskRow
from kerneld.outputs.safe import UNBROKEN, safe_text
from kerneld.outputs.units import signal_name
from kerneld.outputs.view import Role

LARGEST = 4
HOG_SHARE = 1.5
"""so much more than the victim a process held that is worth naming"""
CAUSE_SHARE = 0.25
"""of what was full a process held that was the cause"""
NULL_PAGE = 0x1000

Detail = tuple[str, Role]

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
        return f"{_gpu(event)}{count}"
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


def _gpu(event: LogEvent) -> str:
    at = gpu_address(event)
    gpu = f"GPU {safe_text(at)}" if at else "a GPU"
    what = XIDS.get(event.xid or 0)
    meaning = f": {what}" if what else ""
    who = f", of {_who(event)}" if event.comm or event.pid is not None else ""
    return f"{gpu} reported Xid {event.xid}{who}{meaning}"


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
        found += _memory(event)
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
    code = f"by code in {safe_text(name)}" if name else ""
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
        return f"it jumped to {address:#x}, where it has no code"
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


# ---------------------------------------------------------------- memory


def resident_kb(event: LogEvent) -> int | None:
    """What the victim held, by its kill line, else by its row of the table."""
    known = [
        part for part in (event.anon_rss_kb, event.file_rss_kb, event.shmem_rss_kb) if part is not None
    ]
    if known:
        return sum(known)
    return next((row.rss_kb for row in event.top if row.pid == victim_pid(event)), None)


def victim_pid(event: LogEvent) -> int | None:
    """The victim's process: old Linux names a thread of it."""
    return event.pid if event.process_pid is None else event.process_pid


def _memory(event: LogEvent) -> list[Detail]:
    found: list[Detail] = []
    held, totals = resident_kb(event), event.totals
    if held is not None:
        found.append((_held(event, held), ""))
    if totals is not None and totals.swap_total_kb:
        free = totals.swap_free_kb or 0
        if free * 50 < totals.swap_total_kb:
            found.append((f"swap was full ({_kb(totals.swap_total_kb)})", ""))
    if not event.is_asked_for:
        if held is not None:
            found += _hog(event, held)
        found += _asker(event)
    if event.top:
        found.append((f"largest then: {', '.join(map(_row, event.top[:LARGEST]))}", ""))
    return found


def _hog(event: LogEvent, held_kb: int) -> list[Detail]:
    """Who held more, and whether enough of what was full to be the cause."""
    hog = event.top[0] if event.top else None
    if hog is None or hog.pid == victim_pid(event) or hog.rss_kb <= HOG_SHARE * held_kb:
        return []
    whole = _whole_kb(event)
    name = f"{safe_text(hog.comm)} ({hog.pid})"
    if whole is not None and hog.rss_kb >= CAUSE_SHARE * whole:
        return [(f"it was the victim, not the cause: {name} held {_kb(hog.rss_kb)}", "warn")]
    return [(f"not the largest: {name} held {_kb(hog.rss_kb)}", "")]


def _whole_kb(event: LogEvent) -> int | None:
    """The size of what was full, as far as the log tells."""
    if event.totals is None:
        return None
    return event.totals.limit_kb if event.kind == "oom_memcg" else event.totals.ram_kb


def _asker(event: LogEvent) -> list[Detail]:
    name, pid = event.invoker_comm, event.invoker_pid
    is_victim = name == event.comm and pid in (None, event.pid, victim_pid(event))
    if name is None or is_victim:
        return []
    return [(f"asked for memory then: {safe_text(name)}{'' if pid is None else f' ({pid})'}", "")]


def _held(event: LogEvent, held_kb: int) -> str:
    """`held 3.9 GiB of the 4.0 GiB of /user.slice`, `… of the machine's 16 GiB`, `… in /user.slice`."""
    held, whole = f"held {_kb(held_kb)}", _whole_kb(event)
    group = event.oom_cgroup or event.cgroup
    name = safe_text(group) if group else "its cgroup"
    if event.kind != "oom_memcg":
        return held if whole is None else f"{held} of the machine's {_kb(whole)}"
    if whole is None:
        return f"{held} in {name}" if group else held
    if held_kb > whole:
        return f"{held}, shared file pages included; the limit of {name} is {_kb(whole)}"
    return f"{held} of the {_kb(whole)} of {name}"


def _row(row: TaskRow) -> str:
    return f"{safe_text(row.comm)}{UNBROKEN}({row.pid}){UNBROKEN}{_kb(row.rss_kb)}"


def _kb(size_kb: int) -> str:
    return gib(size_kb * 1024).replace(" ", UNBROKEN)
