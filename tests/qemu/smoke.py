"""Debian's Linux 6.1 with cgroup v2 in qemu, kernels that die there, and what kerneld says of it.

    python tests/qemu/smoke.py [--accel kvm|tcg] [--capture FOLDER]

As root on x86_64, with qemu-system-x86, debootstrap and cpio. The first run makes an image, which
takes two minutes and the network, and keeps it in ~/.cache/kerneld-smoke. Exit status 1: something
was told wrong. --capture keeps trees, logs and cases in FOLDER.
"""

import argparse
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from expected import WANTED, wrong  # noqa: E402
from image import ROOT, SITE_PACKAGES, Image, cached_image, pack  # noqa: E402

from kerneld.model.incident import Incident  # noqa: E402

LIMIT_S = {"kvm": 180, "tcg": 1200}
KVM_SILENCE_S = 8.0
"""a machine on KVM has said its first word by then; where it can't run this Linux it never does"""
IN_THE_MACHINE = "/opt/smoke"
SWAP = "modprobe zram && echo 400M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0"
SMOKE_UNIT = f"""[Unit]
After=basic.target dbus.service systemd-user-sessions.service
[Service]
Type=oneshot
Environment=KERNELD_TESTS_PATIENCE=10
ExecStartPre=sh -c '{SWAP}'
ExecStart=/opt/kerneld/bin/python {IN_THE_MACHINE}/guest/main.py %s
"""
FILES = {
    "etc/hostname": "laboratory\n",
    "etc/sysusers.d/people.conf": 'u ana 1000 "Ana" /home/ana /bin/sh\n',
    "etc/tmpfiles.d/people.conf": "d /home/ana 0700 ana ana -\n",
    # emulated on a busy machine, what has no priority stands still for long
    "etc/systemd/user/kerneld.service.d/patient.conf": "[Service]\nWatchdogSec=5min\n",
    "etc/systemd/oomd.conf.d/zz-smoke.conf": "[OOM]\nDefaultMemoryPressureDurationSec=2s\n",
}
COPIES = {
    "kerneld": str(SITE_PACKAGES / "kerneld"),
    "systemd/kerneld.service": "etc/systemd/system/kerneld.service",
    "systemd/user/kerneld.service": "etc/systemd/user/kerneld.service",
    "systemd/kerneld.sysusers.conf": "etc/sysusers.d/kerneld.conf",
    "systemd/kerneld.tmpfiles.conf": "etc/tmpfiles.d/kerneld.conf",
    "tests/live": f"{IN_THE_MACHINE}/live".lstrip("/"),
    "tests/capture": f"{IN_THE_MACHINE}/capture".lstrip("/"),
    "tests/qemu/guest": f"{IN_THE_MACHINE}/guest".lstrip("/"),
}


@dataclass
class Told:
    """What came out of the machine."""

    lives: list[dict[str, Any]] = field(default_factory=list)
    ends: list[tuple[str, Incident]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    captured: str = ""
    done: bool = False

    def take(self, line: dict[str, Any]) -> None:
        if "said" in line:
            print(f"  {line['up_s']:6.1f} s  {line['said']}", flush=True)
        if "failed" in line:
            print(f"  {line['up_s']:6.1f} s  {line['failed']} failed", flush=True)
            self.failed.append(f"{line['failed']}: {line['why']}")
        if "life" in line:
            self.lives.append(line["life"])
        if "end" in line:
            self.ends.append((line["role"], Incident.model_validate(line["end"])))
        self.captured = line.get("captured", self.captured)
        self.done |= line.get("done", False)


def smoke(accel: str | None, captures: bool) -> Told:
    """Boot the machine and hear it out. accel None: KVM where that runs it, else emulation."""
    image = cached_image()
    with tempfile.TemporaryDirectory(prefix="kerneld-smoke-") as folder:
        initrd = _initrd(image, Path(folder), "capture" if captures else "")
        for how in [accel] if accel else ["kvm", "tcg"]:
            if how == "kvm" and accel is None and not os.access("/dev/kvm", os.W_OK):
                continue
            with Machine(how, image.linux, initrd, Path(folder)) as machine:
                if how == "kvm" and accel is None and not machine.speaks():
                    print("KVM does not run this Linux here: emulated, which takes minutes")
                    continue
                return machine.hear_out()
    raise SystemExit("neither KVM nor TCG runs the machine")


def _initrd(image: Image, folder: Path, words: str) -> Path:
    """The image, and behind it today's kerneld and the tests."""
    tree, initrd = folder / "given", folder / "initrd"
    for source, target in COPIES.items():
        to = tree / target
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, to)
    system = tree / "etc/systemd/system"
    for name, text in (FILES | {"etc/systemd/system/smoke.service": SMOKE_UNIT % words}).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (system / "multi-user.target.wants").mkdir()
    (system / "multi-user.target.wants/smoke.service").symlink_to("../smoke.service")
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    pack(tree, folder / "given.cpio")
    with initrd.open("wb") as whole:
        for part in (image.initrd, folder / "given.cpio"):
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)
    return initrd


