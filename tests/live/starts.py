"""Kernels that never come up: each start of one kernelspec fails for another reason."""

import os
import sys
from pathlib import Path

from jupyters import add_kernelspec
from rig import PLAIN, Person, Witness, wait_for
from stage import Life, Stage, ended

# Python's own words follow: only what goes wrong is arranged. Each start finds modules of its own.
ARRANGE = """
import json, os, socket, sys
folder, told = {folder!r}, {told!r}
with open(told, "a+") as file:
    file.seek(0)
    start = len(file.read().split())
    print(os.getpid(), file=file)
sys.path.insert(0, os.path.join(folder, str(start)))
if start == 1:
    os.execv(sys.executable, [sys.executable, "-S", *sys.orig_argv[1:]])
if start == 3:
    with open(sys.orig_argv[-1]) as file:
        taken = socket.create_server(("127.0.0.1", json.load(file)["shell_port"]))
"""
STARTS: tuple[tuple[dict[str, str], str], ...] = (
    (
        {"random.py": 'raise ImportError("of the notebook\'s own folder, hides the standard one")'},
        "random.py hides Python's own module of that name",
    ),
    ({}, "there is no module ipykernel_launcher"),
    ({"comm.py": "from json import what_was_never_there"}, "a package could not be imported: json"),
    ({}, "one of its ports was in use"),
    ({"comm.py": 'open("/dev/full", "wb", 0).write(b"x")'}, "the disk was full"),
    (
        {"comm.py": 'import ctypes\nctypes.CDLL("/dev/null/lost.so")'},
        "a compiled package could not be loaded",
    ),
)
"""modules in its way, and the reason that is told; as many as KernelRestarter tries, one each 3 s"""


def fails_each_time(stage: Stage) -> list[Life]:
    """The server tries 5 times again, and gives up."""
    told = _arrange(stage.world.plain, "broken", ARRANGE, [modules for modules, _ in STARTS])
    session = stage.server.open_notebook("broken.ipynb", "broken")

    def given_up() -> bool:
        return told.exists() and len(told.read_text().split()) >= len(STARTS)

    wait_for(given_up, 60, "every start of a broken kernel")
    return [ended(session, int(pid)) for pid in told.read_text().split()]


# on a busy machine nobody looks at what lives 50 ms, which is all that an import of ctypes takes
CRASH_AT_FIRST = """
import ctypes, os, time
told = {told!r}
if not os.path.exists(told):
    with open(told, "w") as file:
        print(os.getpid(), file=file)
    time.sleep(0.5)
    ctypes.string_at(0)
"""


def crashes_on_import(stage: Stage) -> list[Life]:
    """By a segfault; the next start comes up."""
    told = _arrange(stage.world.plain, "crashing", CRASH_AT_FIRST, [])
    session = stage.server.open_notebook("crashing.ipynb", "crashing")
    wait_for(lambda: told.exists() and bool(told.read_text()), 30, "a start")
    witness = Witness(int(told.read_text()))
    witness.wait_dead()
    return [ended(session, witness.pid)]


def _arrange(person: Person, name: str, code: str, starts: list[dict[str, str]]) -> Path:
    """A kernelspec whose Python runs this first; the file that tells the pids."""
    folder, told = person.home / name, person.home / f"{name}.pids"
    files = {Path("sitecustomize.py"): code.format(folder=str(folder), told=str(told))}
    for number, modules in enumerate(starts):
        files |= {Path(str(number)) / module: text for module, text in modules.items()}
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    for made in (folder, *folder.rglob("*")):
        os.chown(made, PLAIN, PLAIN)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    add_kernelspec(person, name, argv, {"PYTHONPATH": str(folder)})
    return told
