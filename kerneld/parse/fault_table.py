"""What each Linux prints of a process that faulted, trapped or met broken hardware: a row a printk.

Every pattern is anchored at both ends. A source file named without versions prints so to this day.
"""

import re
from dataclasses import dataclass

from kerneld.parse.kmsg_text import COMM, HEX

# " in NAME[base+size]", from 6.? "[offset,base+size]", and "likely on CPU" from 6.1 (x86)
OBJECT = rf"(?P<object>.{{1,2000}}\[(?:{HEX},)?{HEX}\+{HEX}\])"
_IN_OBJECT = r"(?: in (?P<object>.{1,2000}\[[0-9a-f,+.]+\]))?(?: likely on.{0,60})?"
_IP = rf"(?:(?P<ip>{HEX})|\(null\))"
_PID = r"(?P<pid>[0-9]{1,10})"
_AUDIT = (
    r"(?:audit: )?(?:node=\S{{1,255}} )?"
    r"(?:type=(?:{type}) (?:msg=)?audit\([0-9.:]{{1,40}}\): +|(?:{type}) )"
    r"auid=(?:[0-9]{{1,10}}|unset) uid=(?P<uid>[0-9]{{1,10}}) "
    r"gid=[0-9]{{1,10}} ses=(?:[0-9]{{1,10}}|unset)(?: subj=.{{0,300}})? pid=(?P<pid>[0-9]{{1,10}}) "
    r'comm=(?P<audit_comm>"[^"]{{0,60}}"|[0-9A-F]{{2,32}}|\(null\)) '
    r'(?:exe=(?:"[^"]{{0,4200}}"|[0-9A-F]+|\(null\)) )?(?:reason="[^"]{{0,40}}" )?'
)
# `ausearch -i`: numbers as words, names as they are; of a name that holds ` exe=` nothing is told
_INTERPRETED = (
    r"(?:node=\S{{1,255}} )?type=(?:{type}) msg=audit\([^()]{{1,60}}\) ?: "
    r"auid=\S{{1,255}} uid=(?:(?P<uid>[0-9]{{1,10}})|\S{{1,255}}) gid=\S{{1,255}} ses=\S{{1,10}}"
    r"(?: subj=.{{0,300}}?)? pid=(?P<pid>[0-9]{{1,10}}) comm=(?P<comm>.{{1,15}}?) "
    r"(?:exe=.{{1,4200}}? )?(?:reason=.{{1,40}}? )?"
)
# auditd's log_format = ENRICHED: the names behind a group separator
_ENRICHED = r"(?:\x1d.{0,2000})?"

_ARM64_SEGV = (
    r"(?:level [-0-9]{1,2} (?:translation|permission|access flag|address size) fault"
    "|input address range fault|reserved (?:translation|permission|access flag) fault)"
)
_ARM64_BUS = (
    r"(?:alignment fault|synchronous (?:external abort|parity error)[^,]{0,60}?|SP Alignment exception)"
)

