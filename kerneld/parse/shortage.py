"""An exception's name and words into what it says that there was too little of."""

import re

from kerneld.model.vocabulary import Shortage

_MAX_CHARS = 1000
_GPU = re.compile(
    r"CUDA out of memory|(?:CUDA|HIP) error: out of memory|cudaErrorMemoryAllocation"
    r"|CUDA_ERROR_OUT_OF_MEMORY|HIP out of memory|MPS backend out of memory"
    r"|Out of memory allocating [\d,]+ bytes|on (?:device )?/job:\S*device:GPU"
    r"|RESOURCE_EXHAUSTED: (?:Out of memory|Failed to allocate)"
)
"""torch, cupy, tensorflow, jax"""
_HOST = re.compile(
    r"std::bad_alloc|Cannot allocate memory|Unable to allocate .{1,40} for an array"
    r"|DefaultCPUAllocator: |cannot allocate (?:vector|memory block) of size"
)
"""the C++ library, errno, numpy, torch, R"""


def shortage_of(name: str, value: str) -> Shortage | None:
    """None: it failed for another reason."""
    words = value[:_MAX_CHARS]
    if _GPU.search(words):
        return Shortage.GPU_MEMORY
    if name in ("MemoryError", "_ArrayMemoryError") or _HOST.search(words):
        return Shortage.MEMORY
    return None


def class_name(name: str) -> str:
    """The bare name of an exception's class, which xeus-python writes as `<class 'a.b.Error'>`."""
    if name.startswith("<class '") and name.endswith("'>"):
        return name[8:-2].rpartition(".")[2]
    return name
