"""Root or a service user with capabilities into a process that can do next to nothing."""

import ctypes
import os
import pwd
import resource

SERVICE_USER, FALLBACK_USER = "kerneld", "nobody"
ADDRESS_SPACE_BYTES = 1 << 30
"""59 MiB are mapped with one listening thread (each thread's malloc arena reserves up to 128 MiB)"""
OOM_SCORE = 500
"""when memory runs out this process goes before the collector that it was started by"""

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint32 * 6),)


def give_up_rights() -> None:
    """Call before the first thread: capset(2) speaks for the calling thread alone.

    Raises OSError when something that must go does not: better no reader than one with rights.
    """
    _run_as_anybody_else()
    user = _unprivileged_user() if os.geteuid() == 0 else None
    drop_capabilities(None if user is None else (user.pw_uid, user.pw_gid))
    _limit()
    _must(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def drop_capabilities(become: tuple[int, int] | None = None) -> None:
    """For good, of this process and all that it starts. become: the uid and gid that root gives way to.

    Call before the first thread. Raises OSError when one stays.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        # refused without CAP_SETPCAP and beyond the last capability that this Linux knows
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if become is not None:
        _become(*become)
    _must(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    _must(_libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(_Sets())))
    _must(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _run_as_anybody_else() -> None:
    """The collector's scheduling and its protection from the OOM killer are not for this process."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with open("/proc/self/oom_score_adj", "r+") as score:
        if int(score.read()) < OOM_SCORE:
            score.seek(0)
            score.write(str(OOM_SCORE))


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return pwd.getpwnam(FALLBACK_USER)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _must(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
