"""Programs that grow on known lines, and what a daemon makes of it: each runs in a limit of its own."""

import os
import signal
import time
from dataclasses import dataclass, field

from jupyters import BareKernel, KernelClient
from memcg import MemoryCgroup
from rig import Daemon, Witness, World, wait_for

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import State

MIB = 1 << 20
HEARD_WITHIN_S = 0.5
"""the word that a cell is done may follow its reply; a kill at once would outrun that, and a sample"""
MODULE = """import numpy as np

def load(blocks):
    kept = []
    for block in range(blocks):
        kept.append(np.random.rand(1000))
    return kept
"""
ARTICLE = """import numpy as np
large_list = []
for i in range(1_000_000):
    large_list.append(np.random.rand(1000))"""


@dataclass(frozen=True)
class Program:
    """cells: the last one grows. truth: (cell, or a module's file name; line) to its share of it.

    An import grows what it grows: its line is right (and that of the numpy call after it, which the
    stack of an import that is just over shows), for a share that is not known (0).
    """

    cells: tuple[str, ...]
    truth: dict[tuple[int | str, int], float]
    limit_bytes: int = 700 * MIB
    dies_of_it: bool = False
    files: dict[str, str] = field(default_factory=dict)


PROGRAMS = {
    "article": Program(
        cells=(ARTICLE,), truth={(1, 4): 1.0, (1, 1): 0.0}, limit_bytes=1024 * MIB, dies_of_it=True
    ),
    "comprehension": Program(
        cells=("import os", "x = [\n    os.urandom(20_000)\n    for i in range(22_000)\n]"),
        truth={(2, 2): 1.0},
    ),
    "in-place": Program(
        cells=(
            "import numpy as np\na = np.zeros(60_000_000)",
            "for i in range(0, len(a), 50_000):\n    a[i:i + 50_000] = np.random.rand(50_000)",
        ),
        truth={(2, 2): 1.0, (1, 1): 0.0, (1, 2): 0.0},
    ),
    "concatenate": Program(
        cells=(
            "import numpy as np",
            "a = np.empty(0)\nfor i in range(25):\n"
            "    a = np.concatenate([a, np.random.rand(1_500_000)])",
        ),
        truth={(2, 3): 1.0, (1, 1): 0.0},
    ),
    "module": Program(
        cells=("import loading", "kept = loading.load(55_000)"),
        truth={("loading.py", 6): 1.0, ("loading.py", 1): 0.0},
        files={"loading.py": MODULE},
    ),
    "earlier-cell": Program(
        cells=(
            "import os\ndef fill(blocks):\n    kept = []\n    for i in range(blocks):\n"
            "        kept.append(os.urandom(20_000))\n    return kept",
            "x = fill(22_000)",
        ),
        truth={(1, 5): 1.0},
    ),
    "threads": Program(
        cells=(
            "import threading, numpy as np\nheld = []\ndef one():\n    for i in range(30):\n"
            "        held.append(np.random.rand(900_000))\ndef two():\n    for i in range(30):\n"
            "        held.append(np.random.rand(900_000))",
            "both = [threading.Thread(target=one), threading.Thread(target=two)]\n"
            "for thread in both: thread.start()\nfor thread in both: thread.join()",
        ),
        truth={(1, 5): 0.5, (1, 8): 0.5, (1, 1): 0.0},
    ),
    "two-lines": Program(
        cells=(
            "import os",
            "a = [os.urandom(20_000) for i in range(14_000)]\n"
            "b = [os.urandom(20_000) for i in range(9_000)]",
        ),
        truth={(2, 1): 14 / 23, (2, 2): 9 / 23},
    ),
}  # fmt: skip


def play(world: World, name: str, program: Program) -> int:
    """Run it to its end, in a limit; the pid that died."""
    person = world.plain
    for file, text in program.files.items():
        (person.home / file).write_text(text)
    kernel = BareKernel(person, notebook=notebook_of(world, name))
    witness = Witness(kernel.pid)
    with MemoryCgroup(f"grow-{name}", program.limit_bytes) as group:
        group.take(kernel.pid)  # the daemon follows it there while the kernel comes up
        client = KernelClient(kernel.connection_file, listeners=2)
        for cell in program.cells[:-1]:
            client.run(cell)
        if program.dies_of_it:
            client.begin(program.cells[-1])
        else:
            client.run(program.cells[-1])
            time.sleep(HEARD_WITHIN_S)
            os.kill(kernel.pid, signal.SIGKILL)
        witness.wait_dead(60)
        client.close()
        kernel.close()
    return kernel.pid


def notebook_of(world: World, name: str) -> str:
    return str(world.plain.home / f"{name}.ipynb")


def settled(daemon: Daemon, pid: int) -> Incident:
    def ends() -> list[Incident]:
        return [e for e in daemon.ends() if e.process.pid == pid and e.state is State.SETTLED]

    wait_for(lambda: bool(ends()), 30, f"the end of {pid} settled")
    return ends()[0]


def charged(end: Incident) -> dict[tuple[int | str, int], float]:
    """Shares by (cell, or file name; line); what is unattributed is left out."""
    found: dict[tuple[int | str, int], float] = {}
    for row in end.growth_lines:
        if row.file is not None and row.line is not None:
            place = row.execution_count or row.file.rpartition("/")[2]
            found[place, row.line] = found.get((place, row.line), 0.0) + row.share
    return found


def agreement(end: Incident, program: Program) -> float:
    """The share of the growth that is charged to the line that had it."""
    told = charged(end)
    return sum(min(share, told.get(place, 0.0)) for place, share in program.truth.items())


def on_right_lines(end: Incident, program: Program) -> float:
    return sum(share for place, share in charged(end).items() if place in program.truth)
