"""The deaths are provoked once, under three daemons' eyes; what each made of them is a Report."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from jupyters import JupyterServer
from memcg import LogWitness
from rig import OTHER, PLAIN, ROLES, Daemon, Restricted, RigError, Traced, World, wait_for
from scenarios import SCENARIOS
from stage import Life, Stage

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import State

AT_ONCE = 4
"""scenarios in parallel: the suite must do on two cores"""
NEEDED = [
    pytest.mark.needs_root,
    pytest.mark.needs_kmsg,
    pytest.mark.needs_memcg,
    pytest.mark.timeout(900),
]
SEEING = ("root", "service")
"""the roles that may read the Linux log and every user's processes"""
each_role = pytest.mark.parametrize("role", ROLES)


@dataclass
class Report:
    """What the scenarios did, and what each role's daemon made of it."""

    stage: Stage
    lives: dict[str, list[Life]]
    failed: dict[str, Exception]
    daemons: dict[str, Daemon]
    ends: dict[str, list[Incident]]
    metrics: dict[str, str]
    """what `kerneld metrics` printed while the daemon ran"""
    log: LogWitness

    def of(self, scenario: str) -> list[Life]:
        if scenario in self.failed:
            pytest.fail(f"{scenario} could not be played: {self.failed[scenario]!r}")
        return self.lives[scenario]

    def end(self, role: str, life: Life) -> Incident:
        """The one end of this life; a second one, or none, fails."""
        found = [end for end in self.ends[role] if end.process.pid == life.pid]
        said = "".join(self.daemons[role].lines[-20:])
        assert len(found) == 1, f"{role} has {len(found)} ends of pid {life.pid}: {found}\n{said}"
        return found[0]

    def workers(self, scenario: str) -> list[int]:
        """The pids of the workers that died there, in order."""
        self.of(scenario)
        pids = self.stage.extra[scenario]
        assert isinstance(pids, list)
        return pids

    def first(self, role: str, scenario: str) -> Incident:
        return self.end(role, self.of(scenario)[0])


def _visible(role: str, lives: dict[str, list[Life]]) -> set[int]:
    mine = (PLAIN,) if role == "plain" else (PLAIN, OTHER)
    return {life.pid for each in lives.values() for life in each if life.uid in mine}


def _settled(daemon: Daemon) -> set[int]:
    return {end.process.pid for end in daemon.ends() if end.state is State.SETTLED}


def _metrics(daemon: Daemon) -> str:
    argv = [sys.executable, "-m", "kerneld", "metrics", "--db", str(daemon.db)]
    return daemon.person.run(argv).stdout


def _play(stage: Stage) -> tuple[dict[str, list[Life]], dict[str, Exception]]:
    lives: dict[str, list[Life]] = {}
    failed: dict[str, Exception] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        playing = {name: pool.submit(play, stage) for name, play in SCENARIOS.items()}
    for name, played in playing.items():
        error = played.exception()
        if isinstance(error, Exception):
            failed[name] = error
        else:
            lives[name] = played.result()
    return lives, failed


def record(world: World, log: LogWitness, rounds: int) -> Report:
    """Start the daemons, play every scenario, wait until all is settled, stop everything."""
    daemons = {role: Daemon(world.role(role)) for role in ROLES}
    servers: list[JupyterServer] = []
    try:
        with Restricted(), Traced():
            for daemon in daemons.values():
                daemon.start()
            servers.append(JupyterServer(world.plain, "notebooks"))
            servers[0].await_ready()
            stage = Stage(world, servers[0], rounds)
            lives, failed = _play(stage)
            for role, daemon in daemons.items():
                _await_settled(role, daemon, _visible(role, lives))
            ends = {role: daemon.ends() for role, daemon in daemons.items()}
            metrics = {role: _metrics(daemon) for role, daemon in daemons.items()}
            for daemon in daemons.values():
                daemon.stop()
        return Report(stage, lives, failed, daemons, ends, metrics, log)
    finally:
        for daemon in daemons.values():
            if daemon.process and daemon.process.poll() is None:
                daemon.kill()
        for server in servers:
            server.terminate()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    world, log = World(), LogWitness()
    try:
        yield record(world, log, rounds=100 if request.config.getoption("--long") else 10)
    finally:
        log.close()
        world.remove()


def _await_settled(role: str, daemon: Daemon, pids: set[int]) -> None:
    """What is missing at the deadline is told by the tests, each for itself."""
    try:
        wait_for(lambda: pids <= _settled(daemon), 40, f"{role}: every end settled")
    except RigError as late:
        print(late, file=sys.stderr)
        print("".join(daemon.lines[-20:]), file=sys.stderr)


def story(end: Incident) -> str:
    """What a failed test needs to show."""
    because = "; ".join(piece.text for piece in end.because)
    blind = "; ".join(f"{blind.source}: {blind.reason}" for blind in end.blind)
    return f"{end.cause} {end.confidence} {end.state}: {because} | blind: {blind} | {end.exit}"
