"""The process that hears the notebooks, started once and asked whether it is there."""

import os
import select
import socket
import subprocess
import sys

from kerneld.doctor.check import Check
from kerneld.model.wire import MAX_DATAGRAM_BYTES, NOTE_BYTES, Order, Ping, Pong, Told
from kerneld.proc.process import boot_id

NAME = "iopub"
LOST_CELLS = "Which cell ran, and who asked for an end, stays unknown."
_ANSWER_S, _END_S = 5.0, 2.0


def iopub() -> Check:
    """The reader gives up its rights and answers; no kernel is listened to."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    note_fd = os.memfd_create("kerneld-doctor-note", os.MFD_CLOEXEC)
    os.ftruncate(note_fd, NOTE_BYTES)
    fds = [theirs.fileno(), note_fd]
    command = [sys.executable, "-I", "-m", "kerneld.reader", *map(str, fds), boot_id()]
    with (
        ours,
        subprocess.Popen(
            command,
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            text=True,
            errors="replace",
        ) as reader,
    ):
        theirs.close()
        os.close(note_fd)
        answered = _answers(ours)
        ours.close()
        try:
            _, said = reader.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            reader.kill()
            _, said = reader.communicate()
    if answered:
        return Check(name=NAME, works=True, says="the reader process starts and answers")
    last = said.strip().rpartition("\n")[2] or f"it does not answer for {_ANSWER_S:.0f} s"
    return Check(name=NAME, works=False, says=f"the reader process: {last}", costs=LOST_CELLS)


def _answers(ours: socket.socket) -> bool:
    try:
        ours.send(Order(order=Ping(number=1)).model_dump_json().encode())
        if not select.select([ours], [], [], _ANSWER_S)[0]:
            return False
        data = ours.recv(MAX_DATAGRAM_BYTES)
    except OSError:
        return False
    return bool(data) and isinstance(Told.model_validate_json(data, strict=True).said, Pong)
