"""A kernel's real core into the words of the real systemd-coredump, handed over as Linux would do it.

core_pattern is the whole machine's and stays as it is: Linux writes a file into the kernel's folder.
"""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from given import ANA, HOME
from machine import Machine, wait_for
from notebook import Notebook

from kerneld.parse.coredump import MESSAGE_ID
from kerneld.parse.managers import FIELDS

SIGSEGV = 11
SOURCE = """
static int read_at(volatile int *place) { return *place; }
__attribute__((noinline)) int crash_in_c(int number) { return read_at((int *)0) + number; }
"""
FILES = (
    "lib/systemd/systemd-coredump",
    "lib/systemd/system/systemd-coredump*",
    "usr/lib/sysusers.d/systemd-coredump.conf",
    "usr/lib/*/libdw*.so*",
    "usr/lib/*/libelf*.so*",
)
"""of the packages systemd-coredump, libdw1 and libelf1: elfutils takes the stack"""
LIBRARY = "/usr/local/lib/libcrashing.so"
"""systemd's unit lets it open nothing in a home: there the stack ends"""
CELL = f"""
import ctypes, os, resource, time
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
os.chdir({HOME!r})
library = ctypes.CDLL({LIBRARY!r})
time.sleep(0.5)
library.crash_in_c(1)
"""


def install(machine: Machine) -> None:
    """Debian's systemd-coredump, from / or from where it was unpacked, and the library that crashes."""
    program = shutil.which("coredumpctl")
    assert program is not None
    tree = Path(program).parents[2]
    files = [file for pattern in FILES for file in tree.glob(pattern)]
    for file in files if tree != Path("/") else ():
        shutil.copy(file, machine.path(f"/{file.relative_to(tree)}"))
    machine.run("systemd-sysusers")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "systemd-coredump.socket")
    compile_command = ["cc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", machine.path(LIBRARY)]
    subprocess.run(compile_command, input=SOURCE, text=True, check=True)


def crash(machine: Machine, notebook: Notebook) -> None:
    """Its zombie stays, and is what systemd-coredump looks at."""
    notebook.begin(CELL)
    zombie = machine.path(f"/proc/{notebook.pid}/stat")
    wait_for(lambda: b") Z " in zombie.read_bytes(), 30, "the kernel has dumped core")
    cores = list(machine.path(HOME).glob("core*"))
    assert len(cores) == 1, "core_pattern is to be a name of a file"
    whom = (notebook.pid, ANA, ANA, SIGSEGV, int(time.time()), 1 << 62, socket.gethostname())
    words = " ".join(map(str, whom))
    machine.run("sh", "-c", f"/lib/systemd/systemd-coredump {words} <{HOME}/{cores[0].name}")


def record(machine: Machine) -> str:
    """What journald keeps of it, as the recorder asks for it."""
    fields = f"--output-fields={','.join(FIELDS)}"
    return machine.run("journalctl", "--all", "--output=json", fields, f"MESSAGE_ID={MESSAGE_ID}")
