"""A death into what is asked about it once its first verdict is stored: the machine, a log."""

from collections.abc import Iterable

from kerneld.model.death import Death
from kerneld.model.effects import Effect, LookAround, ReadServerLog
from kerneld.model.living import TrackedLife
from kerneld.model.vocabulary import Scope


def questions_on(death: Death) -> Iterable[Effect]:
    life, kernel = death.life, death.life.kernel
    # the disk that counts is the notebook's; where that is not known, the connection file's
    here = kernel is not None and not kernel.file_elsewhere
    path = (kernel.notebook_path or kernel.connection_file) if kernel and here else None
    yield LookAround(life.process, path)
    if (
        death.scope is Scope.KERNEL
        and kernel is not None
        and life.server is not None
        and is_story(life)
    ):
        yield ReadServerLog(
            server=life.server.key,
            server_uid=life.server.uid,
            kernel_id=kernel.id,
            pid=life.process.pid,
            since=life.process.started_at,
            answered=death.answered,
        )


def is_story(life: TrackedLife) -> bool:
    """A server people log in to has an end of its own; a headless run's end is its kernels'."""
    return life.server is not None and life.server.kind.outlives_kernels
