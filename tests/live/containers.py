"""Kernels in namespaces of their own, as a container has them, that die of what kernels die of."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from cells import GROW_SLOWLY, NULL_READ
from container import Container
from deaths import CGROUP_LIMIT
from memcg import MemoryCgroup
from others import MOVED
from rig import PLAIN, Witness, children
from stage import Life, Stage

MANAGER = Path(__file__).with_name("inner_manager.py").read_text()


class InnerManager:
    """A KernelManager in a container, spoken to by lines."""

    def __init__(self, stage: Stage) -> None:
        environ = {**stage.world.plain.environ(), "HOME": "/home", "TMPDIR": "/tmp"}
        del environ["XDG_RUNTIME_DIR"]
        root = stage.world.folder / "container"
        self._container = Container(root, [sys.executable, "-c", MANAGER], uid=PLAIN, environ=environ)
        assert self._container.await_line() == "ready"

    def say(self, word: str, code: str = "") -> str:
        process = self._container.process
        assert process.stdin is not None
        process.stdin.write(f"{word} {json.dumps(code)}\n")
        process.stdin.flush()
        return self._container.await_line()

    def start(self) -> tuple[int, dict[str, object]]:
        """The host's pid of a new kernel, and what it is called inside."""
        before = set(children(self._container.first))
        told = json.loads(self.say("start"))
        (pid,) = set(children(self._container.first)) - before
        return pid, told

    def end(self) -> None:
        self._container.end()


def dies_in_a_container(stage: Stage) -> list[Life]:
    """A segfault, a shutdown, an OOM kill; `extra` holds what each kernel is called inside."""
    inner = InnerManager(stage)
    lives, names = [], []
    try:
        with MemoryCgroup("container", CGROUP_LIMIT) as group:
            for code in (NULL_READ, "", GROW_SLOWLY):
                pid, told = inner.start()
                witness = Witness(pid)
                inner.say("run", "1 + 1")
                if code == GROW_SLOWLY:
                    group.take(pid)
                    inner.say("run", MOVED)
                inner.say("begin" if code else "shutdown", code)
                witness.wait_dead(60)
                lives.append(Life(pid, PLAIN, died_at=datetime.now(UTC)))
                names.append(told)
    finally:
        inner.end()
    stage.extra["containers"] = names
    return lives
