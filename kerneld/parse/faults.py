"""One message of the Linux log to the event it states: faults, traps, signals, hardware.

The table says which Linux prints what, at which level. Every pattern is anchored at both ends.
"""

import re
from dataclasses import dataclass

from kerneld.model.facts import LogEvent
from kerneld.parse.kmsg_text import COMM, HEX, Message, shown

# " in NAME[base+size]", from 6.? "[offset,base+size]", and "likely on CPU" from 6.1 (x86)
_OBJECT = rf"(?P<object>.{{1,2000}}\[(?:{HEX},)?{HEX}\+{HEX}\])"
_IN_OBJECT = r"(?: in (?P<object>.{1,2000}\[[0-9a-f,+.]+\]))?(?: likely on.{0,60})?"
_IP = rf"(?:(?P<ip>{HEX})|\(null\))"
_PID = r"(?P<pid>[0-9]{1,10})"
_AUDIT = (
    r"(?:audit: )?type={type} audit\([0-9.:]{{1,40}}\): auid=[0-9]{{1,10}} uid=(?P<uid>[0-9]{{1,10}}) "
    r"gid=[0-9]{{1,10}} ses=[0-9]{{1,10}}(?: subj=.{{0,300}})? pid=(?P<pid>[0-9]{{1,10}}) "
    r'comm=(?P<audit_comm>"[^"]{{0,60}}"|[0-9A-F]{{2,32}}|\(null\)) '
    r'(?:exe=(?:"[^"]{{0,4200}}"|[0-9A-F]+|\(null\)) )?'
)

INFO = frozenset({6})
WARNING = frozenset({4})
ERROR = frozenset({3})


@dataclass(frozen=True, slots=True)
class Row:
    """What one printk of Linux looks like. needle: a part that every such line has."""

    kind: str
    levels: frozenset[int]
    needle: str
    pattern: re.Pattern[str]
    may_continue: bool = False
    """its object comes by a printk of its own (KERN_CONT), which may be torn off"""


def _row(kind: str, levels: frozenset[int], needle: str, pattern: str, *, torn: bool = False) -> Row:
    return Row(kind, levels, needle, re.compile(pattern, re.DOTALL), torn)


def _trap(kind: str, name: str, more: str = "") -> Row:
    """arch/x86/kernel/traps.c: pr_info, "traps: " before it from 3.?; older ones without "fault"."""
    return _row(
        kind,
        INFO,
        name,
        rf"(?:traps: )?{COMM}\[{_PID}\] (?:trap )?{name}{more} "
        rf"ip:(?P<ip>{HEX}) sp:{HEX} error:{HEX}{_IN_OBJECT}",
        torn=True,
    )


