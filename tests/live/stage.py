"""Where the scenarios play, and what the test itself knows of each life that ended there."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from jupyters import JupyterServer, KernelClient, NotebookSession
from rig import PLAIN, World


@dataclass(frozen=True)
class Life:
    """What the test knows of a process that ended (or must not be reported), by its own witness."""

    pid: int
    uid: int = PLAIN
    kernel_id: str | None = None
    notebook: str | None = None
    execution_count: int | None = None
    died_at: datetime | None = None


@dataclass
class Stage:
    """Where the scenarios play: a world, a server, and what they told of themselves."""

    world: World
    server: JupyterServer
    rounds: int = 10
    daemons: int = 3
    extra: dict[str, object] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    @property
    def listeners(self) -> int:
        """On the iopub of a server's kernel: the server, the test's client, each daemon's reader."""
        return 2 + self.daemons

    def open(self, name: str, spec: str = "python3") -> tuple[NotebookSession, KernelClient]:
        session = self.server.open_notebook(f"{name}.ipynb", spec)
        client = session.connect(self.listeners)
        self.secrets.append(client.key)
        return session, client


def ended(session: NotebookSession, pid: int, count: int | None = None) -> Life:
    return Life(pid, PLAIN, session.kernel_id, session.notebook, count, datetime.now(UTC))
