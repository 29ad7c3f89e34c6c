"""Debian's memory guards into a machine: the real programs, by their own units, for one kill each.

They kill whoever has the highest oom_score of all that they see, which in a machine of one's own is
nobody of the host; there a kernel is given the highest, and the guard ends with its first kill.
"""

import re
import shutil
from pathlib import Path

from machine import Machine

WHERE = "/usr/bin:/usr/sbin:/bin:/sbin"
LITTLE_SHARE = 0.03
"""of memory: nohang sends SIGTERM below 5 %, SIGKILL below 2 %"""
ONLY_THE_KERNEL = 1200
"""the reader, whose oom_score_adj is 500, has about 1000; who has 1000 of that, 1333"""


def marked(machine: Machine, pid: int) -> None:
    machine.path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def start_earlyoom(machine: Machine) -> None:
    _install(machine, "earlyoom", "Restart=no")
    # -N: what runs after a kill; the next one would be somebody else
    machine.path("/run/once").write_text("#!/bin/sh\nkill -9 $PPID\n")
    machine.path("/run/once").chmod(0o755)
    limits = "-m 99,98 -s 100,99 -r 0 -N /run/once"
    machine.path("/etc/default/earlyoom").write_text(f'EARLYOOM_ARGS="{limits}"\n')
    machine.systemctl("start", "earlyoom")


def start_nohang(machine: Machine) -> None:
    _install(machine, "nohang", "BindReadOnlyPaths=/run/meminfo:/proc/meminfo")
    settings = (_root("nohang") / "etc/nohang/nohang.conf").read_text()
    settings = settings.replace("min_badness = 1\n", f"min_badness = {ONLY_THE_KERNEL}\n")
    machine.path("/etc/nohang").mkdir(exist_ok=True)
    machine.path("/etc/nohang/nohang.conf").write_text(settings)
    # it refuses a limit of more than half the memory: it is told that little of this host's is left
    meminfo = Path("/proc/meminfo").read_text()
    total = re.match(r"MemTotal: +([0-9]+)", meminfo)
    assert total is not None
    left = f"MemAvailable: {int(int(total[1]) * LITTLE_SHARE)}"
    told = re.sub(r"SwapFree: +[0-9]+", "SwapFree: 0", re.sub(r"MemAvailable: +[0-9]+", left, meminfo))
    machine.path("/run/meminfo").write_text(told)
    machine.systemctl("start", "nohang")


def _install(machine: Machine, name: str, setting: str) -> None:
    program = shutil.which(name) or shutil.which(name, path=WHERE)
    assert program is not None
    place = f"/{Path(program).relative_to(_root(name))}"
    if place != program:
        shutil.copy(program, machine.path(place))
    units = [_root(name) / folder / f"systemd/system/{name}.service" for folder in ("lib", "usr/lib")]
    shutil.copy(next(unit for unit in units if unit.exists()), machine.path("/etc/systemd/system"))
    extra = machine.path(f"/etc/systemd/system/{name}.service.d")
    extra.mkdir()
    (extra / "test.conf").write_text(f"[Service]\n{setting}\n")
    machine.systemctl("daemon-reload")


def _root(name: str) -> Path:
    """Of the tree in which the package lies: /, or where it was unpacked."""
    program = shutil.which(name) or shutil.which(name, path=WHERE)
    assert program is not None
    return Path(program).parent.parent.parent
