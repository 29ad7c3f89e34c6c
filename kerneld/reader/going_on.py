"""A stopped reader goes on by itself: Linux sends it SIGCONT by a timer, while a kernel needs that."""

import ctypes
import os
import signal
import time

PERIOD_S = 0.25
"""an R kernel that prints 20 MB a second begins to grow 0.5 s after its listener stopped: until then
the socket's buffers take all"""

_libc = ctypes.CDLL(None, use_errno=True)
if not hasattr(_libc, "timer_create"):
    _libc = ctypes.CDLL("librt.so.1", use_errno=True)  # before glibc 2.34


class _SigEvent(ctypes.Structure):
    """struct sigevent. notify 0: SIGEV_SIGNAL."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_int * 12),
    )


class _TimerSpec(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


def heed_continue() -> None:
    """Call in the main thread: since Linux 6.13 a timer whose signal is ignored fires only once."""
    signal.signal(signal.SIGCONT, lambda *_: None)


class GoingOn:
    """While it is on, a stop of this process lasts PERIOD_S at most.

    A timer counts as a signal that waits: its user may have no more of them (RLIMIT_SIGPENDING). Then a
    stop lasts, and kernels are heard all the same.
    """

    def __init__(self) -> None:
        event, timer = _SigEvent(None, signal.SIGCONT, 0), ctypes.c_void_p()
        made = _libc.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer))
        self._timer = timer if made == 0 else None

    def turn(self, *, on: bool) -> None:
        if self._timer is None:
            return
        period_ns = int(PERIOD_S * 1e9) if on else 0
        spec = _TimerSpec(0, period_ns, 0, period_ns)
        _must(_libc.timer_settime(self._timer, 0, ctypes.byref(spec), None))


def _must(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
