"""Where Jupyter keeps its kernels, into the command lines of Python kernels, best first.

Jupyter's own order (jupyter_core.paths.jupyter_path), read without Jupyter: kerneld usually lives
in an environment of its own. Root runs no command from a file that another user can write.
"""

import importlib.util
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SPEC_NAME = "python3"
MAX_SPEC_BYTES = 64 * 1024
_FILE, _FOLDER = "{connection_file}", "{resource_dir}"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class PythonKernel:
    """A command line that starts a kernel; origin: the file, or the interpreter, that says so."""

    argv: tuple[str, ...]
    origin: str

    def command(self, connection_file: Path) -> list[str]:
        return [word.replace(_FILE, str(connection_file)) for word in self.argv]


def python_kernels(environ: Mapping[str, str], home: Path) -> list[PythonKernel]:
    """Every usable python3 kernelspec in Jupyter's order, then this interpreter's ipykernel."""
    found: dict[tuple[str, ...], PythonKernel] = {}
    for folder in data_folders(environ, home):
        kernel = read_spec(folder / "kernels" / SPEC_NAME, environ.get("PATH", os.defpath))
        if kernel is not None:
            found.setdefault(kernel.argv, kernel)
    if importlib.util.find_spec("ipykernel"):
        argv = (sys.executable, "-m", "ipykernel_launcher", "-f", _FILE)
        found.setdefault(argv, PythonKernel(argv, sys.executable))
    return list(found.values())


def data_folders(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Jupyter's data folders, with those of the environments that this shell is in."""
    for text in environ.get("JUPYTER_PATH", "").split(os.pathsep):
        if os.path.isabs(text):
            yield Path(text)
    own = environ.get("JUPYTER_DATA_DIR")
    share = environ.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    yield Path(own) if own else Path(share) / "jupyter"
    jupyter = shutil.which("jupyter", path=environ.get("PATH", os.defpath))
    prefixes = [environ.get("VIRTUAL_ENV"), environ.get("CONDA_PREFIX"), sys.prefix]
    prefixes.append(str(Path(jupyter).parent.parent) if jupyter else None)
    for prefix in (*prefixes, "/usr/local", "/usr"):
        if prefix and os.path.isabs(prefix):
            yield Path(prefix) / "share" / "jupyter"


def read_spec(folder: Path, search_path: str) -> PythonKernel | None:
    """The kernel of one kernelspec folder; None where it is missing, broken or another user's."""
    path = folder / "kernel.json"
    try:
        if not _is_trusted(path) or path.stat().st_size > MAX_SPEC_BYTES:
            return None
        argv = json.loads(path.read_text(encoding="utf-8"))["argv"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(argv, list) or not all(isinstance(word, str) and word for word in argv):
        return None
    if not any(_FILE in word for word in argv):
        return None
    interpreter = _interpreter(argv[0], folder, search_path)
    if interpreter is None or not _is_trusted(Path(interpreter)):
        return None
    rest = [word.replace(_FOLDER, str(folder)) for word in argv[1:]]
    return PythonKernel((interpreter, *rest), str(path))


def _interpreter(word: str, folder: Path, search_path: str) -> str | None:
    """`python` of a spec in PREFIX/share/jupyter/kernels/NAME is the one of that environment."""
    if os.path.isabs(word):
        return word if os.access(word, os.X_OK) else None
    beside = folder.parents[3] / "bin" / word if len(folder.parents) > 3 else None
    if beside is not None and "/" not in word and os.access(beside, os.X_OK):
        return str(beside)
    return shutil.which(word, path=search_path)


def _is_trusted(path: Path) -> bool:
    """The file behind the path is root's or one's own, and nobody else may write it."""
    try:
        status = path.stat()
    except OSError:
        return False
    own = status.st_uid in (0, os.geteuid())
    return own and stat.S_ISREG(status.st_mode) and not status.st_mode & _WRITABLE_BY_OTHERS
