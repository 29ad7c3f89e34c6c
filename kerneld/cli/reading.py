"""Where this reader's database is, the door to it, and what of it this reader may see."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from kerneld.cli.terminal import complain
from kerneld.errors import StoreError
from kerneld.model.base import Record
from kerneld.model.vocabulary import Mode
from kerneld.store import Store
from kerneld.store.files import is_there, lock_of

if TYPE_CHECKING:
    from kerneld.cli.told import Place, Told
    from kerneld.config import Config
    from kerneld.live import Living
    from kerneld.places import Paths
    from kerneld.query.client import Service

R = TypeVar("R", bound=Record)


def mode_of_reader() -> Mode:
    """Root and who may read the service's database read it; anybody else has one of the own."""
    from kerneld.places import paths

    system = paths(Mode.SYSTEM, os.environ, Path("/")).database
    return Mode.SYSTEM if os.geteuid() == 0 or os.access(system, os.R_OK) else Mode.USER


def places(database: Path | None = None) -> "Paths":
    from kerneld.places import places_of

    return places_of(mode_of_reader(), database)


def configuration(file: Path | None) -> "Config":
    """The file that was named must be there; the usual one need not."""
    from kerneld.config import load, load_given

    return load(places().config) if file is None else load_given(file)


def existing_database(database: Path | None) -> Path:
    """The database to read; that there is none is told with what to do."""
    path = places(database).database
    if not is_there(path):
        raise StoreError(f"no database at {path}: nothing was recorded there yet; {_way_out()}")
    return path


def _way_out() -> str:
    """Beside a service that records everybody's kernels a second recorder would not start."""
    from kerneld.places import paths

    if mode_of_reader() is Mode.USER and paths(Mode.SYSTEM, os.environ, Path("/")).live.exists():
        return (
            "this machine's service records your kernels, and tells you of them where an admin has "
            "enabled kerneld-query.socket; of that `incidents`, `show` and `kernels` know"
        )
    return "start the recorder with `kerneld run`, or name a database with --db"


def service_of(database: Path | None) -> "Service | None":
    """What answers a plain user for the machine's database; None where that can be read itself."""
    from kerneld.places import QUERY_SOCKET

    if database is not None or mode_of_reader() is not Mode.USER or not QUERY_SOCKET.exists():
        return None
    from kerneld.query.client import Service

    return Service(QUERY_SOCKET)


@contextmanager
def asking(database: Path | None) -> Iterator["Told"]:
    """Every place that holds incidents of this reader's: a database, the service, or both."""
    from kerneld.cli.told import Told

    service = service_of(database)
    with ExitStack() as opened:
        own = service is None or is_there(places().database)
        stores = [opened.enter_context(reading(database))] if own else []
        try:
            yield Told([*stores, *([service] if service else [])])
        finally:
            if service is not None:
                tell_unread(service)


@contextmanager
def reading(database: Path | None) -> Iterator[Store]:
    """The store, open for reading only; at the end it is told what of it could not be read."""
    with Store.read(existing_database(database)) as store:
        try:
            yield store
        finally:
            tell_unread(store)


def living(database: Path | None) -> "Living":
    """The kernels of this reader that live, as the recorders last wrote, each once."""
    from kerneld.live import Living, read_living

    own, service = read_living(places(database).live), service_of(database)
    if service is None:
        return own
    told = service.living()
    known = {state.key for state in told.states}
    states = (*told.states, *(state for state in own.states if state.key not in known))
    at = max((each.at for each in (told, own) if each.at), default=None)
    return Living(states, at, told.daemon or own.daemon)


def silence(database: Path | None, heard: "Living", now: datetime) -> tuple[int | None, str]:
    """The pid of a recorder that holds the database and does not tell of the living, and since when.

    None and "" where no process holds it. heard: what can be read of the living, now.
    """
    from kerneld.outputs.units import duration
    from kerneld.proc.locks import lock_holder

    paths = places(database)
    pid = lock_holder(lock_of(paths.database))
    if pid is None:
        return None, ""
    wrote = f"last written {duration(now - heard.at)} ago" if heard.at else "never written"
    return pid, f"process {pid} holds the database {paths.database}, but {paths.live} was {wrote}"


@contextmanager
def writing(database: Path | None) -> Iterator[Store]:
    """The same, open to write beside a daemon."""
    with Store.attach(existing_database(database)) as store:
        try:
            yield store
        finally:
            tell_unread(store)


def tell_unread(place: "Place") -> None:
    """One line on stderr for rows that hold nothing readable."""
    line = place.unread.line()
    if line:
        complain(f"{place.path}: {line}")


class Eyes(Protocol):
    def __call__(self, record: R, uid: int) -> R: ...


def eyes(config_file: Path | None) -> Eyes:
    """What this reader sees of a record about a user."""
    from kerneld.seen import Reader, seen_by

    reader = Reader(
        os.getuid(),
        is_admin=mode_of_reader() is Mode.SYSTEM,
        sees_code=configuration(config_file).privacy.admin_sees_code,
    )

    def seen(record: R, uid: int) -> R:
        return seen_by(reader, record, owner_uid=uid)

    return seen