TABLE: tuple[Row, ...] = (
    # arch/x86/mm/fault.c show_signal_msg, 2.6.28 to 6.x; KERN_EMERG for pid 1; eip/rip before
    _row(
        "segfault",
        INFO | {0},
        "]: segfault at ",
        rf"{COMM}\[{_PID}\]: segfault at (?P<fault_addr>{HEX}) [re]?ip {_IP} "
        rf"[re]?sp (?:{HEX}|\(null\)) error {HEX}{_IN_OBJECT}",
        torn=True,
    ),
    _trap("gpf", "general protection", "(?: fault)?"),
    _trap("invalid_opcode", "invalid opcode"),
    _trap("divide_error", "divide error"),
    _trap("int3", "int3"),
    _trap("other", "stack segment"),
    _trap("other", "segment not present"),
    _trap("other", "bounds"),
    _trap("other", "overflow"),
    _trap("bus_error", "alignment check"),
    # arch/arm64/mm/fault.c, to 4.15
    _row(
        "segfault",
        INFO,
        "]: unhandled level ",
        rf"{COMM}\[{_PID}\]: unhandled level [0-9] (?:translation|permission|access flag) fault "
        rf"\((?P<signal>[0-9]{{1,2}})\) at (?P<fault_addr>{HEX}), esr {HEX}(?:, in {_OBJECT})?",
    ),
    # arch/arm64/kernel/traps.c arm64_show_signal, from 4.16
    _row(
        "segfault",
        INFO,
        "]: unhandled exception: ",
        rf"{COMM}\[{_PID}\]: unhandled exception: [^,]{{1,60}}, ESR {HEX}, "
        rf"level [-0-9]{{1,2}} (?:translation|permission|access flag) fault{_IN_OBJECT}",
        torn=True,
    ),
    # arch/arm64/kernel/traps.c do_undefinstr, to 4.15
    _row(
        "invalid_opcode",
        INFO,
        "]: undefined instruction: pc=",
        rf"{COMM}\[{_PID}\]: undefined instruction: pc=(?P<ip>{HEX})",
    ),
    # arch/powerpc/kernel/traps.c show_signal_msg, from 4.20
    _row(
        "segfault",
        INFO,
        "]: segfault (",
        rf"{COMM}\[{_PID}\]: segfault \((?P<signal>[0-9]{{1,2}})\) at (?P<fault_addr>{HEX}) "
        rf"nip (?P<ip>{HEX}) lr {HEX} code {HEX}{_IN_OBJECT}",
        torn=True,
    ),
    # arch/riscv/kernel/traps.c do_trap
    _row(
        "fatal_signal",
        INFO,
        "]: unhandled signal ",
        rf"{COMM}\[{_PID}\]: unhandled signal (?P<signal>[0-9]{{1,2}}) code {HEX} "
        rf"at (?P<fault_addr>{HEX}){_IN_OBJECT}",
        torn=True,
    ),
    # arch/mips/mm/fault.c, without a pid
    _row(
        "segfault",
        INFO,
        ": sending SIGSEGV to ",
        rf"do_page_fault\(\)(?: #[0-9])?: sending SIGSEGV to {COMM} "
        rf"for invalid (?:read access from|write access to) (?P<fault_addr>{HEX})",
    ),
    # kernel/signal.c print_fatal_signal, with kernel.print-fatal-signals=1; comm from 6.x on
    _row(
        "fatal_signal",
        INFO,
        "potentially unexpected fatal signal ",
        rf"(?:[^ ]{{1,60}}: )??(?:{COMM}: )?potentially unexpected fatal signal "
        r"(?P<signal>[0-9]{1,2})\.",
    ),
    # arch/x86/mm/fault.c do_sigbus; arch/parisc likewise
    _row(
        "mce",
        ERROR,
        "MCE: Killing ",
        rf"MCE: Killing {COMM}:{_PID} due to hardware memory corruption fault at (?P<fault_addr>{HEX})",
    ),
    # mm/memory-failure.c kill_proc: "MCE 0x…" to 3.x, "Sending SIGBUS to" from 4.20
    _row(
        "mce",
        ERROR,
        " due to hardware memory corruption",
        rf"(?:Memory failure:|MCE) {HEX}: (?:Killing|Sending SIGBUS to) {COMM}:{_PID} "
        "due to hardware memory corruption",
    ),
    # mm/memory-failure.c kill_procs
    _row(
        "mce",
        ERROR,
        " because of failure to unmap corrupted page",
        rf"(?:Memory failure:|MCE) {HEX}: forcibly killing {COMM}:{_PID} "
        "because of failure to unmap corrupted page",
    ),
    # nvidia.ko, error prints; old drivers have no pid, a fault of no process says '<unknown>'
    _row(
        "xid",
        ERROR | WARNING,
        "NVRM: Xid (",
        r"NVRM: Xid \([^)]{1,80}\): (?P<xid>[0-9]{1,5})"
        rf"(?:, pid=(?:{_PID}|'?<unknown>'?))?(?:, name=(?:<unknown>|(?P<xid_comm>[^,]{{1,60}})))?"
        r"(?:, .{0,2000})?",
    ),
    # kernel/auditsc.c audit_seccomp, where no auditd listens; sig=0 is a log entry, no death
    _row(
        "seccomp",
        frozenset({5}),
        "type=1326 ",
        _AUDIT.format(type=1326) + r"sig=(?P<signal>[1-9][0-9]?) arch=[0-9a-f]+ syscall=-?[0-9]+ "
        rf"compat=[01] ip=(?P<ip>{HEX}) code={HEX}",
    ),
    # kernel/auditsc.c audit_core_dumps (ANOM_ABEND)
    _row(
        "other",
        frozenset({5}),
        "type=1701 ",
        _AUDIT.format(type=1701)
        + r'(?:reason="[^"]{0,40}" )?sig=(?P<signal>[1-9][0-9]?)(?: res=[01])?',
    ),
    # drivers/staging/android/lowmemorykiller.c, to 4.11; several lines in one record
    _row(
        "other",
        INFO,
        "lowmemorykiller: Killing '",
        rf"lowmemorykiller: Killing '{COMM}' \({_PID}\)(?: \(tgid [0-9]+\))?, adj -?[0-9]+,.*",
    ),
    # mm/fault handlers of 2.4 and early 2.6
    _row("oom_global", WARNING, "VM: killing process ", rf"VM: killing process {COMM}"),
)

