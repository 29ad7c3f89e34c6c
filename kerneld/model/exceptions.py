"""The name of an exception into one that may be told: a cell can define a class of any name."""

import builtins

# those of libraries that tell why a kernel is in trouble
_OF_LIBRARIES = frozenset(
    {
        "AcceleratorError", "BrokenProcessPool", "CellExecutionError", "CellTimeoutError",
        "DeadKernelError", "InternalError", "KernelInterrupted", "OutOfMemoryError",
        "PicklingError", "ResourceExhaustedError", "TerminatedWorkerError", "TimeLimitExceeded",
        "XlaRuntimeError", "_ArrayMemoryError",
    }
)  # fmt: skip
_OF_PYTHON = frozenset(
    name
    for name, thing in vars(builtins).items()
    if isinstance(thing, type) and issubclass(thing, BaseException)
)


def public_name(name: str | None) -> str | None:
    """The name where Python or a well-known library gave it; None: a user may have made it up."""
    return name if name in _OF_PYTHON or name in _OF_LIBRARIES else None