_BY_SIGNAL = (
    ("segfault", "11"),
    ("bus_error", "7"),
    ("invalid_opcode", "4"),
    ("divide_error", "8"),
    ("int3", "5"),
    ("fatal_signal", "[0-9]{1,2}"),
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
    # arch/arm64/mm/fault.c __do_user_fault, do_mem_abort and fault_info, to 4.15
    *(
        _row(
            kind,
            INFO,
            "]: unhandled ",
            rf"{COMM}\[{_PID}\]: unhandled {fault} \((?P<signal>[0-9]{{1,2}})\) at "
            rf"(?P<fault_addr>{HEX}), esr {HEX}(?:, in {OBJECT})?",
        )
        for kind, fault in (("segfault", _ARM64_SEGV), ("bus_error", _ARM64_BUS))
    ),
    # arch/arm64/kernel/traps.c arm64_show_signal, from 4.16
    *(
        _row(
            kind,
            INFO,
            "]: unhandled exception: ",
            rf"{COMM}\[{_PID}\]: unhandled exception: (?:[^,]{{1,60}}, ESR {HEX}, )?"
            rf"{fault}{_IN_OBJECT}",
            torn=True,
        )
        for kind, fault in (
            ("segfault", _ARM64_SEGV),
            ("bus_error", _ARM64_BUS),
            ("invalid_opcode", "undefined instruction"),
            ("other", "[A-Za-z0-9 ./()-]{1,60}?"),
        )
    ),
    # arch/arm64/kernel/traps.c do_undefinstr, to 4.15
    _row(
        "invalid_opcode",
        INFO,
        "]: undefined instruction: pc=",
        rf"{COMM}\[{_PID}\]: undefined instruction: pc=(?P<ip>{HEX})",
    ),
    # arch/arm/kernel/traps.c do_undefinstr; arch/arm/mm/fault.c __do_user_fault (user_debug=)
    _row(
        "invalid_opcode",
        INFO,
        "): undefined instruction: pc=",
        rf"{COMM} \({_PID}\): undefined instruction: pc=(?P<ip>{HEX})",
    ),
    _row(
        "segfault",
        ERROR | WARNING | {7},
        ": unhandled page fault (",
        rf"(?:pgd = {HEX}\s)?{COMM}: unhandled page fault \((?P<signal>[0-9]{{1,2}})\) at "
        rf"(?P<fault_addr>{HEX}), code {HEX}",
    ),
    # arch/powerpc/kernel/traps.c show_signal_msg, from 4.20
    *(
        _row(
            kind,
            INFO,
            f"]: {name} (",
            rf"{COMM}\[{_PID}\]: {name} \((?P<signal>[0-9]{{1,2}})\) at (?P<fault_addr>{HEX}) "
            rf"nip (?P<ip>{HEX}) lr {HEX} code {HEX}{_IN_OBJECT}",
            torn=True,
        )
        for kind, name in (
            ("segfault", "segfault"),
            ("bus_error", "bus error"),
            ("invalid_opcode", "illegal instruction"),
            ("divide_error", "floating point exception"),
            ("int3", "unhandled trap"),
            ("fatal_signal", "unknown signal"),
        )
    ),
    # the same, to 4.19
    *(
        _row(
            kind,
            INFO | ERROR,
            "]: unhandled signal ",
            rf"{COMM}\[{_PID}\]: unhandled signal (?P<signal>{number}) at (?P<fault_addr>{HEX}) "
            rf"nip (?P<ip>{HEX}) lr {HEX} code {HEX}",
        )
        for kind, number in _BY_SIGNAL
    ),
    # arch/sparc/mm/fault_64.c show_signal_msg
    _row(
        "segfault",
        INFO | {0},
        "]: segfault at ",
        rf"{COMM}\[{_PID}\]: segfault at (?P<fault_addr>{HEX}) ip (?P<ip>{HEX}) \(rpc {HEX}\) "
        rf"sp {HEX} error {HEX}{_IN_OBJECT}",
        torn=True,
    ),
    # arch/x86/kernel/signal.c signal_fault; "bad frame in" on sparc and powerpc, too
    _row(
        "other",
        INFO | {0},
        "] bad frame in ",
        rf"{COMM}\[{_PID}\] bad frame in [^:]{{1,40}} frame:{HEX} ip:(?P<ip>{HEX}) sp:{HEX} "
        rf"orax:{HEX}{_IN_OBJECT}",
        torn=True,
    ),
    # arch/x86/kernel/cet.c do_user_cp_fault, from 6.6; in traps.c before
    _row(
        "other",
        frozenset({0}) | INFO,
        "] control protection ",
        rf"(?:traps: )?{COMM}\[{_PID}\] control protection ip:(?P<ip>{HEX}) sp:{HEX} ssp:{HEX} "
        rf"error:{HEX}\([a-z0-9/ _-]{{1,30}}\){_IN_OBJECT}",
        torn=True,
    ),
    # arch/riscv/kernel/traps.c do_trap
    *(
        _row(
            kind,
            INFO,
            "]: unhandled signal ",
            rf"{COMM}\[{_PID}\]: unhandled signal (?P<signal>{number}) code {HEX} "
            rf"at (?P<fault_addr>{HEX}){_IN_OBJECT}",
            torn=True,
        )
        for kind, number in _BY_SIGNAL
    ),
    # arch/s390/mm/fault.c report_user_fault, arch/s390/kernel/traps.c; the process comes later
    _row(
        "other",
        ERROR | INFO | {1, 2},
        "User process fault: interruption code ",
        rf"User process fault: interruption code {HEX}(?: ilc:[0-9])?{_IN_OBJECT}",
    ),
    # arch/mips/mm/fault.c, arch/loongarch/mm/fault.c, without a pid
    _row(
        "segfault",
        INFO,
        ": sending SIGSEGV to ",
        rf"do_page_fault\(\)(?: ?#[0-9])?: sending SIGSEGV to {COMM} "
        rf"for invalid (?:read access from|write access to)\s(?P<fault_addr>{HEX})",
    ),
    # kernel/signal.c print_fatal_signal, with kernel.print-fatal-signals=1: comm/pid to 3.8; none;
    # exe and comm from 6.x on
    _row(
        "fatal_signal",
        INFO | WARNING,
        ": potentially unexpected fatal signal ",
        rf"{COMM}/{_PID}: potentially unexpected fatal signal (?P<signal>[0-9]{{1,2}})\.",
    ),
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
    # kernel/auditsc.c audit_seccomp, where no auditd listens; sig=0 is a log entry, no death;
    # arch= from 3.16, exe= from 3.15, reason= to 3.12
    _row(
        "seccomp",
        frozenset({5}),
        " auid=",
        _AUDIT.format(type="1326|SECCOMP")
        + r"sig=(?P<signal>[1-9][0-9]?)(?: arch=[0-9a-f]+)? syscall=-?[0-9]+ "
        rf"compat=[01] ip=(?P<ip>{HEX}) code={HEX}{_ENRICHED}",
    ),
    _row(
        "seccomp",
        frozenset({5}),
        " auid=",
        _INTERPRETED.format(type="SECCOMP")
        + r"sig=(?P<signal_name>SIG[A-Z0-9+]{2,9})(?: arch=\S{1,20})? syscall=\S{1,40} "
        rf"compat=[01] ip=(?P<ip>{HEX}) code=\S{{1,20}}",
    ),
    # kernel/auditsc.c audit_core_dumps (ANOM_ABEND)
    _row(
        "other",
        frozenset({5}),
        " auid=",
        _AUDIT.format(type="1701|ANOM_ABEND")
        + r"sig=(?P<signal>[1-9][0-9]?)(?: res=[01])?"
        + _ENRICHED,
    ),
    _row(
        "other",
        frozenset({5}),
        " auid=",
        _INTERPRETED.format(type="ANOM_ABEND")
        + r"sig=(?P<signal_name>SIG[A-Z0-9+]{2,9})(?: res=(?:yes|no))?",
    ),
    # drivers/staging/android/lowmemorykiller.c, to 4.11; several lines in one record
    _row(
        "other",
        INFO,
        "lowmemorykiller: Killing '",
        rf"lowmemorykiller: Killing '{COMM}' \({_PID}\)(?: \(tgid [0-9]{{1,10}}\))?, "
        r"adj -?[0-9]{1,5},.*",
    ),
    # mm/fault handlers of 2.4 and early 2.6
    _row("oom_global", WARNING, "VM: killing process ", rf"VM: killing process {COMM}"),
)


