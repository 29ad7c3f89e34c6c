"""kerneld's systemd files into the tree that a machine gets beside the host's userland."""

import shutil
import sys
import uuid
from pathlib import Path

UNITS = Path(__file__).parent.parent.parent / "systemd"
ANA = 20421
HOME = "/home/ana"
ROOTS_RUNTIME_DIR = "/run/user/0"
TOLD = "/run/kerneld.said"

BEN = 20422

_PEOPLE = f'u ana {ANA} "Ana" {HOME} /bin/sh\nu ben {BEN} "Ben" /home/ben /bin/sh\n'
_HOMES = f"d {HOME} 0700 ana ana -\nd /run/user/{ANA} 0700 ana ana -\nd /home/ben 0700 ben ben -\n"
# as systemd's own tmpfiles.d/systemd.conf has it
_JOURNAL = (
    "Z /run/log/journal 2755 root systemd-journal\nZ /run/log/journal/%m ~2750 root systemd-journal\n"
)

# A user manager has other folders, no journal, and hears only its own user. What the unit says of all
# this is tested in PID 1's machine.
_IN_ROOTS_OWN = f"""[Service]
Type=exec
WatchdogSec=0
StateDirectory=
RuntimeDirectory=
ConfigurationDirectory=
ReadWritePaths=/var/lib/kerneld /run/kerneld
StandardOutput=append:{TOLD}
StandardError=append:{TOLD}
"""


def for_pid_1(tree: Path) -> None:
    _common(tree)
    system, user = tree / "etc/systemd/system", tree / "etc/systemd/user"
    wants = system / "sysinit.target.wants"
    for folder in (wants, user):
        folder.mkdir(parents=True)
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        _install(unit, system)
    _install(UNITS / "user/kerneld.service", user)
    # ReadKMsg: journald would copy the host's log
    (tree / "etc/systemd/journald.conf").write_text("[Journal]\nStorage=volatile\nReadKMsg=no\n")
    for unit in ("systemd-journald.service", "systemd-journald-dev-log.socket"):
        (wants / unit).symlink_to(f"/lib/systemd/system/{unit}")


def for_roots_own(tree: Path) -> None:
    _common(tree)
    drop_ins = tree / "etc/systemd/user/kerneld.service.d"
    drop_ins.mkdir(parents=True)
    _install(UNITS / "kerneld.service", drop_ins.parent)
    (drop_ins / "folders.conf").write_text(_IN_ROOTS_OWN)
    with (tree / "etc/tmpfiles.d/machine.conf").open("a") as more:
        more.write("d /run/kerneld 0755 kerneld kerneld -\n")
    # what PID 1 makes at boot, and units with a mount namespace need
    (tree / "run/systemd/system").mkdir(parents=True)
    (tree / "run/systemd/inaccessible/dir").mkdir(parents=True)
    (tree / "run/systemd/inaccessible/reg").touch()
    (tree / ROOTS_RUNTIME_DIR.lstrip("/")).mkdir(parents=True, mode=0o700)


def _common(tree: Path) -> None:
    for folder in ("sysusers.d", "tmpfiles.d"):
        (tree / "etc" / folder).mkdir(parents=True)
    (tree / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    shutil.copy(UNITS / "kerneld.sysusers.conf", tree / "etc/sysusers.d/kerneld.conf")
    shutil.copy(UNITS / "kerneld.tmpfiles.conf", tree / "etc/tmpfiles.d/kerneld.conf")
    (tree / "etc/sysusers.d/machine.conf").write_text(_PEOPLE)
    (tree / "etc/tmpfiles.d/machine.conf").write_text(_HOMES + _JOURNAL)


def _install(unit: Path, folder: Path) -> None:
    """As it is, but for the interpreter: the one that runs the tests."""
    text = unit.read_text().replace("/opt/kerneld/bin/python -m", f"{sys.executable} -m")
    text = text.replace("%h/.local/share/kerneld/venv/bin/python -m", f"{sys.executable} -m")
    (folder / unit.name).write_text(text)
