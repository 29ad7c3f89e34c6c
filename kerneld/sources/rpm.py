"""rpm's own word on whose a file is: asked as a child without rights, since its database has no format
that is promised. https://rpm.org/docs/4.20.x/man/rpm.8
"""

import os
import select
import signal

from kerneld.parse.packages import Package, parse_rpm
from kerneld.sources.child import Bounds, spawn

RPM = "/usr/bin/rpm"
FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_DATABASES = ("rpmdb.sqlite", "Packages.db", "Packages")
DEADLINE_S = 2.0
_FORMAT = "%{NAME} %{VERSION}-%{RELEASE}\\n"
_OUTPUT_BYTES = 64 * 1024
_BOUNDS = Bounds(file_bytes=_OUTPUT_BYTES, files=256, cpu_s=2)


def rpm_owner(path: str, *, folders: tuple[str, ...] = FOLDERS) -> Package | None:
    """The package of a file and its version; None: it is none of rpm's, or rpm has no database here.

    Without one rpm would make one, and Debian's in the home of who asks.
    """
    there = (f for f in folders if any(os.path.exists(f"{f}/{name}") for name in _DATABASES))
    folder = next(there, None)
    if folder is None or not os.access(RPM, os.X_OK):
        return None
    where = ["--dbpath", folder]
    asked = ["rpm", *where, "--query", "--queryformat", _FORMAT, "--file", "--", path]
    out = os.memfd_create("rpm", os.MFD_CLOEXEC)
    try:
        pid = spawn(RPM, asked, _BOUNDS, out=out, err=None)
        return parse_rpm(os.pread(out, _OUTPUT_BYTES, 0)) if _ends_well(pid) else None
    except OSError:
        return None
    finally:
        os.close(out)


def _ends_well(pid: int) -> bool:
    """In time, or it is killed."""
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], DEADLINE_S)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return os.waitpid(pid, 0)[1] == 0
    finally:
        os.close(pidfd)
