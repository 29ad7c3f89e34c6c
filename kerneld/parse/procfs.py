"""Bytes of /proc/PID/* and of /proc's tables to frozen data: who a process is, what it holds."""

import ipaddress
import re
import sys
from dataclasses import dataclass

from kerneld.model.process import Rlimits

ENVIRON_NAMES = frozenset(
    {
        "JPY_SESSION_NAME",
        "JPY_PARENT_PID",
        "JUPYTERHUB_USER",
        "JUPYTERHUB_SERVER_NAME",
        "JUPYTERHUB_SERVICE_PREFIX",
        "JUPYTER_RUNTIME_DIR",
        "XDG_DATA_HOME",
        "JUPYTER_DATA_DIR",
        "HOME",
        "KERNELD_CODE",
        "SLURM_JOB_ID",
        "SLURM_STEP_ID",
    }
)
"""the only variables ever kept: tokens stand in the same block (JUPYTERHUB_API_TOKEN, JPY_API_TOKEN)"""

PF_FORKNOEXEC = 0x40
"""include/linux/sched.h, from 2.0 to 6.x; execve(2) takes it away"""

MAX_VALUE_BYTES = 4096
"""PATH_MAX: a longer value is no path, no user name and no notebook"""


def text_of(raw: bytes) -> str:
    """Text that can be stored: what is no UTF-8 (a comm is cut at 15 bytes) shows as `\\xNN`."""
    return raw.decode("utf-8", "backslashreplace")


