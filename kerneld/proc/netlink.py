"""Netlink sockets that hear of a few processes only: Linux itself drops the rest by a BPF filter.

A host with 2,000 forks a second sends 2,000 exit events a second; reading them in Python would
cost a fifth of a core. The filter runs in the exiting process and costs some 10 ns there.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Collection, Iterator

from kerneld.parse.netlink import (
    GENL_ID_CTRL,
    NLMSG_ERROR,
    PID_OFFSET,
    PROC_EVENT_COREDUMP,
    PROC_EVENT_EXEC,
    PROC_EVENT_EXIT,
    PROC_EVENT_NONE,
    STATUS_OFFSET,
    TASK_PID_OFFSET,
    TGID_OFFSET,
    WHAT_OFFSET,
    Message,
    split_messages,
)

NETLINK_CONNECTOR, NETLINK_GENERIC = 11, 16
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_RECEIVE_BUFFER_BYTES = 2 << 20
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_MAX_BATCH = 512

CORE_SIGNALS = (3, 4, 5, 6, 7, 8, 11, 24, 25, 31)
"""those that dump core, or would (SIG_KERNEL_COREDUMP_MASK): each has sent an event before the exit"""

# linux/bpf_common.h
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _COPY_TO_X, _AND = 0x20, 0x28, 0x30, 0x07, 0x54
_JUMP, _JUMP_EQUAL, _JUMP_EQUAL_X, _RETURN = 0x05, 0x15, 0x1D, 0x06
_ACCEPT, _DROP = (_RETURN, 0, 0, 0xFFFFFFFF), (_RETURN, 0, 0, 0)
_CHUNK = 250
"""a conditional jump reaches 255 instructions far"""
_MAX_FILTERED_PIDS = 3500
"""a filter has at most 4096 instructions; beyond this all exits come, and cost what they cost"""

Instruction = tuple[int, int, int, int]


def connector_filter(pids: Collection[int], *, execs: bool) -> list[Instruction]:
    """Exits of these processes' main threads, all crashes and their exits, every exec if asked for.

    Whose child's child crashes is not in the event: that is asked of /proc.
    """
    wanted = PROC_EVENT_EXEC if execs else PROC_EVENT_EXIT
    return [
        (_LOAD_WORD, 0, 0, WHAT_OFFSET),
        (_JUMP_EQUAL, 4, 0, socket.htonl(PROC_EVENT_EXIT)),
        (_JUMP_EQUAL, 2, 0, socket.htonl(PROC_EVENT_COREDUMP)),
        (_JUMP_EQUAL, 1, 0, socket.htonl(wanted)),
        _DROP,
        _ACCEPT,
        (_LOAD_WORD, 0, 0, PID_OFFSET),
        (_COPY_TO_X, 0, 0, 0),
        (_LOAD_WORD, 0, 0, TGID_OFFSET),
        (_JUMP_EQUAL_X, 1, 0, 0),
        _DROP,
        (_LOAD_BYTE, 0, 0, STATUS_OFFSET + (0 if sys.byteorder == "little" else 3)),
        (_AND, 0, 0, 0x7F),
        *(
            (_JUMP_EQUAL, left, 0, number)
            for left, number in zip(range(len(CORE_SIGNALS), 0, -1), CORE_SIGNALS, strict=True)
        ),
        (_JUMP, 0, 0, 1),
        _ACCEPT,
        (_LOAD_WORD, 0, 0, TGID_OFFSET),
        *_accept_pids(pids),
    ]


def handshake_filter() -> list[Instruction]:
    """Only the connector's answer to a request."""
    return [
        (_LOAD_WORD, 0, 0, WHAT_OFFSET),
        (_JUMP_EQUAL, 1, 0, socket.htonl(PROC_EVENT_NONE)),
        _DROP,
        _ACCEPT,
    ]


def taskstats_filter(pids: Collection[int]) -> list[Instruction]:
    """Answers to requests, and the ends of these tasks: a main thread's id is its process's pid."""
    return [
        (_LOAD_HALF, 0, 0, 4),
        (_JUMP_EQUAL, 2, 0, socket.htons(NLMSG_ERROR)),
        (_JUMP_EQUAL, 1, 0, socket.htons(GENL_ID_CTRL)),
        (_JUMP, 0, 0, 1),
        _ACCEPT,
        (_LOAD_WORD, 0, 0, TASK_PID_OFFSET),
        *_accept_pids(pids),
    ]


def _accept_pids(pids: Collection[int]) -> Iterator[Instruction]:
    """Accept if the accumulator holds one of the pids, else drop. Loads swap to network order."""
    if len(pids) > _MAX_FILTERED_PIDS:
        yield _ACCEPT
        return
    values = [socket.htonl(pid) for pid in pids]
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        for index, value in enumerate(chunk):
            yield (_JUMP_EQUAL, len(chunk) - index, 0, value)
        yield (_JUMP, 0, 0, 1)
        yield _ACCEPT
    yield _DROP


def attach_filter(sock: socket.socket, program: Collection[Instruction]) -> None:
    """Put a filter on a socket, or replace the one it has in one step."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock_fprog = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, sock_fprog)


def open_netlink(protocol: int, *, groups: int, program: Collection[Instruction]) -> socket.socket:
    """A bound, non-blocking netlink socket that has its filter from the first message on."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        attach_filter(sock, program)
        sock.bind((0, groups))
    except OSError:
        sock.close()
        raise
    return sock


def send_request(sock: socket.socket, kind: int, body: bytes) -> None:
    """Commands to a generic family are acknowledged; the others have answers of their own."""
    flags = _NLM_F_REQUEST | (_NLM_F_ACK if kind > GENL_ID_CTRL else 0)
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body)


def receive(sock: socket.socket) -> tuple[list[Message], bool]:
    """What has come from Linux (never from another process), and whether something was lost."""
    messages: list[Message] = []
    overflowed = False
    for _ in range(_MAX_BATCH):
        try:
            datagram, sender = sock.recvfrom(8192)
        except BlockingIOError:
            break
        except OSError as problem:
            if problem.errno != errno.ENOBUFS:
                raise
            overflowed = True
            continue
        if sender[0] == 0:
            messages += split_messages(datagram)
    return messages, overflowed
