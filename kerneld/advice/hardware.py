"""Hardware failed under the kernel: who must know of it, and what to try before."""

from kerneld.model.case import Case
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause, Confidence

PROGRAMS_FAULT = (13, 31, 43)
"""Xids whose cause is, as a rule, the code that ran on the GPU"""


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is Cause.HARDWARE_MEMORY_ERROR:
        text = (
            "Tell the machine's administrator: a memory module must be replaced; `ras-mc-ctl --errors` "
            "or the Linux log (EDAC) say which. Results that this machine gave lately deserve a doubt."
        )
        sure = verdict.confidence is Confidence.CERTAIN
        return Advice(id="hardware", title="Have the memory replaced", text=text, sure=sure)
    if verdict.cause is not Cause.GPU_FAULT:
        return None
    if any(r.event.xid in PROGRAMS_FAULT for r in case.log if r.event.kind == "xid"):
        text = (
            "As a rule this is an index out of range in code on the GPU, a label or a token id beyond "
            "the size of its table above all. Run it once more with CUDA_LAUNCH_BLOCKING=1 in the "
            "environment, or on the CPU: the error then names the line. `compute-sanitizer python "
            "script.py` finds more."
        )
        return Advice(id="hardware", title="Look for an index out of range on the GPU", text=text)
    text = (
        "Restart the kernel. If the same Xid returns, tell the machine's administrator: it is the "
        "driver, the card or its connection; NVIDIA's catalog of Xid errors says which, and what to do."
    )
    return Advice(id="hardware", title="Watch whether the error returns", text=text)
