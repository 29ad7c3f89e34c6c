"""Text of a trace pipe into the signals that were sent: by which thread, to whom, with what outcome.

Source: the event signal_generate of include/trace/events/signal.h, from 2.6.33, behind the columns of
trace_print_context in kernel/trace/trace_output.c. Names are printed as they are, newlines too; they
have 15 bytes at most, too few to hold the head of a false record.
"""

import re
from dataclasses import dataclass

from kerneld.parse.procfs import text_of

DELIVERED = frozenset({0, 4})
"""TRACE_SIGNAL_DELIVERED and _LOSE_INFO: not ignored, not pending already, not dropped"""
MAX_RECORD_BYTES = 512

_RECORD = re.compile(
    rb" *(?P<sender>(?:.|\n){0,16}?)-(?P<tid>[0-9]{1,10}) +\[[0-9]{1,5}\] [^ \n]{1,8} +"
    rb"(?P<s>[0-9]{1,12})\.(?P<us>[0-9]{6}): signal_generate: sig=(?P<number>[0-9]{1,3}) "
    rb"errno=-?[0-9]{1,10} code=(?P<code>-?[0-9]{1,10}) comm=(?:.|\n){0,15}? "
    rb"pid=(?P<pid>[0-9]{1,10}) grp=[01] res=(?P<result>[0-9])\n"
)
_LOST = re.compile(rb"CPU:[0-9]+ \[LOST (?P<events>[0-9]{1,19}) EVENTS\]\n")
_UNKNOWN = "<...>"


@dataclass(frozen=True, slots=True)
class TracedSignal:
    """One record. pid: the target as its sender's system call named it, a thread with tgkill(2).

    sender_tid: the thread that ran on the processor then. code: si_code, above 0 for Linux's own.
    monotonic_s: by CLOCK_MONOTONIC, where the instance's trace_clock is `mono`.
    """

    monotonic_s: float
    number: int
    code: int
    pid: int
    delivered: bool
    sender_tid: int
    sender_comm: str | None


@dataclass(frozen=True, slots=True)
class Parsed:
    """rest: the bytes of a record that is not whole yet. lost: records that found no room."""

    signals: tuple[TracedSignal, ...]
    lost: int
    rest: bytes


def parse_trace(data: bytes) -> Parsed:
    """All whole records of what the pipe gave so far."""
    signals, end = [], 0
    for found in _RECORD.finditer(data):
        end = found.end()
        comm = text_of(found["sender"].lstrip(b" "))  # %16s
        signals.append(
            TracedSignal(
                monotonic_s=int(found["s"]) + int(found["us"]) / 1e6,
                number=int(found["number"]),
                code=int(found["code"]),
                pid=int(found["pid"]),
                delivered=int(found["result"]) in DELIVERED,
                sender_tid=int(found["tid"]),
                sender_comm=None if comm == _UNKNOWN else comm,
            )
        )
    lost = sum(int(found["events"]) for found in _LOST.finditer(data))
    rest = _LOST.sub(b"", data[end:])[-MAX_RECORD_BYTES:]
    return Parsed(tuple(signals), lost, rest)
