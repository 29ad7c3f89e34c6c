"""/dev/shm was full: what fills it, and how it grows."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.sizes import gib
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    shm = case.memory.shm
    if verdict.cause is not Cause.SHM_FULL or shm is None:
        return None
    return Advice(
        id="shm-full",
        title="Use less shared memory, or have more of it",
        text=(
            f"/dev/shm has {gib(shm.size_bytes)}. PyTorch's DataLoader with workers, Ray, joblib and "
            "multiprocessing.shared_memory put their arrays there: fewer workers, smaller batches, or "
            "torch.multiprocessing.set_sharing_strategy('file_system') need less. A container gets 64 "
            "MiB unless it is started with --shm-size (Docker), or has an emptyDir of medium Memory at "
            "/dev/shm (Kubernetes). `ls -l /dev/shm` shows what others left behind."
        ),
    )
