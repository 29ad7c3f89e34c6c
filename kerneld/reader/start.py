"""Two descriptors into a running reader: without rights, without a word of what it reads in errors."""

import gc
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from types import TracebackType

from kerneld.reader.desk import Desk
from kerneld.reader.going_on import heed_continue
from kerneld.reader.rights import give_up_rights

EX_SOFTWARE = 70
SWITCH_INTERVAL_S = 0.0005
"""who understands gives way to who hears after this long: at Python's own 5 ms each read waited for a
parser, and what is not read stays in the kernel's memory"""


def main(socket_fd: int, note_fd: int, boot_id: str) -> None:
    sys.excepthook = _tell_without_text
    threading.excepthook = _end_of_a_thread
    # a stop signal for the whole group is the collector's business: its socket's end comes last
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    heed_continue()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # parsing other people's cells warns about their escapes and comparisons
    warnings.simplefilter("ignore")
    give_up_rights()
    gc.freeze()
    Desk(socket.socket(fileno=socket_fd), boot_id=boot_id, note_fd=note_fd).run()


def _tell_without_text(
    kind: type[BaseException], _: BaseException, trace: TracebackType | None
) -> None:
    """Where it failed and how, but not the exception's text, which may quote a cell or a key."""
    sys.stderr.write(f"kerneld.reader: {kind.__name__}\n{''.join(traceback.format_tb(trace))}")


def _end_of_a_thread(problem: threading.ExceptHookArgs) -> None:
    """A reader that can't hear is worse than none: the collector starts another."""
    _tell_without_text(problem.exc_type, problem.exc_type(), problem.exc_traceback)
    os._exit(EX_SOFTWARE)