def storable(text: str) -> str:
    """An argument or a path (surrogates where it is no UTF-8) as text that pydantic and JSON take."""
    return text_of(text.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class Stat:
    """/proc/PID/stat. exit_code: the wait status of a zombie, 0 also where it is masked.

    is_fork: it has executed no program since it was forked, so its command line is its parent's.
    """

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    is_fork: bool
    cpu_ticks: int
    threads: int
    start_ticks: int
    exit_code: int | None
    stack_top: int | None = None
    """startstack, below the arguments and the environment; None where it is masked, or a zombie's"""


def parse_stat(data: bytes) -> Stat | None:
    """The fields stand behind the LAST `)`: a comm may hold `) R 1 2` and newlines itself."""
    opening, closing = data.find(b"("), data.rfind(b")")
    fields = data[closing + 1 :].split()
    if opening < 0 or closing < opening or len(fields) < 20:
        return None
    try:
        return Stat(
            pid=int(data[:opening]),
            comm=text_of(data[opening + 1 : closing]),
            state=chr(fields[0][0]),
            ppid=int(fields[1]),
            pgrp=int(fields[2]),
            session=int(fields[3]),
            is_fork=bool(int(fields[6]) & PF_FORKNOEXEC),
            cpu_ticks=int(fields[11]) + int(fields[12]),
            threads=int(fields[17]),
            start_ticks=int(fields[19]),
            exit_code=int(fields[49]) if len(fields) > 49 else None,
            stack_top=int(fields[25]) or None if len(fields) > 25 else None,
        )
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Status:
    """/proc/PID/status. uid: the real one. ns_pids: from the reader's namespace to the innermost.

    The Vm* are None for a zombie and a kernel thread, core_dumping before Linux 4.15.
    """

    tgid: int | None
    uid: int | None
    effective_uid: int | None
    ns_pids: tuple[int, ...]
    hwm_bytes: int | None
    rss_bytes: int | None
    swap_bytes: int | None
    core_dumping: bool | None


def parse_status(data: bytes) -> Status:
    """Linux escapes a newline in the Name line, so a line's start is a field's start."""
    fields: dict[bytes, list[bytes]] = {}
    for line in data.split(b"\n"):
        name, _, rest = line.partition(b":")
        fields.setdefault(name, rest.split())

    def number(name: bytes, index: int = 0) -> int | None:
        values = fields.get(name, [])
        return int(values[index]) if len(values) > index and values[index].isdigit() else None

    def size_bytes(name: bytes) -> int | None:
        kib = number(name)
        return None if kib is None else kib * 1024

    dumping = number(b"CoreDumping")
    return Status(
        tgid=number(b"Tgid"),
        uid=number(b"Uid"),
        effective_uid=number(b"Uid", 1),
        ns_pids=tuple(int(pid) for pid in fields.get(b"NSpid", []) if pid.isdigit()),
        hwm_bytes=size_bytes(b"VmHWM"),
        rss_bytes=size_bytes(b"VmRSS"),
        swap_bytes=size_bytes(b"VmSwap"),
        core_dumping=None if dumping is None else bool(dumping),
    )


def parse_statm_rss(data: bytes) -> int | None:
    """Resident pages: the second of statm's seven numbers. None where there is no such number."""
    fields = data.split(None, 2)
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else None


def parse_statm_vm(data: bytes) -> tuple[int, int] | None:
    """Pages of address space, and of data with the stack: the first and the sixth number."""
    fields = data.split()
    if len(fields) < 6 or not (fields[0].isdigit() and fields[5].isdigit()):
        return None
    return int(fields[0]), int(fields[5])


def parse_limits(data: bytes) -> Rlimits:
    """/proc/PID/limits: fixed columns, `unlimited` for none."""

    def soft(name: bytes) -> int | None:
        found = re.search(rb"^" + name + rb" +(\d+) ", data, re.MULTILINE)
        return int(found[1]) if found else None

    return Rlimits(
        address_space_bytes=soft(b"Max address space"),
        data_bytes=soft(b"Max data size"),
        stack_bytes=soft(b"Max stack size"),
    )


def parse_environ(data: bytes) -> dict[str, str]:
    """The whitelisted variables alone; the first of a name counts, as getenv has it."""
    kept: dict[str, str] = {}
    for entry in data.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        known = name.decode("latin-1")
        if known == "KERNELD_CODE":  # a wish for privacy is heard, however long
            value = value[:MAX_VALUE_BYTES]
        if equals and known in ENVIRON_NAMES and len(value) <= MAX_VALUE_BYTES:
            kept.setdefault(known, text_of(value))
    return kept


def parse_argv(data: bytes) -> list[str]:
    """/proc/PID/cmdline; not UTF-8 becomes surrogates, as `os.fsdecode` has it: paths must open."""
    if not data:
        return []
    return [a.decode("utf-8", "surrogateescape") for a in data.removesuffix(b"\0").split(b"\0")]


@dataclass(frozen=True, slots=True)
class Meminfo:
    """/proc/meminfo. available_bytes: None before Linux 3.14."""

    total_bytes: int | None
    available_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None


def parse_meminfo(data: bytes) -> Meminfo:
    def size_bytes(name: bytes) -> int | None:
        found = re.search(rb"^" + name + rb": +(\d+) kB$", data, re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    return Meminfo(
        total_bytes=size_bytes(b"MemTotal"),
        available_bytes=size_bytes(b"MemAvailable"),
        swap_total_bytes=size_bytes(b"SwapTotal"),
        swap_free_bytes=size_bytes(b"SwapFree"),
    )


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A TCP socket in LISTEN. uid: of its creator; inode: as /proc/PID/fd names it."""

    address: str
    port: int
    uid: int
    inode: int


TCP_LISTEN = b"0A"


def listening_tcp(data: bytes) -> tuple[ListeningSocket, ...]:
    """/proc/PID/net/tcp, tcp6 or both: listening sockets; addresses are words in host byte order."""
    found: list[ListeningSocket] = []
    for line in data.split(b"\n"):
        fields = line.split()
        if len(fields) < 10 or fields[3] != TCP_LISTEN:
            continue
        try:
            raw, port = fields[1].split(b":")
            address = _address(raw)
            found.append(ListeningSocket(address, int(port, 16), int(fields[7]), int(fields[9])))
        except ValueError:
            continue
    return tuple(found)


def _address(raw: bytes) -> str:
    words = [int(raw[i : i + 8], 16) for i in range(0, len(raw), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return str(ipaddress.ip_address(packed))


_UNIX_LISTENER = re.compile(
    rb"^[0-9a-f]+: [0-9a-f]+ 00000000 00010000 [0-9a-f]+ [0-9a-f]+ +(\d+) (/.*)$", re.MULTILINE
)
"""SO_ACCEPTCON is the flag of a listener, __SO_ACCEPTCON 1 << 16 in net/unix/af_unix.c"""


def listening_unix(data: bytes) -> tuple[tuple[str, int], ...]:
    """/proc/PID/net/unix: (path, inode) of listening sockets. A path may hold anything, a newline
    too, and so forge a row: match the inode with the descriptors of the process."""
    return tuple(
        (path.decode("utf-8", "surrogateescape"), int(inode))
        for inode, path in _UNIX_LISTENER.findall(data)
    )
