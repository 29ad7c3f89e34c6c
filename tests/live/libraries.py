"""A C library and a wheel that crash, compiled and installed by the test, and the kernels they end."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from deaths import fatal
from rig import Person
from stage import Life, Stage

SOURCE = """
static int read_at(volatile int *place) { return *place; }
int fine(int number) { return number + 1; }
__attribute__((noinline)) int crash_in_c(int number) { return read_at((int *)0) + number; }
"""
PACKAGE, VERSION = "crashing-wheel", "1.2.post1"
# the library is looked at within 0.1 s of its being mapped
CELL = """
import sys, time
sys.path.insert(0, {folder!r})
{load}
time.sleep(0.3)
library.crash_in_c(1)
"""


def compile_library(path: Path) -> None:
    source = path.with_suffix(".c")
    source.write_text(SOURCE)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", path, source], check=True)


def build_wheel(folder: Path) -> Path:
    """As a build tool would; pip writes RECORD's final form when it installs it."""
    compile_library(folder / "native.so")
    info, name = f"crashing_wheel-{VERSION}.dist-info", f"crashing_wheel-{VERSION}-py3-none-any.whl"
    files = {
        "crashing/__init__.py": "import ctypes, os\n"
        "library = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'native.so'))\n",
        "crashing/native.so": (folder / "native.so").read_bytes(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return folder / name


def install_wheel(person: Person) -> Path:
    """The site-packages that it was installed into."""
    folder = person.home / "wheels"
    folder.mkdir()
    prefix = person.home / "env"
    wheel = build_wheel(folder)
    options = ["--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--no-compile"]
    argv = [sys.executable, "-m", "pip", "install", *options, "--prefix", str(prefix), str(wheel)]
    subprocess.run(argv, check=True, cwd="/")
    _give(person, prefix)
    return next(prefix.glob("lib/python3*/site-packages"))


def _give(person: Person, folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, person.uid, person.uid)


def crash_in_a_library(stage: Stage) -> list[Life]:
    path = stage.world.plain.home / "libcrashing.so"
    compile_library(path)
    os.chown(path, stage.world.plain.uid, stage.world.plain.uid)
    load = f"import ctypes\nlibrary = ctypes.CDLL({str(path)!r})"
    return fatal("library", CELL.format(folder="/", load=load))(stage)


def crash_in_a_wheel(stage: Stage) -> list[Life]:
    folder = install_wheel(stage.world.plain)
    load = "from crashing import library"
    return fatal("wheel", CELL.format(folder=str(folder), load=load))(stage)
