"""Options and configuration into a running collector."""

import argparse
import ctypes
import logging
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kerneld import config as configuration
from kerneld.config import Config, Mode
from kerneld.daemon.absence import deaths_unseen
from kerneld.daemon.accounts import Accounts
from kerneld.daemon.collector import Collector
from kerneld.daemon.housekeeping import Housekeeping
from kerneld.daemon.owner import Owner, Rooms
from kerneld.daemon.stderr import log_to_stderr
from kerneld.daemon.systemd import ServiceManager
from kerneld.discover.candidates import Door
from kerneld.discover.source import DiscoverySource
from kerneld.errors import AlreadyRunning, KerneldError
from kerneld.live import LiveWriter, read_living
from kerneld.model.base import make_ready
from kerneld.model.host import Host
from kerneld.model.incident import Incident
from kerneld.outputs.safe import safe_text
from kerneld.outputs.text import one_line
from kerneld.places import Paths, on_network, paths, places_of
from kerneld.proc.capabilities import watches_everybody
from kerneld.proc.process import host as this_host
from kerneld.sources.census import CensusSource
from kerneld.sources.connector import ConnectorSource
from kerneld.sources.exits import ExitSource
from kerneld.sources.journal import JournalSource
from kerneld.sources.kmsg import KmsgSource
from kerneld.sources.log_files import LogFilesSource
from kerneld.sources.memory import MemorySource
from kerneld.sources.places import PlacesSource
from kerneld.sources.reader import ReaderSource
from kerneld.sources.server_log import ServerLogSource
from kerneld.sources.signals import SignalSource
from kerneld.sources.source import Source
from kerneld.sources.stacks import StacksSource
from kerneld.sources.taskstats import TaskstatsSource
from kerneld.store import Journal, Store

log = logging.getLogger("kerneld")

OVERLAP = timedelta(seconds=60)
"""what journald wrote late, of a death that a stop left open, is read again"""
SYSTEM_FRESH_S = 60.0
"""it writes every 2 s"""
_M_ARENA_MAX = -8
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    log_to_stderr()
    try:
        return _run(options)
    except KerneldError as problem:
        for line in str(problem).splitlines():
            print(f"kerneld: {safe_text(line)}", file=sys.stderr)
        return problem.exit_code


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kerneld.daemon", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--force", action="store_true")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    mode = configuration.default_mode(watches_everybody=watches_everybody())
    paths = places_of(mode, options.db)
    settings = _settings(options.config, paths)
    if mode is Mode.USER and not options.force:
        _refuse_beside_system()
    make_ready()
    _prepare_process(mode)
    manager = ServiceManager()
    journal: Journal = "DELETE" if on_network(paths.database) else "WAL"
    kept_bytes = settings.retention.evidence_bytes
    with Store.open(paths.database, journal=journal, evidence_bytes=kept_bytes) as store:
        _collect(store, settings, paths, mode=mode, manager=manager)
    return 0


def _collect(
    store: Store, settings: Config, paths: Paths, *, mode: Mode, manager: ServiceManager
) -> None:
    """Run until a signal says stop."""
    host = this_host()
    memory = MemorySource(busy_hz=settings.memory.busy_hz)
    since = (store.heard_at() or datetime.now(UTC)) - OVERLAP
    readers = _readers(settings, memory, boot_id=host.boot_id, since=since)
    collector = Collector([*_sources(settings, mode, host, memory), *readers], manager=manager)
    stacks = next((source for source in readers if isinstance(source, StacksSource)), None)
    places = next((source for source in readers if isinstance(source, PlacesSource)), None)
    accounts = Accounts(memory, stacks, places)
    rooms = Rooms(store=store, memory=accounts, act=collector.act, told=_tell)
    owner = Owner(host, rooms, settings.code_policy(mode), settings.daemon.settle_s)
    _look_back(owner, store, paths, host)
    with LiveWriter(paths.live) as live:
        keeping = Housekeeping(store, memory, settings.retention, live=live, mode=mode)
        collector.start()
        manager.say(f"READY=1\nMAINPID={os.getpid()}")
        place = safe_text(str(paths.database))
        print(f"kerneld ready: {mode} mode, {place}", file=sys.stderr, flush=True)
        collector.run(owner, keeping.do)
        collector.stop()
    store.note_alive(datetime.now(UTC))