_CUT = r"(?:.{0,400}?(?:>|…|\.{3})|.{0,60} in [^\[]{1,265})"
_CUT_OBJECT = r"(?P<object>[^\[\]]{1,255}\[[0-9a-f,+]{0,60})"
CUT_TABLE: tuple[Row, ...] = (
    # lines of an excerpt that a pager or a page cut: what stands whole before the cut counts
    _row(
        "segfault",
        INFO,
        "]: segfault at ",
        rf"{COMM}\[{_PID}\]: segfault at (?P<fault_addr>{HEX})(?: [re]?ip {_IP}(?= )"
        rf"(?: [re]?sp \S{{1,20}} error \S{{1,20}} in {_CUT_OBJECT})?)?{_CUT}",
    ),
    *(
        _row(
            kind,
            INFO,
            name,
            rf"(?:traps: )?{COMM}\[{_PID}\] (?:trap )?{name}(?: fault)? ip:(?P<ip>{HEX}) "
            rf"(?:sp:\S{{1,20}} error:\S{{1,20}} in {_CUT_OBJECT})?{_CUT}",
        )
        for kind, name in (
            ("gpf", "general protection"),
            ("invalid_opcode", "invalid opcode"),
            ("divide_error", "divide error"),
            ("int3", "int3"),
            ("other", "stack segment"),
        )
    ),
)

SIGNALS = {
    "SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGILL": 4, "SIGTRAP": 5, "SIGABRT": 6, "SIGBUS": 7,
    "SIGFPE": 8, "SIGKILL": 9, "SIGUSR1": 10, "SIGSEGV": 11, "SIGUSR2": 12, "SIGPIPE": 13,
    "SIGALRM": 14, "SIGTERM": 15, "SIGXCPU": 24, "SIGXFSZ": 25, "SIGSYS": 31,
}  # fmt: skip
"""by name, as x86 and arm number them"""