class Machine:
    """2 processors, 2 GiB, no disk, no network; ended when it has told all, or at its limit."""

    def __init__(self, accel: str, linux: Path, initrd: Path, folder: Path) -> None:
        self._limit_s = LIMIT_S[accel]
        self._console, self._told = folder / "console", folder / "told"
        for file in (self._console, self._told):
            file.write_bytes(b"")
        how = ["kvm"] if accel == "kvm" else ["tcg,thread=multi,tb-size=512"]
        command = ["nice", "-n", "10", "qemu-system-x86_64", "-accel", *how, "-cpu", "max"]
        command += ["-smp", "2", "-m", "2048", "-display", "none", "-no-reboot", "-nic", "none"]
        command += ["-kernel", str(linux), "-initrd", str(initrd)]
        command += ["-serial", f"file:{self._console}", "-serial", f"file:{self._told}"]
        command += ["-append", "console=ttyS0 rdinit=/sbin/init panic=1 systemd.show_status=0"]
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self._qemu.kill()
        self._qemu.wait()

    def speaks(self) -> bool:
        until = time.monotonic() + KVM_SILENCE_S
        while time.monotonic() < until and self._qemu.poll() is None:
            if b"Linux version" in self._console.read_bytes():
                return True
            time.sleep(0.1)
        return False

    def hear_out(self) -> Told:
        told = Told()
        for line in self._lines():
            told.take(json.loads(line))
            if told.done:
                return told
        end = self._console.read_bytes()[-3000:].decode(errors="replace")
        told.failed.append(f"the machine did not come to its end within {self._limit_s} s:\n{end}")
        return told

    def _lines(self) -> Iterator[bytes]:
        until, rest = time.monotonic() + self._limit_s, b""
        with self._told.open("rb") as file:
            while time.monotonic() < until:
                is_over = self._qemu.poll() is not None
                *whole, rest = (rest + file.read()).split(b"\n")
                yield from whole
                if is_over:
                    return
                time.sleep(0.2)


def judge(told: Told) -> list[str]:
    """Print what was told of each life; what of it is wrong."""
    problems = list(told.failed)
    lives = {life["name"]: life for life in told.lives}
    for wanted in WANTED:
        life = lives.get(wanted.life, {"pid": 0, "cgroup": ""})
        ends = [end for role, end in told.ends if (role, end.process.pid) == (wanted.role, life["pid"])]
        if len(ends) != 1:
            problems.append(f"{wanted.life}, {wanted.role}: {len(ends)} ends instead of one")
            continue
        found = list(wrong(wanted, ends[0], life["cgroup"]))
        problems += [f"{wanted.life}, {wanted.role}: {problem}" for problem in found]
        print(_row(wanted.life, wanted.role, ends[0], not found))
    pids = {life["pid"] for life in told.lives}
    for role, end in told.ends:
        if end.is_incident and end.process.pid not in pids:
            problems.append(f"an incident of nobody that died, {role}: {end.summary}")
    return problems


def _row(life: str, role: str, end: Incident, is_right: bool) -> str:
    peak = f"{(end.memory.peak_bytes or 0) >> 20} MiB by {end.memory.peak_how or '-'}"
    said = f"{end.cause} {end.confidence}"
    return f"{'✓' if is_right else '✗'} {life:17} {role:8} {said:27} {end.exit.how:15} {peak}"


def _unpack(told: Told, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(told.captured)), mode="r:xz") as tar:
        tar.extractall(folder)
    (folder / "lives.json").write_text(json.dumps(told.lives))


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--accel", choices=("kvm", "tcg"))
    options.add_argument("--capture", type=Path, metavar="FOLDER")
    given = options.parse_args()
    began = time.monotonic()
    told = smoke(given.accel, given.capture is not None)
    problems = judge(told)
    print("\n".join(problems), file=sys.stderr)
    if given.capture is not None and told.captured:
        _unpack(told, given.capture)
    print(f"{len(WANTED)} ends, {len(problems)} problems, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