_TORN_OBJECT = re.compile(rf" ?in {_OBJECT}(?: likely on.{{0,60}})?", re.DOTALL)
_CPU_LINE = re.compile(
    rf"CPU: [0-9]+ (?:UID: [0-9]+ )?PID: (?P<pid>[0-9]{{1,10}}) Comm: {COMM}"
    r" +(?:Kdump: loaded )?(?:Tainted: |Not tainted).*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An event whose next line may say more: a torn-off object, or who a fatal signal hit."""

    event: LogEvent

    def joined(self, message: Message) -> LogEvent | None:
        """The event with what this message adds, None where the message is none of its own."""
        if self.event.kind == "fatal_signal" and self.event.pid is None:
            found = _CPU_LINE.fullmatch(message.text)
            if found is None:
                return None
            who = {"pid": int(found["pid"]), "comm": message.name(found["comm"])}
            return self.event.model_copy(update=who)
        torn = _TORN_OBJECT.fullmatch(message.text)
        if torn is None:
            return None
        return self.event.model_copy(update={"object": shown(torn["object"])})


def parse_fault(message: Message) -> LogEvent | Unfinished | None:
    """The event that a message states by itself; None for every other message."""
    for row in TABLE:
        if row.needle not in message.text or message.level not in (None, *row.levels):
            continue
        found = row.pattern.fullmatch(message.text)
        if found is not None:
            return _event(row, found.groupdict(), message)
    return None


def _event(row: Row, groups: dict[str, str | None], message: Message) -> LogEvent | Unfinished:
    fields: dict[str, object] = {"kind": row.kind}
    for name, text in groups.items():
        if text is None:
            continue
        if name in ("comm", "xid_comm"):
            fields["comm"] = message.name(text)
        elif name == "audit_comm":
            fields["comm"] = _audit_name(text, message)
        elif name == "object":
            fields["object"] = shown(text)
        elif name in ("fault_addr", "ip"):
            fields[name] = text
        else:
            fields[name] = int(text)
    event = message.event(fields)
    unfinished = row.may_continue and event.object is None
    if unfinished or (event.kind == "fatal_signal" and event.pid is None):
        return Unfinished(event)
    return event


def _audit_name(text: str, message: Message) -> str | None:
    """audit_log_untrustedstring: quoted, or in hexadecimal where it holds a quote or a blank."""
    if text.startswith('"'):
        return message.name(text[1:-1])
    return None if text.startswith("(") else message.name(_from_hex(text))


def _from_hex(text: str) -> str:
    return bytes.fromhex(text[: len(text) & ~1]).decode("utf-8", "backslashreplace")
