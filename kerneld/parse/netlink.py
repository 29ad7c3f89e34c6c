"""Bytes of netlink messages (cn_proc, taskstats, generic netlink control) to values, no I/O.

All numbers are in the host's byte order; layouts: include/uapi/linux/{netlink,cn_proc,taskstats}.h.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NLMSGHDR = struct.Struct("=IHHII")
_NLATTR = struct.Struct("=HH")
NLMSG_ERROR, NLMSG_DONE = 2, 3
GENL_ID_CTRL = 0x10
_GENL_HEADER_SIZE = 4
_ATTRIBUTE_FLAGS = 0xC000


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    payload: bytes


def split_messages(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram; what is cut short ends it."""
    offset = 0
    while offset + _NLMSGHDR.size <= len(datagram):
        length, kind, _flags, _seq, _port = _NLMSGHDR.unpack_from(datagram, offset)
        if length < _NLMSGHDR.size or offset + length > len(datagram):
            return
        yield Message(kind, datagram[offset + _NLMSGHDR.size : offset + length])
        offset += length + 3 & ~3


def error_of(message: Message) -> int | None:
    """The errno of an NLMSG_ERROR (0: an acknowledgement); None for any other message."""
    if message.kind != NLMSG_ERROR or len(message.payload) < 4:
        return None
    return -int(struct.unpack_from("=i", message.payload)[0])


def attributes(data: bytes) -> dict[int, bytes]:
    """Type to value of a run of attributes; the first of a type counts."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _NLATTR.size <= len(data):
        length, kind = _NLATTR.unpack_from(data, offset)
        if length < _NLATTR.size or offset + length > len(data):
            break
        found.setdefault(kind & ~_ATTRIBUTE_FLAGS, data[offset + _NLATTR.size : offset + length])
        offset += length + 3 & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return _NLATTR.pack(_NLATTR.size + len(value), kind) + value + bytes(padding)


# ---------------------------------------------------------------- the proc connector

CN_IDX_PROC = CN_VAL_PROC = 1
PROC_EVENT_NONE, PROC_EVENT_EXEC = 0, 2
PROC_EVENT_COREDUMP, PROC_EVENT_EXIT = 0x40000000, 0x80000000
_CN_MSG = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=IIQ")
_EXIT = struct.Struct("=iiI")
_PARENT_AT = 12
"""struct coredump_proc_event: pid, tgid, parent_pid, parent_tgid"""
WHAT_OFFSET = _NLMSGHDR.size + _CN_MSG.size
PID_OFFSET = WHAT_OFFSET + _EVENT.size
TGID_OFFSET = PID_OFFSET + 4
STATUS_OFFSET = PID_OFFSET + 8


@dataclass(frozen=True, slots=True)
class ListenReply:
    """What Linux answers to whoever asks for events. code: an errno, 0 for yes.

    All listeners hear it: number is the request's own. It travels as `ack`, which Linux answers
    with one more; `seq` it overwrites with a count of its own (drivers/connector/cn_proc.c).
    """

    code: int
    number: int


@dataclass(frozen=True, slots=True)
class Executed:
    """A process has begun a new program."""

    pid: int


@dataclass(frozen=True, slots=True)
class LeaderExited:
    """The main thread of a process left, which nearly always is the end of the process.

    It is not when the others run on, or when one of them took its place by exec: then the code is
    that thread's alone. monotonic_ns: CLOCK_MONOTONIC.
    """

    pid: int
    status_raw: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Crashed:
    """A thread got a signal that dumps core, whether or not a core is written.

    parent: its process's parent, told from Linux 4.18 on; 0 before.
    """

    tid: int
    pid: int
    parent: int = 0


def connector_request(operation: int, number: int = 0) -> bytes:
    """The body that asks the proc connector to begin (1) or to end (2)."""
    body = struct.pack("=I", operation)
    return _CN_MSG.pack(CN_IDX_PROC, CN_VAL_PROC, 0, number, len(body), 0) + body


def parse_proc_event(payload: bytes) -> ListenReply | Executed | Crashed | LeaderExited | None:
    """One cn_msg; None for events that nobody asked for, threads' exits, and what is cut short."""
    event_at = _CN_MSG.size
    data_at = event_at + _EVENT.size
    if len(payload) < data_at + _EXIT.size:
        return None
    index, value, _seq, ack, _size, _flags = _CN_MSG.unpack_from(payload)
    if (index, value) != (CN_IDX_PROC, CN_VAL_PROC):
        return None
    what, _cpu, monotonic_ns = _EVENT.unpack_from(payload, event_at)
    first, second, status_raw = _EXIT.unpack_from(payload, data_at)
    if what == PROC_EVENT_NONE:
        return ListenReply(first, ack - 1)
    if what == PROC_EVENT_EXEC:
        return Executed(second)
    if what == PROC_EVENT_COREDUMP:
        return Crashed(first, second, _parent(payload, data_at + _PARENT_AT))
    if what == PROC_EVENT_EXIT and first == second:
        return LeaderExited(first, status_raw, monotonic_ns)
    return None


