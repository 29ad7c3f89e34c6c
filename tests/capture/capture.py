"""Real deaths under real daemons into tests/cases: `python tests/capture/capture.py [SCENARIO…]`.

As root: it starts kerneld as root, as its service and as a plain user, plays the scenarios of
tests/live and of plays.py, and exports each case that wanted.py names. One that got another verdict
than the right one, or tells something of this machine, is not written, and told on stderr.
"""

import ctypes
import json
import os
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "live"))

import absence  # noqa: E402
from jupyters import TOKEN, JupyterServer  # noqa: E402
from memcg import MemoryCgroup  # noqa: E402
from plays import PLAYS  # noqa: E402
from recorders import KeepingDaemon  # noqa: E402
from rig import ROLES, Restricted, RigError, Traced, World, wait_for  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402
from stage import Life, Stage  # noqa: E402
from wanted import WANTED, Wanted  # noqa: E402

from kerneld.model.vocabulary import State  # noqa: E402

CASES = HERE.parent / "cases"
AT_ONCE = 3
CLONE_NEWUTS = 0x04000000
SLICE_BYTES = 16 << 30
MOST_BYTES = 30 << 10
MOST_SAMPLES = 40

Lives = dict[str, list[Life]]


def main(chosen: set[str]) -> int:
    rows = [row for row in WANTED if not chosen or row.scenario in chosen]
    with ExitStack() as at_end:
        own_name = _be_another_host()
        own_cgroup = at_end.enter_context(OwnCgroup())
        at_end.enter_context(Restricted())
        private = {own_name, own_cgroup, TOKEN, "/work", "/opt", "/root"}
        wrong = _round([row for row in rows if not row.traced], private)
        with Traced():
            wrong += _round([row for row in rows if row.traced], private)
    return 1 if wrong else 0


def _round(rows: list[Wanted], private: set[str]) -> int:
    """Play what these rows need once, and keep their cases; how many could not be kept."""
    world = World()
    try:
        return _play_and_keep(world, rows, private)
    finally:
        world.remove()


def _play_and_keep(world: World, rows: list[Wanted], private: set[str]) -> int:
    names = {row.scenario for row in rows}
    daemons = {role: KeepingDaemon(world.role(role)) for role in ROLES}
    lives, secrets = _watched(world, daemons, names - set(absence.SCENARIOS))
    unseen, recorders = absence.play(world, names & set(absence.SCENARIOS))
    wrong = 0
    for row in rows:
        daemon = recorders.get((row.scenario, row.role)) or daemons[row.role]
        played = (lives | unseen).get(row.scenario)
        told = private | set(secrets)
        problem = _keep(row, daemon, played[row.life], told) if played else "was not played"
        if problem:
            wrong += 1
            print(f"{row.file}: {problem}", file=sys.stderr)
    return wrong


def _be_another_host() -> str:
    """A host name of its own, in a namespace of its own: `vm` would be found in every `total-vm`."""
    own_name = socket.gethostname()
    if ctypes.CDLL(None).unshare(CLONE_NEWUTS):
        raise RigError("no namespace for a host name: run as root")
    socket.sethostname("laboratory")
    return own_name


class OwnCgroup:
    """A limited memory cgroup for all that is started here, as a notebook server's slice is one."""

    def __enter__(self) -> str:
        rows = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
        path = next(path for _, names, path in rows if names in ("memory", ""))
        self._made = MemoryCgroup("slice", SLICE_BYTES)
        self._made.__enter__()
        self._before = self._made.folder.parent / path.lstrip("/") / "cgroup.procs"
        self._made.take(os.getpid())
        return path if len(path) > 1 else TOKEN

    def __exit__(self, *_: object) -> None:
        self._before.write_text(str(os.getpid()))
        self._made.__exit__()


def _watched(
    world: World, daemons: dict[str, KeepingDaemon], names: set[str]
) -> tuple[Lives, list[str]]:
    """Every scenario once, under the eyes of all daemons, until each has settled its case."""
    lives: Lives = {}
    if not names:
        return lives, []
    server = JupyterServer(world.plain, "notebooks")
    try:
        for daemon in daemons.values():
            daemon.start()
        server.await_ready()
        stage = Stage(world, server, rounds=1)
        plays = SCENARIOS | PLAYS
        with ThreadPoolExecutor(AT_ONCE) as pool:
            playing = {name: pool.submit(plays[name], stage) for name in plays if name in names}
        for name, played in playing.items():
            try:
                workers = stage.extra.get(name, ())
                lives[name] = [*played.result(), *(Life(pid) for pid in workers)]  # type: ignore[attr-defined]
            except (RigError, OSError, AssertionError) as problem:
                print(f"{name} could not be played: {problem!r}", file=sys.stderr)
        pids = {life.pid for each in lives.values() for life in each}
        for role, daemon in daemons.items():
            _await_settled(role, daemon, pids)
    finally:
        for daemon in daemons.values():
            daemon.end()
        server.terminate()
    return lives, stage.secrets


def _await_settled(role: str, daemon: KeepingDaemon, pids: set[int]) -> None:
    def missing() -> set[int]:
        return pids - {end.process.pid for end in daemon.ends() if end.state is State.SETTLED}

    try:
        wait_for(lambda: not missing(), 40, f"{role}: every end settled")
    except RigError as late:
        print(f"{late}; missing {missing()}", file=sys.stderr)


def _keep(row: Wanted, daemon: KeepingDaemon, life: Life, private: set[str]) -> str:
    """Write the case; why not, in words ("" if it was)."""
    found = [end.uuid for end in daemon.ends() if end.process.pid == life.pid]
    if len(found) != 1:
        return f"{row.role} has {len(found)} ends of it"
    document = daemon.export(found[0])
    expect = {"cause": row.cause.value, "confidence": row.confidence.value}
    if document["expect"] != expect:
        return f"got {document['expect']}, and right is {expect}: {daemon.story(found[0])}"
    how = f"python tests/capture/capture.py {row.scenario}"
    document["header"] |= {"command": how, "scenario": row.scenario, "seen_by": row.role}
    document["header"] |= absence.ASSEMBLED.get(row.scenario, {})
    return write(row.file, document, private)


def write(file: str, document: dict, private: set[str]) -> str:  # type: ignore[type-arg]
    """The document as a file of tests/cases, unless it is too big or tells a secret."""
    memory = document["case"]["memory"]
    memory["samples"] = _thinned(memory["samples"])
    text = json.dumps(document, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([\d.]+),\s+(\d+)\s+\]", r"[\1, \2]", text) + "\n"
    told = [secret for secret in private if re.search(rf"(?<![\w-]){re.escape(secret)}(?!\w)", text)]
    if told:
        return f"it tells {told}"
    if len(text.encode()) > MOST_BYTES:
        return f"{len(text.encode())} bytes are too many"
    path = CASES / f"{file}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return ""


def _thinned(samples: list) -> list:  # type: ignore[type-arg]
    """At most MOST_SAMPLES of them, the last ones whole: that is where a death announces itself."""
    half = MOST_SAMPLES // 2
    if len(samples) <= MOST_SAMPLES:
        return samples
    early = samples[:-half]
    step = -(-len(early) // half)
    return [*early[::step], *samples[-half:]]


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
