"""The reader process itself: started, written to with descriptors, read from, and ended."""

import array
import os
import socket
import subprocess
import sys
from collections import deque
from dataclasses import dataclass

from kerneld.errors import SourceUnavailable
from kerneld.model.wire import (
    MAX_DATAGRAM_BYTES,
    NOTE_BYTES,
    READING_AT,
    SHAKING_AT,
    WORKING_ON,
    AnyOrder,
    Order,
)
from kerneld.proc.memory import Resident

_ENVIRON = {"MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8"}


class ReaderFailed(SourceUnavailable):
    """This reader is done for; the next one starts after the supervisor's pause."""


@dataclass(frozen=True, slots=True)
class _Letter:
    """One datagram. fd: goes along, and is closed here when it went."""

    data: bytes
    fd: int | None = None

    def rights(self) -> "list[tuple[int, int, array.array[int]]]":
        if self.fd is None:
            return []
        return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self.fd]))]

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


class Child:
    """One reader process and the collector's end of its socket."""

    def __init__(self, boot_id: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._note_fd = os.memfd_create("kerneld-reader-note", os.MFD_CLOEXEC)
        os.ftruncate(self._note_fd, NOTE_BYTES)
        fds = [theirs.fileno(), self._note_fd]
        command = [sys.executable, "-I", "-m", "kerneld.reader", *map(str, fds), boot_id]
        try:
            self.process = subprocess.Popen(
                command,
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_ENVIRON,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(self._note_fd)
            raise ReaderFailed(f"the reader can't be started: {error.strerror}") from error
        finally:
            theirs.close()
        self.socket = ours
        folder = os.open(f"/proc/{self.process.pid}", os.O_PATH | os.O_CLOEXEC)
        self._resident = Resident(folder)
        os.close(folder)
        self._unsent: deque[_Letter] = deque()

    def send(self, order: AnyOrder, fd: int | None = None) -> None:
        """Queue an order. fd: a copy goes along, as the caller may close it before it is sent."""
        copy = None if fd is None else os.dup(fd)
        self._unsent.append(_Letter(Order(order=order).model_dump_json().encode(), copy))

    def flush(self) -> bool:
        """Send what goes; False: some must wait for room."""
        while self._unsent:
            letter = self._unsent[0]
            try:
                self.socket.sendmsg([letter.data], letter.rights(), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True  # the next receive tells its end
            except OSError as error:
                raise ReaderFailed(f"the reader can't be told: {error.strerror}") from error
            self._unsent.popleft().close()
        return True

    def receive(self) -> bytes | None:
        """One datagram; None: nothing there. Raises ReaderFailed at its end or at nonsense."""
        try:
            data, _, flags, _ = self.socket.recvmsg(MAX_DATAGRAM_BYTES, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionError:
            data, flags = b"", 0
        if not data:
            raise ReaderFailed("the reader ended")
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ReaderFailed("the reader sent more than it may")
        return data

    def working_on(self) -> int:
        """The file of the kernel that libzmq shakes hands with, or else whose message it is reading.

        0: of none. The first ends it by an assertion, which the other can't.
        """
        note = os.pread(self._note_fd, NOTE_BYTES, 0)
        shaking, reading = (WORKING_ON.unpack_from(note, at)[0] for at in (SHAKING_AT, READING_AT))
        return int(shaking or reading)

    def rss_bytes(self) -> int:
        return self._resident.read_bytes()

    def end(self, within_s: float) -> None:
        """It ends by itself when its socket closes; if it does not, it is killed."""
        self.socket.close()
        self._resident.close()
        os.close(self._note_fd)
        while self._unsent:
            self._unsent.popleft().close()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
