"""Where this process's configuration and databases are, by its user and by what its home lies on."""

import os
from pathlib import Path

from kerneld.config import Paths, paths
from kerneld.model.vocabulary import Mode
from kerneld.proc.files import is_slow


def places_of(mode: Mode, database: Path | None = None) -> Paths:
    """The usual places; a home on a network filesystem has a folder for each machine."""
    usual = paths(mode, os.environ, Path.home(), database=database)
    if database is not None or not on_network(usual.database):
        return usual
    return paths(mode, os.environ, Path.home(), host=os.uname().nodename)


def on_network(path: Path) -> bool:
    """Whether a path lies on a filesystem that other machines may write to as well."""
    return is_slow(os.path.abspath(path))
