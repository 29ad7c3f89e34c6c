"""Debian 12 with its Linux 6.1, Jupyter and kerneld's dependencies into two files that qemu boots.

Made once, in a minute, and kept in the cache; nothing is installed on this machine. systemd-coredump
must stay out: its package sets kernel.core_pattern, which no chroot holds back from the host.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "systemd-oomd", "libpam-systemd", "dbus", "dbus-user-session",
    "python3", "util-linux", "kmod",
)  # fmt: skip
LINUX = "linux-image-cloud-amd64"
MODULES = ("zram.ko", "zsmalloc.ko", "lzo-rle.ko")  # swap
VENV = Path("opt/kerneld")
"""where the unit expects it"""
SITE_PACKAGES = VENV / "lib/python3.11/site-packages"
UNREAD = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")
# every manylinux that Debian 12's glibc 2.36 runs, whatever Python this one is
WHEELS = [
    *("--python-version=3.11", "--implementation=cp", "--only-binary=:all:"),
    *(f"--platform=manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)),
    *(f"--platform=manylinux{named}_x86_64" for named in (2014, 2010, 1)),
]


@dataclass(frozen=True)
class Image:
    linux: Path
    initrd: Path


def cached_image() -> Image:
    """The image of today's recipe and dependencies; made if it is not in the cache yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerneld-smoke"
    recipe = Path(__file__).read_bytes() + "\n".join(_requirements()).encode()
    folder = cache / hashlib.sha256(recipe).hexdigest()[:16]
    if not folder.exists():
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=cache) as made:
            _make(Path(made))
            Path(made, "image").rename(folder)
    return Image(folder / "vmlinuz", folder / "root.cpio")


def _make(folder: Path) -> None:
    tree, made = folder / "tree", folder / "image"
    made.mkdir()
    include = f"--include={','.join(PACKAGES)}"
    _run("debootstrap", "--variant=minbase", include, SUITE, str(tree))
    _add_linux(folder, tree, made)
    _add_packages(tree)
    for path in UNREAD:
        shutil.rmtree(tree / path, ignore_errors=True)
    pack(tree, made / "root.cpio", owner=None)


def _add_linux(folder: Path, tree: Path, made: Path) -> None:
    """Linux from Debian's package of it, unpacked and not installed."""
    depends = _run("apt-cache", "depends", "--important", LINUX)
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line)
    _run("apt-get", "download", package, cwd=folder)
    unpacked = folder / "linux"
    _run("dpkg", "-x", str(next(folder.glob("linux-image-*.deb"))), str(unpacked))
    shutil.copy(next(unpacked.glob("boot/vmlinuz-*")), made / "vmlinuz")
    for module in MODULES:
        found = next(unpacked.rglob(module))
        target = tree / "usr" / found.relative_to(unpacked)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, target)
    _run("chroot", str(tree), "depmod", next(unpacked.glob("lib/modules/*")).name)


def _add_packages(tree: Path) -> None:
    """A virtual environment of the tree's own Python, filled from here: the tree has no network."""
    _run("chroot", str(tree), "python3", "-m", "venv", "--without-pip", f"/{VENV}")
    site = tree / SITE_PACKAGES
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)]
    _run(*pip, *WHEELS, *_requirements())
    shutil.move(site / "bin/py-spy", tree / VENV / "bin/py-spy")
    _run("chroot", str(tree), "python3", "-m", "compileall", "-q", f"/{SITE_PACKAGES}")
    _run("chroot", str(tree), "python3", "-m", "compileall", "-q", "/usr/lib/python3.11")


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["demo"], "jupyter_server>=2.14"]


def pack(tree: Path, archive: Path, owner: str | None = "+0:+0") -> None:
    """A folder as an initramfs; Linux unpacks several such archives in one file, one after another."""
    names = b"\0".join(bytes(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with archive.open("wb") as file:
        command = ["cpio", "--null", "--create", "--format=newc", "--quiet"]
        command += [] if owner is None else [f"--owner={owner}"]
        subprocess.run(command, input=names, stdout=file, cwd=tree, check=True)


def _run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=cwd, env=os.environ | {"LC_ALL": "C"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[:6])}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
