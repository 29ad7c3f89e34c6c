"""Which line grew, with memray as the referee: `python tests/bench/bench_lines.py`.

Each program runs twice: in a kernel beside kerneld, which looks from outside, and cell by cell under
memray, which counts each allocation from inside. The table has the share of the growth that each puts
to a line, and what is known of the program. agree: the share that both put to the same lines.
memray counts what was asked for, kerneld what became resident: an array that is made of zeros and then
filled grows where it is filled. Needs `pip install memray pandas`, and root: kernels grow in memory
cgroups of their own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from fakes import end_well
from growing import ARTICLE, PROGRAMS, Program, charged, on_right_lines, play, settled
from memray import FileReader
from rig import Daemon, World

from kerneld.store import Store

Place = tuple[int | str, int]
WORTH_A_ROW = 0.03
AT_ONCE = 2
"""as many kernels as stacks are taken of"""
PANDAS = """import pandas as pd, numpy as np
frame = pd.DataFrame(np.random.rand(15_000, 50))
for i in range(70):
    frame = pd.concat([frame, pd.DataFrame(np.random.rand(15_000, 50))])"""
# under memray nothing ends the article's loop, so it ends by itself just below the kernel's limit
SHORTER = ARTICLE.replace("1_000_000", "110_000")
WANTED = PROGRAMS | {
    "article": replace(PROGRAMS["article"], cells=(SHORTER,), dies_of_it=False),
    "pandas": Program(
        cells=(PANDAS,),
        truth={(1, 4): 1.0, (1, 1): 0.0, (1, 2): 0.0},
        limit_bytes=1500 << 20,
    ),
}
UNDER_MEMRAY = """
import sys
import memray
folder, told, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path.insert(0, folder)
names = {"__name__": "__main__"}
sums = memray.FileFormat.AGGREGATED_ALLOCATIONS
with memray.Tracker(destination=memray.FileDestination(told, overwrite=True), file_format=sums):
    for number in range(1, count + 1):
        path = f"{folder}/cell-{number}.py"
        exec(compile(open(path).read(), path, "exec"), names)
"""


def by_memray(program: Program) -> dict[Place, float]:
    """What lived at the peak, as shares of the lines of the program's own that had asked for it."""
    with tempfile.TemporaryDirectory(prefix="kerneld-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        for number, cell in enumerate(program.cells, 1):
            (folder / f"cell-{number}.py").write_text(cell)
        for file, text in program.files.items():
            (folder / file).write_text(text)
        words = [str(folder), str(folder / "told.bin"), str(len(program.cells))]
        subprocess.run([sys.executable, "-c", UNDER_MEMRAY, *words], check=True)
        sizes: dict[Place, int] = {}
        with FileReader(folder / "told.bin") as reader:
            for record in reader.get_high_watermark_allocation_records(merge_threads=True):
                own = (f for f in record.stack_trace() if f[1].startswith(f"{folder}/"))
                if (frame := next(own, None)) is not None:
                    place = place_of(Path(frame[1]).name, frame[2])
                    sizes[place] = sizes.get(place, 0) + record.size
    whole = sum(sizes.values())
    return {place: size / whole for place, size in sizes.items()}


def place_of(file: str, line: int) -> Place:
    cell = file.removeprefix("cell-").removesuffix(".py")
    return (int(cell) if cell.isdecimal() else file), line


def tell(name: str, daemon: Daemon, pid: int) -> None:
    program = WANTED[name]
    end = settled(daemon, pid)
    with Store.read(daemon.db) as store:
        case = store.case(end.uuid)
    growth = case.memory.growth if case else None
    ours, theirs = charged(end), by_memray(program)
    agree = sum(min(share, theirs.get(place, 0.0)) for place, share in ours.items())
    print(f"{name:<14} {growth.dumps if growth else 0:>3} stacks  on right lines "
          f"{on_right_lines(end, program):6.1%}  agree {agree:6.1%}")  # fmt: skip
    places = sorted(ours.keys() | theirs.keys(), key=lambda p: -max(ours.get(p, 0), theirs.get(p, 0)))
    for place in places:
        mine, other = ours.get(place, 0.0), theirs.get(place, 0.0)
        if max(mine, other) >= WORTH_A_ROW:
            known = f"  known {program.truth[place]:.0%}" if program.truth.get(place) else ""
            where = f"cell [{place[0]}]" if isinstance(place[0], int) else place[0]
            print(f"  {where} line {place[1]:<3} kerneld {mine:6.1%}  memray {other:6.1%}{known}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="*", choices=[[], *WANTED], help="default: all of them")
    wanted = parser.parse_args()
    end_well()
    print(f"{sys.executable}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    chosen = {name: one for name, one in WANTED.items() if name in (wanted.programs or WANTED)}
    world = World()
    daemon = Daemon(world.service)
    daemon.start()
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            playing = {name: pool.submit(play, world, name, one) for name, one in chosen.items()}
        for name, played in playing.items():
            tell(name, daemon, played.result())
    finally:
        daemon.stop()
        world.remove()


if __name__ == "__main__":
    main()