def _parent(payload: bytes, at: int) -> int:
    return int(struct.unpack_from("=i", payload, at)[0]) if len(payload) >= at + 4 else 0


# ---------------------------------------------------------------- taskstats

_TYPE_PID, _TYPE_STATS, _TYPE_AGGR_PID = 1, 3, 4
TASK_PID_OFFSET = _NLMSGHDR.size + _GENL_HEADER_SIZE + 2 * _NLATTR.size
"""nlmsghdr, genlmsghdr, the header of AGGR_PID, the header of PID: mk_reply() in kernel/taskstats.c"""

_EXIT_CODE_AT, _PID_AT, _HIWATER_RSS_AT = 4, 128, 200
_SHIFTS_BYTES = {15: (0, 24), 16: (0, 48)}
"""Linux 6.14 and 6.15 put three, then six numbers into the middle of the struct (versions 15, 16);
they were moved to its end again under the same number (6.18 has version 16 and the old offsets).
ac_pid, compared with the message's own pid, tells which it is."""
_FIRST_VERSION_WITH_PEAK = 3


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """The account of one thread's end. The peaks are its process's; None where they are not told.

    peak_bytes: resident. vm_peak_bytes: of its address space.
    """

    tid: int
    version: int
    status_raw: int
    peak_bytes: int | None
    vm_peak_bytes: int | None = None


def parse_task_end(payload: bytes) -> TaskEnd | None:
    """A message of the taskstats family; None for answers to commands and what is cut short."""
    nest = attributes(payload[_GENL_HEADER_SIZE:]).get(_TYPE_AGGR_PID)
    if nest is None:
        return None
    inner = attributes(nest)
    pid, stats = inner.get(_TYPE_PID, b""), inner.get(_TYPE_STATS, b"")
    if len(pid) != 4 or len(stats) < _EXIT_CODE_AT + 4:
        return None
    (tid,) = struct.unpack("=I", pid)
    (version,) = struct.unpack_from("=H", stats)
    (status_raw,) = struct.unpack_from("=I", stats, _EXIT_CODE_AT)
    return TaskEnd(tid, version, status_raw, *_peaks(stats, tid, version))


def _peaks(stats: bytes, tid: int, version: int) -> tuple[int | None, int | None]:
    if version < _FIRST_VERSION_WITH_PEAK:
        return None, None
    fitting = [
        shift
        for shift in _SHIFTS_BYTES.get(version, (0,))
        if len(stats) >= _HIWATER_RSS_AT + shift + 16
        and struct.unpack_from("=I", stats, _PID_AT + shift)[0] == tid
    ]
    if len(fitting) != 1:
        return None, None
    rss_kib, vm_kib = struct.unpack_from("=QQ", stats, _HIWATER_RSS_AT + fitting[0])
    return rss_kib * 1024 or None, vm_kib * 1024 or None


_CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 3, 1, 2
_TASKSTATS_CMD_GET, _ATTR_REGISTER_CPUMASK = 1, 3


def family_request() -> bytes:
    """The body that asks for the number of the family TASKSTATS."""
    return struct.pack("=BBH", _CTRL_CMD_GETFAMILY, 1, 0) + attribute(
        _CTRL_ATTR_FAMILY_NAME, b"TASKSTATS\0"
    )


def parse_family(payload: bytes) -> int | None:
    number = attributes(payload[_GENL_HEADER_SIZE:]).get(_CTRL_ATTR_FAMILY_ID, b"")
    return int(struct.unpack("=H", number)[0]) if len(number) == 2 else None


def register_request(cpus: str) -> bytes:
    """The body that asks for the end of every task on these CPUs, written as `0-3`."""
    return struct.pack("=BBH", _TASKSTATS_CMD_GET, 1, 0) + attribute(
        _ATTR_REGISTER_CPUMASK, cpus.encode() + b"\0"
    )
