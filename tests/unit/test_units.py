"""The systemd files: systemd takes them without a word, they are tight, each right has its reason."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SYSTEMD = Path(__file__).parent.parent.parent / "systemd"
SYSTEM_UNIT, USER_UNIT = SYSTEMD / "kerneld.service", SYSTEMD / "user/kerneld.service"
MOST_EXPOSURE = 3.2
"""as measured with systemd 252; other versions weigh a directive differently"""


def ask(*argv: str, runtime_dir: Path | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which(argv[0]) is None:
        told = f"no {argv[0]}: `apt-get install systemd`"
        pytest.fail(told) if os.environ.get("KERNELD_TESTS") == "all" else pytest.skip(told)
    environ = os.environ | ({"XDG_RUNTIME_DIR": str(runtime_dir)} if runtime_dir else {})
    return subprocess.run(argv, capture_output=True, text=True, env=environ, timeout=30)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The system unit with an interpreter that is there: systemd looks for it."""
    return with_interpreter(SYSTEM_UNIT, tmp_path)


def with_interpreter(unit: Path, folder: Path) -> Path:
    copy = folder / unit.name
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text()))
    return copy


@pytest.mark.parametrize(
    ("unit", "scope"),
    [(SYSTEM_UNIT, "--system"), (USER_UNIT, "--user")],
    ids=["system", "user"],
)
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, scope: str, tmp_path: Path) -> None:
    copy = with_interpreter(unit, tmp_path)
    with TemporaryDirectory(prefix="r") as short:  # systemd checks the paths of sockets in it
        done = ask("systemd-analyze", "verify", scope, "--man=no", str(copy), runtime_dir=Path(short))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_would_say_so_of_a_wrong_unit(installed: Path) -> None:
    """The silence above means something."""
    installed.write_text(installed.read_text().replace("[Service]", "[Service]\nProtectEverything=yes"))
    assert "ProtectEverything" in ask("systemd-analyze", "verify", "--man=no", str(installed)).stderr


def test_the_service_is_as_little_exposed_as_promised(installed: Path) -> None:
    done = ask("systemd-analyze", "security", "--offline=true", "--no-pager", str(installed))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSURE, done.stdout


# ---------------------------------------------------------------- a reason for each right


def reasons(unit: Path, directive: str) -> str:
    """The comment lines right above the first line of this directive; "" where it is not set."""
    lines = unit.read_text().splitlines()
    at = next((n for n, line in enumerate(lines) if line.startswith(f"{directive}=")), None)
    if at is None:
        return ""
    start = at
    while lines[start - 1].startswith("#"):
        start -= 1
    return "\n".join(lines[start:at])


def values(unit: Path, directive: str) -> list[str]:
    found = re.findall(rf"(?m)^{directive}=(.*)$", unit.read_text())
    return " ".join(found).split()


@pytest.mark.parametrize("directive", ["AmbientCapabilities", "RestrictAddressFamilies"])
def test_each_granted_right_has_its_reason(directive: str) -> None:
    granted = values(SYSTEM_UNIT, directive)
    assert len(granted) == 4
    above = reasons(SYSTEM_UNIT, directive)
    for right in granted:
        assert re.search(rf"\b{right}\b[^:\n]*: \S+", above), f"{right} has no reason above {directive}"


def test_nothing_can_be_gained_beyond_the_granted_capabilities() -> None:
    granted = values(SYSTEM_UNIT, "AmbientCapabilities")
    assert values(SYSTEM_UNIT, "CapabilityBoundingSet") == granted


def test_each_device_has_its_reason() -> None:
    assert values(SYSTEM_UNIT, "DeviceAllow") == ["/dev/kmsg", "r"]
    assert reasons(SYSTEM_UNIT, "DeviceAllow")


def test_each_protection_that_is_missing_has_its_reason(installed: Path) -> None:
    """Asked of systemd itself, so that a protection that it learns is missed here by name."""
    asked = ("systemd-analyze", "security", "--offline=true", "--json=short", str(installed))
    rows = json.loads(ask(*asked).stdout)
    missing = {str(row["name"]).rstrip("=") for row in rows if row["set"] is False}
    kinds = ("Protect", "Private", "Proc", "Restrict")
    protections = {name for name in missing if name.startswith(kinds) and "=" not in name}
    assert "PrivateNetwork" in protections, "the analysis is read wrongly"
    text = SYSTEM_UNIT.read_text()
    unsaid = {
        name for name in protections if f"# Not {name}: " not in text and not reasons(SYSTEM_UNIT, name)
    }
    assert unsaid == set()


def test_the_user_unit_grants_nothing() -> None:
    assert values(USER_UNIT, "AmbientCapabilities") == []
    assert values(USER_UNIT, "NoNewPrivileges") == ["yes"]


# ---------------------------------------------------------------- user and folders


@pytest.mark.needs_root
def test_user_and_folders_are_made_as_the_daemon_needs_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for tool in (("systemd-sysusers",), ("systemd-tmpfiles", "--create")):
        given = SYSTEMD / f"kerneld.{tool[0].removeprefix('systemd-')}.conf"
        done = ask(*tool, f"--root={tmp_path}", str(given))
        assert done.returncode == 0, done.stderr
    passwd = dict(line.split(":", 1) for line in (tmp_path / "etc/passwd").read_text().splitlines())
    uid, gid, _, home, shell = passwd["kerneld"].split(":")[1:]
    assert (home, shell) == ("/var/lib/kerneld", "/usr/sbin/nologin")
    state, settings = (tmp_path / "var/lib/kerneld").stat(), (tmp_path / "etc/kerneld").stat()
    assert (state.st_uid, state.st_gid, oct(state.st_mode)) == (int(uid), int(gid), "0o40700")
    assert (settings.st_uid, settings.st_gid, oct(settings.st_mode)) == (0, 0, "0o40755")
