"""Nothing into one incident: a recorder, a kernel, the fatal cell, and the verdict on it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kerneld.demo.kernel import Kernel
from kerneld.demo.kernelspec import python_kernels
from kerneld.demo.memory_cgroup import LIMIT_BYTES, Fence, fence, unfenced
from kerneld.demo.patience import Late, Patience
from kerneld.demo.recorder import Recorder
from kerneld.errors import KerneldError, SourceUnavailable
from kerneld.model.incident import Incident

READY_S, ANSWER_S, HEAR_S, DEATH_S, SETTLE_S = 15.0, 20.0, 6.0, 15.0, 12.0
ASK_S = 0.1

NUMPY_CELL = """\
import numpy as np

large_list = []
for i in range(1_000_000):
    large_list.append(np.random.rand(1000))"""
BYTES_CELL = """\
import os

large_list = []
for i in range(1_000_000):
    large_list.append(os.urandom(8000))"""
# the pause: a kernel that dies at once takes the message that its cell began along
SEGFAULT_CELL = """\
import ctypes, time

time.sleep(0.3)
ctypes.string_at(0)"""
_HAS_NUMPY = "__import__('importlib.util').util.find_spec('numpy') is not None"


class NoKernel(KerneldError):
    """No Python kernel can be started here."""


@dataclass(frozen=True, slots=True)
class Played:
    """instead: why it was a segfault and no exhausted memory; "" where memory ran out."""

    incident: Incident
    instead: str


def play(patience: Patience, tell: Callable[[str], None]) -> Played:
    """Play it. tell: a line for whoever waits. All that was made is gone on return and on raise."""
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        tell("starting a recorder of its own")
        recorder = stack.enter_context(closing(Recorder(folder, os.environ)))
        limit, instead = _limit(stack)
        kernel, has_numpy = _kernel(stack, folder, limit=limit, patience=patience, tell=tell)
        patience.until(recorder.is_ready, READY_S, "the recorder was not ready")
        instead = instead or unfenced(kernel.process.pid)
        _await_listener(recorder, kernel, patience)
        tell(f"running a cell that {_deed(instead)}")
        kernel.execute(_cell(instead, has_numpy=has_numpy))
        patience.until(lambda: kernel.has_ended() or None, DEATH_S, "the kernel did not die")
        tell("it died; waiting for the final verdict")
        incident = patience.until(
            lambda: recorder.settled(kernel.id),
            SETTLE_S,
            "the recorder came to no verdict",
            pace_s=ASK_S,
        )
        return Played(incident, instead)


@contextmanager
def _folder() -> Iterator[Path]:
    """0700, by its real path: no link on the way, since the recorder follows none."""
    folder = Path(tempfile.mkdtemp(prefix="kerneld-demo-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _limit(stack: ExitStack) -> tuple[Fence | None, str]:
    """A memory limit, or none and the reason."""
    try:
        return stack.enter_context(fence()), ""
    except SourceUnavailable as problem:
        return None, problem.reason


def _kernel(
    stack: ExitStack,
    folder: Path,
    *,
    limit: Fence | None,
    patience: Patience,
    tell: Callable[[str], None],
) -> tuple[Kernel, bool]:
    """The first kernel that answers, and whether it has numpy. Raises NoKernel."""
    problems: list[str] = []
    for number, spec in enumerate(python_kernels(os.environ, Path.home())):
        tell(f"starting a kernel: {spec.origin}")
        place = folder / f"kernel-{number}"
        place.mkdir(mode=0o700)
        kernel = Kernel(spec, place, notebook=folder / "demo" / "demo.ipynb", fence=limit)
        try:
            answer = patience.until(_answer(kernel), ANSWER_S, "the kernel did not answer")
        except (NoKernel, Late) as problem:
            problems.append(f"{spec.origin}: {problem}")
            kernel.close()
            continue
        except BaseException:
            kernel.close()
            raise
        stack.callback(kernel.close)
        return kernel, _says_true(answer)
    found = (
        f"none of the kernels found starts ({problems[0]})" if problems else "no Python kernel found"
    )
    raise NoKernel(f"{found}; install one beside kerneld: pip install 'kerneld[demo]'")


def _answer(kernel: Kernel) -> Callable[[], Mapping[str, object] | None]:
    """Asks at once (ZeroMQ keeps the question until the kernel listens) and looks for the answer."""
    asked = kernel.execute("", ask={"numpy": _HAS_NUMPY})

    def look() -> Mapping[str, object] | None:
        if kernel.has_ended():
            raise NoKernel(kernel.last_words() or "it ended at once")
        return kernel.replies().get(asked)

    return look


def _says_true(answer: Mapping[str, object]) -> bool:
    return "'text/plain': 'True'" in str(answer.get("user_expressions"))


def _await_listener(recorder: Recorder, kernel: Kernel, patience: Patience) -> None:
    """Let the recorder join the kernel's messages: a cell that is sent before, nobody hears.

    Where it can't, the incident is told without its cell; that is worth seeing, too.
    """

    def heard() -> bool | None:
        kernel.execute("", ask={})  # makes the kernel say that it is busy, then idle
        return recorder.hears(kernel.id)

    try:
        patience.until(heard, HEAR_S, "the recorder did not hear the kernel", pace_s=ASK_S)
    except Late:
        return


def _deed(instead: str) -> str:
    """What the cell does, for whoever waits."""
    return (
        "reads address 0" if instead else f"fills {LIMIT_BYTES >> 20} MiB, the limit of its own cgroup"
    )


def _cell(instead: str, *, has_numpy: bool) -> str:
    if instead:
        return SEGFAULT_CELL
    return NUMPY_CELL if has_numpy else BYTES_CELL
