"""Where this process's configuration and databases are, by its user and by what its home lies on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerneld.errors import StoreError
from kerneld.model.vocabulary import Mode
from kerneld.proc.files import is_slow


@dataclass(frozen=True, slots=True)
class Paths:
    """live: the database of the living; runtime_dir: its folder, in memory where there is one.

    outbox: what waits to be told outside.
    """

    config: Path
    database: Path
    live: Path
    runtime_dir: Path
    outbox: Path


QUERY_SOCKET = Path("/run/kerneld-query.sock")
"""where the service answers users; not in its runtime folder, which goes when it stops"""


def places_of(mode: Mode, database: Path | None = None) -> Paths:
    """The usual places; a home on a network filesystem has a folder for each machine."""
    usual = paths(mode, os.environ, Path.home(), database=database)
    if database is not None or not on_network(usual.database):
        return usual
    return paths(mode, os.environ, Path.home(), host=os.uname().nodename)


def on_network(path: Path) -> bool:
    """Whether a path lies on a filesystem that other machines may write to as well."""
    return is_slow(os.path.abspath(path))


def paths(
    mode: Mode,
    environ: Mapping[str, str],
    home: Path,
    *,
    database: Path | None = None,
    host: str | None = None,
) -> Paths:
    """The service's places or the user's (XDG); a database elsewhere has its live.db beside it.

    host: this machine's name, where the user's home is shared with others: each has its own folder.
    """
    if mode is Mode.SYSTEM:
        usual = Paths(
            config=Path("/etc/kerneld/config.toml"),
            database=Path("/var/lib/kerneld/kerneld.db"),
            live=Path("/run/kerneld/live.db"),
            runtime_dir=Path("/run/kerneld"),
            outbox=Path("/var/lib/kerneld-notify/outbox.db"),
        )
    else:
        usual = _user_paths(environ, home, host)
    if database is None or database == usual.database:
        return usual
    if not database.name:
        raise StoreError("--db names a folder; give the path of a database's file")
    return Paths(
        config=usual.config,
        database=database,
        live=database.with_name(f"{database.name}.live"),
        runtime_dir=database.parent,
        outbox=database.with_name(f"{database.name}.outbox"),
    )


def _user_paths(environ: Mapping[str, str], home: Path, host: str | None) -> Paths:
    settings = _xdg(environ, "XDG_CONFIG_HOME") or home / ".config"
    state = (_xdg(environ, "XDG_STATE_HOME") or home / ".local" / "state") / "kerneld"
    state = state / host if host else state
    runtime = _xdg(environ, "XDG_RUNTIME_DIR")
    folder = runtime / "kerneld" if runtime else state
    return Paths(
        config=settings / "kerneld" / "config.toml",
        database=state / "kerneld.db",
        live=folder / "live.db",
        runtime_dir=folder,
        outbox=state / "outbox.db",
    )


def _xdg(environ: Mapping[str, str], name: str) -> Path | None:
    """The XDG specification: a path that is not absolute is to be ignored."""
    text = environ.get(name, "")
    return Path(text) if text.startswith("/") else None


# ---------------------------------------------------------------- reading