def _settings(given: Path | None, paths: Paths) -> Config:
    return configuration.load_given(given) if given else configuration.load(paths.config)


def _sources(settings: Config, mode: Mode, host: Host, memory: MemorySource) -> list[Source]:
    """Every source, those that deaths depend on first."""
    door = Door(boot_id=host.boot_id, only_uid=os.geteuid() if mode is Mode.USER else None)
    discovery = DiscoverySource(
        door,
        extra_folders=settings.discovery.runtime_dirs,
        max_kernels_per_user=settings.discovery.max_kernels_per_user,
    )
    connector = ConnectorSource(on_exec=discovery.hint, boot_id=host.boot_id)
    discovery.hears_execs = lambda: connector.is_listening
    census = CensusSource()
    memory.on_short = census.grows_short
    log = (TaskstatsSource(), KmsgSource(boot_id=host.boot_id), SignalSource())
    return [ExitSource(), connector, *log, memory, discovery, census]


def _readers(settings: Config, memory: MemorySource, *, boot_id: str, since: datetime) -> list[Source]:
    """What users wrote is parsed in one process without rights: cells, stacks, libraries, logs."""
    if not settings.iopub.enabled:
        return [JournalSource(read=None, since=since)]
    reader = ReaderSource(boot_id=boot_id)
    places = PlacesSource(ask=reader.control, mapped_pages=memory.mapped_pages)
    journal = JournalSource(read=reader.control, since=since)
    logs, files = ServerLogSource(read=reader.control), LogFilesSource(read=reader.control)
    reader.on_library, reader.on_log = places.parsed, logs.parsed
    reader.on_journal, reader.on_lines = journal.parsed, files.parsed
    if not settings.stacks.enabled:
        return [reader, places, journal, files, logs]
    stacks = StacksSource(read=reader.control)
    reader.on_stack, memory.on_grown = stacks.parsed, stacks.grown
    return [reader, places, journal, files, logs, stacks]


def _look_back(owner: Owner, store: Store, paths: Paths, host: Host) -> None:
    """Cases that a stop left open, and deaths since; the Linux log's ring still tells of both."""
    left_open = [case for _, case in store.provisional() if case is not None]
    last = read_living(paths.live)
    known = {case.uuid for case in left_open}
    lives = store.tracked()
    unread = store.unread.line()
    if unread:
        log.warning("%s: %s", store.path, unread)
    unseen = deaths_unseen(lives, last.states, host=host, heard_at=last.at or store.heard_at())
    fresh = [case for case in unseen if case.uuid not in known and not store.has(case.uuid)]
    owner.look_back([*left_open, *fresh])
    owner.feed(())
    store.untrack([case.process.key for case in unseen])


def _tell(incident: Incident) -> None:
    """A line a settled incident, for whoever started the daemon on a terminal."""
    if incident.is_incident and sys.stderr.isatty():
        print(one_line(incident), file=sys.stderr, flush=True)


def _refuse_beside_system() -> None:
    """Two recorders would tell everything twice. One that was killed leaves its files behind."""
    live = paths(Mode.SYSTEM, {}, Path("/root")).live
    written = [file.stat().st_mtime for file in (live, Path(f"{live}-wal")) if file.exists()]
    if written and time.time() - max(written) < SYSTEM_FRESH_S:
        raise AlreadyRunning(
            "a system-wide kerneld already watches this machine, your kernels among them; "
            "to run one of your own beside it: kerneld run --force"
        )


def _prepare_process(mode: Mode) -> None:
    """No core dumps (keys are in memory), private files, many descriptors, no page faults."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_ARENA_MAX, 1)  # threads here take turns: an arena for each only held free pages
    if mode is Mode.SYSTEM:
        # without ONFAULT the stacks of 12 threads made 15.6 MiB of RSS 119.6
        libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
