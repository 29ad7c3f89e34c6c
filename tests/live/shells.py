"""bash_kernel's kernels: what their user's lines hold is in the memory of a child, bash."""

import json
import os
import signal
import sys

from jupyters import KernelClient, NotebookSession, add_kernelspec, serving
from memcg import MemoryCgroup
from rig import RigError, Witness, children, wait_for
from stage import Life, Stage, ended

BASH_LIMIT = 200 << 20
BASH_HOLDS = 100 << 20
HOLD = f"x=$(head -c {BASH_HOLDS} /dev/zero | tr '\\0' a)"
KERNELD = (sys.executable, "-m", "kerneld")


def bash_killed(stage: Stage) -> list[Life]:
    """While its child holds much, and `kerneld kernels` has told of that."""
    session, client, witness = _open(stage, "bash")
    client.begin_and_hear(f"{HOLD}; echo held; sleep 600", "held")
    wait_for(lambda: _told(stage, witness.pid) > BASH_HOLDS, 20, "what bash holds is listed")
    os.kill(witness.pid, signal.SIGKILL)
    witness.wait_dead()
    life = ended(session, witness.pid, 1)
    client.close()
    return [life]


def bash_outgrows_its_cgroup(stage: Stage) -> list[Life]:
    """Linux kills the child, and bash_kernel starts another one; `extra` has the child's pid."""
    session, client, witness = _open(stage, "worker-bash")
    told = stage.world.plain.home / "worker-bash.pid"
    with MemoryCgroup("bash", BASH_LIMIT) as group:
        for pid in (witness.pid, *children(witness.pid)):
            group.take(pid)
        client.run(f"echo $$ >{told}; sleep 2.5")
        client.run(f"{HOLD}; sleep 1.5; y=$(head -c {2 * BASH_LIMIT} /dev/zero | tr '\\0' b)")
        if not group.kills():
            raise RigError("bash had room enough")
        stage.extra["worker-bash"] = [int(told.read_text())]
        client.close()
        session.shut_down()
        witness.wait_dead()
    return [ended(session, witness.pid)]


def _open(stage: Stage, name: str) -> tuple[NotebookSession, KernelClient, Witness]:
    argv = [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"]
    add_kernelspec(stage.world.plain, name, argv)
    session, client = stage.open(name, name)
    (pid,) = serving(session.connection_file)
    return session, client, Witness(pid)


def _told(stage: Stage, pid: int) -> int:
    """What `kerneld kernels` says that the kernel holds with its children; 0 where it knows of none."""
    database = stage.world.root.home / "state/kerneld.db"
    listed = stage.world.root.run([*KERNELD, "kernels", "--json", "--db", str(database)]).stdout
    held = {state["key"]["pid"]: state["tree_bytes"] for state in json.loads(listed or "[]")}
    return held.get(pid) or 0
