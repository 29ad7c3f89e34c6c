"""Marks to skips: what a test needs and this machine lacks is told with its remedy.

With KERNELD_TESTS=all, as .ci/run sets it, each such skip is a failure.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

V1_MEMORY = Path("/sys/fs/cgroup/memory")
V2_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")


def _lacks_root() -> str | None:
    if os.geteuid() != 0:
        return "not root: run `sudo -E python -m pytest tests/live`"
    here = Path(sys.prefix), Path(__file__).parent
    closed = [
        path for each in here for path in (each, *each.parents) if not path.stat().st_mode & 0o001
    ]
    if closed:
        return f"other users can't enter {closed[0]}: clone and install where they can, such as /opt"
    return None


def _lacks_kmsg() -> str | None:
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return f"/dev/kmsg: {error.strerror}: run as root, in a container with `--device /dev/kmsg`"
    return None


def _lacks_memcg() -> str | None:
    v2 = V2_CONTROLLERS.exists() and "memory" in V2_CONTROLLERS.read_text().split()
    root = V2_CONTROLLERS.parent if v2 else V1_MEMORY
    if root.is_dir() and os.access(root, os.W_OK):
        return None
    return f"{root} can't be written: run as root, with the memory controller mounted"


def _lacks_systemd() -> str | None:
    if os.geteuid() == 0 and Path("/lib/systemd/systemd").exists():
        return None
    return "no systemd to boot: `apt-get install systemd`, and run as root"


def _lacks_guards() -> str | None:
    path = f"{os.environ['PATH']}:/usr/sbin"
    slurm = "slurmd slurmctld slurm-client slurm-wlm-basic-plugins libhwloc15"
    packages = {"earlyoom": "earlyoom", "nohang": "nohang", "slurmd": slurm}
    missing = [name for name in packages if shutil.which(name, path=path) is None]
    if not missing:
        return None
    # installed, they would be started, and guard this machine
    unpack = f"`apt-get download {' '.join(packages[name] for name in missing)}`"
    links = ", link its *-wlm to names without that" if "slurmd" in missing else ""
    return (
        f"no {' and no '.join(missing)}: {unpack}, `dpkg -x` each into a folder{links}, and put its "
        "usr/bin and usr/sbin on PATH"
    )


def _lacks_coredump() -> str | None:
    if shutil.which("coredumpctl") is None:
        unpack = "`apt-get download systemd-coredump libdw1 libelf1`, `dpkg -x` each into a folder"
        return f"no systemd-coredump: {unpack}, and put its usr/bin on PATH"
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern[:1] in "|@/":
        return f"cores go to {pattern}: a machine whose core_pattern is `core` is needed"
    return None


def _lacks_irkernel() -> str | None:
    if shutil.which("R") and Path("/usr/lib/R/site-library/IRkernel").exists():
        return None
    return "no kernel for R: `apt-get install r-cran-irkernel`"


def _lacks_rpm() -> str | None:
    return (
        None if shutil.which("rpmbuild") else "no rpm to build and register with: `apt-get install rpm`"
    )


def _lacks_browser() -> str | None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium or not importlib.util.find_spec("playwright"):
        return "no browser: `apt-get install chromium`, `pip install playwright`"
    return None


def _lacks_hub() -> str | None:
    if not all(map(importlib.util.find_spec, ("jupyterhub", "systemdspawner"))):
        return "no JupyterHub: `pip install jupyterhub jupyterhub-systemdspawner`"
    if not shutil.which("configurable-http-proxy"):
        return "no proxy for JupyterHub: `npm install --global configurable-http-proxy`"
    return None


def _lacks_promtool() -> str | None:
    return None if shutil.which("promtool") else "no promtool: `apt-get install prometheus`"


def _lacks_qemu() -> str | None:
    tools = ("qemu-system-x86_64", "debootstrap", "cpio")
    if os.geteuid() == 0 and all(map(shutil.which, tools)):
        return None
    return "no machine to emulate: `apt-get install qemu-system-x86 debootstrap cpio`, and run as root"


NEEDS: dict[str, Callable[[], str | None]] = {
    "needs_root": _lacks_root,
    "needs_kmsg": _lacks_kmsg,
    "needs_memcg": _lacks_memcg,
    "needs_systemd": _lacks_systemd,
    "needs_guards": _lacks_guards,
    "needs_coredump": _lacks_coredump,
    "needs_irkernel": _lacks_irkernel,
    "needs_rpm": _lacks_rpm,
    "needs_browser": _lacks_browser,
    "needs_hub": _lacks_hub,
    "needs_promtool": _lacks_promtool,
    "needs_qemu": _lacks_qemu,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """A file a worker; but what shares live deaths or tracefs stays on one, and booted systemds do."""
    return Rooms(config, log)


class Rooms(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        room = Path(file).parent.name
        if room == "live" or file.endswith("/test_trace.py"):
            return "live"
        return "system" if room == "system" else file


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("long") and not item.config.getoption("--long"):
        pytest.skip("takes minutes: run with --long")
    for mark, lacks in NEEDS.items():
        missing = lacks() if item.get_closest_marker(mark) else None
        if missing is None:
            continue
        if os.environ.get("KERNELD_TESTS") == "all":
            pytest.fail(f"{mark}: {missing}", pytrace=False)
        pytest.skip(f"{mark}: {missing}")
