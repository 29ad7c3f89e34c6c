"""Workers that die while their kernel lives: each function ends some, and says which."""

from pathlib import Path

from cells import POOL_THAT_GROWS, WORKERS_THAT_CRASH
from deaths import CGROUP_LIMIT
from memcg import MemoryCgroup
from rig import RigError, Witness
from stage import Life, Stage, ended


def killed_for_memory(stage: Stage) -> list[Life]:
    """The kernel and its pool are in a cgroup, whose limit a worker reaches."""
    with MemoryCgroup("pool", CGROUP_LIMIT) as group:
        return _outlived(stage, "worker-oom", POOL_THAT_GROWS, "BrokenProcessPool", group)


def crashed(stage: Stage) -> list[Life]:
    return _outlived(stage, "worker-crashes", WORKERS_THAT_CRASH, None, None)


def _outlived(
    stage: Stage, name: str, code: str, error: str | None, group: MemoryCgroup | None
) -> list[Life]:
    """The kernel's own end; its workers' pids are in `extra`: not every role can know of them."""
    session, client = stage.open(name)
    witness = Witness(client.pid())
    if group is not None:
        group.take(witness.pid)
    told = stage.world.plain.home / f"{name}.pids"
    client.run("1 + 1")
    said = client.run(code.format(told=str(told))).get("ename")
    if said != error:
        raise RigError(f"the cell of {name} ended with {said}")
    stage.extra[name] = [int(pid) for pid in Path(told).read_text().split()]
    client.close()
    session.shut_down()
    witness.wait_dead()
    return [ended(session, witness.pid)]
