"""A kernel that dies of what another user's process holds: whom to name, and to whom."""

import subprocess
import sys
from pathlib import Path

from cells import GROW_SLOWLY
from deaths import CGROUP_LIMIT
from jupyters import serving
from memcg import MemoryCgroup
from rig import Witness, wait_for
from stage import Life, Stage, ended

HOG = "hoarder"
HOG_BYTES = CGROUP_LIMIT - (40 << 20)
MOVED = "import time; time.sleep(2.5)"
"""the daemons look once a second whether a kernel was moved to another cgroup"""
HOLD = f"""
import sys
open("/proc/self/comm", "w").write({HOG!r})
sys.stdin.readline()
held = b"x" * {HOG_BYTES}
print("held", flush=True)
sys.stdin.readline()
"""


def victim_of_a_hog(stage: Stage) -> list[Life]:
    """Both share a limit, the hog holds nearly all of it, and Linux is told to rather kill the kernel.

    It is the kernel that asks for more: if the hog did, Linux would kill it 4 ms after the kernel, for
    that one's memory is not free by then.
    """
    session, client = stage.open("victim")
    pid = client.pid()
    witness = Witness(pid)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        MemoryCgroup("hog", CGROUP_LIMIT) as group,
        stage.world.other.popen([sys.executable, "-c", HOLD], **pipes) as hog,
    ):
        assert hog.stdin is not None
        assert hog.stdout is not None
        for member in (pid, hog.pid):
            group.take(member)
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        hog.stdin.write("go\n")
        hog.stdin.flush()
        hog.stdout.readline()
        client.run(MOVED)
        client.begin(GROW_SLOWLY)
        witness.wait_dead(60)
        life = ended(session, pid, 2)
        client.close()
        stage.extra["hog"] = [hog.pid]
        # a second or more: by then every daemon has looked around
        wait_for(lambda: bool(serving(session.connection_file)), 20, "the next life")
        hog.stdin.write("end\n")
        hog.stdin.close()
    return [life]
