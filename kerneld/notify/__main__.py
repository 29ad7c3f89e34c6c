"""`python -m kerneld.notify`: options and configuration into a running courier."""

import argparse
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from kerneld.config import Config, Mode, load, load_given
from kerneld.errors import ConfigError, KerneldError, StoreError
from kerneld.model.incident import Incident
from kerneld.model.notices import NotifyRule
from kerneld.notify.courier import Courier
from kerneld.notify.delivery import deliver
from kerneld.outputs.safe import safe_text
from kerneld.places import paths, places_of
from kerneld.seen import Reader, seen_by
from kerneld.store.outbox import Outbox

log = logging.getLogger("kerneld")

PACE_S = 1.0
TIDY_S = 3600.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kerneld.notify", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--db", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="kerneld: %(message)s")
    try:
        return _run(options.config, options.db)
    except KerneldError as problem:
        for line in str(problem).splitlines():
            print(f"kerneld: {safe_text(line)}", file=sys.stderr)
        return problem.exit_code


def _run(config: Path | None, database: Path | None) -> int:
    mode = _mode()
    places = places_of(mode, database)
    settings = load_given(config) if config else load(places.config)
    file = config or places.config
    if not settings.notify:
        print(f"kerneld: {file} has no [notify.NAME]: nobody wants to be told", file=sys.stderr)
        return 0
    check(settings.notify, mode, file)
    bell = Bell()
    with Outbox(places.outbox) as outbox:
        courier = Courier(places.database, outbox, settings.notify, _eyes(settings), deliver, bell.ring)
        print(f"kerneld tells: {', '.join(settings.notify)}", file=sys.stderr, flush=True)
        _serve(courier, bell)
    # a webhook that hangs does not hold up the end
    os._exit(0)


def _mode() -> Mode:
    """The service's folder is there before its database is."""
    folder = paths(Mode.SYSTEM, {}, Path("/")).database.parent
    return Mode.SYSTEM if os.geteuid() == 0 or os.access(folder, os.R_OK | os.X_OK) else Mode.USER


def check(rules: Mapping[str, NotifyRule], mode: Mode, file: Path) -> None:
    """What holds for a file and a mode; others who can read a webhook's address can use it."""
    for name, rule in rules.items():
        if rule.desktop and mode is Mode.SYSTEM:
            raise ConfigError(
                f"{file}: notify.{name}.desktop: the service has no desktop; a user's own has"
            )
    secret = any(rule.webhook is not None for rule in rules.values())
    if secret and file.exists() and file.stat().st_mode & stat.S_IROTH:
        log.warning("%s: everybody can read it, and it holds a webhook's address: chmod 640", file)


def _eyes(settings: Config) -> Callable[[Incident], Incident]:
    """Who reads what is told is not known: no other user's process, and others' code only if wanted."""
    reader = Reader(uid=os.geteuid(), sees_code=settings.privacy.admin_sees_code)
    return lambda incident: seen_by(reader, incident, owner_uid=incident.user.uid)


class Bell:
    """Ends the pause between two rounds: a delivery that is done, or a signal that asks to stop.

    A socket, not an event: an event's lock may be held by the thread that the signal interrupts.
    """

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._rung.setblocking(False)
        signal.set_wakeup_fd(self._rung.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)

    def ring(self) -> None:
        try:
            self._rung.send(b"\0")
        except BlockingIOError:
            pass  # it rings already

    def wait(self, timeout_s: float) -> bool:
        """Whether to stop."""
        self._heard.settimeout(timeout_s)
        try:
            return any(self._heard.recv(256))
        except TimeoutError:
            return False


def _serve(courier: Courier, bell: Bell) -> None:
    """Until it shall stop. A database that is not there yet, or can't be read now, is tried again."""
    told = ""
    tidy_at = 0.0
    while True:
        now = datetime.now(UTC).astimezone()
        try:
            if now.timestamp() >= tidy_at:
                courier.tidy(now)
                tidy_at = now.timestamp() + TIDY_S
            courier.turn(now)
            told = ""
        except StoreError as problem:
            if str(problem) != told:
                log.error("%s", safe_text(str(problem)))
            told = str(problem)
        if bell.wait(PACE_S):
            courier.close()
            return


if __name__ == "__main__":
    sys.exit(main())
