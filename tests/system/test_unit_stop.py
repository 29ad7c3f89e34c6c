"""`systemctl stop` of a Jupyter server's unit, told by a recorder that can read no journal."""

import json
import sys
import time
import urllib.request

import pytest
from given import ANA, HOME
from jupyter_client.blocking.client import BlockingKernelClient
from machine import Machine, wait_for

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, State

pytestmark = [pytest.mark.needs_systemd, pytest.mark.needs_root, pytest.mark.timeout(90)]
TOKEN = "a-token"
RUNTIME = f"{HOME}/.local/share/jupyter/runtime"
BUSY = "import time\ntime.sleep(600)"


class Server:
    """A jupyter_server of Ana's as a unit of its own, on the loopback that both machines share."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.run(
            *("systemd-run", "--unit=jupyter", f"--uid={ANA}", f"--setenv=HOME={HOME}"),
            *(f"--working-directory={HOME}", sys.executable, "-m", "jupyter_server"),
            *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--IdentityProvider.token={TOKEN}"),
            *("--ServerApp.terminals_enabled=False", "--ServerApp.open_browser=False"),
        )
        self.pid = int(machine.show("MainPID", "jupyter"))
        told = machine.path(f"{RUNTIME}/jpserver-{self.pid}.json")
        wait_for(lambda: told.exists() and told.read_text().endswith("}"), 40, "the server is up")
        self._url = json.loads(told.read_text())["url"]
        wait_for(self._answers, 40, "the server answers")

    def _answers(self) -> bool:
        """Its file may be there before it listens."""
        try:
            with urllib.request.urlopen(f"{self._url}api", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
            return False

    def open(self, name: str) -> tuple[str, BlockingKernelClient]:
        """A new kernel's id, and a client of it that has had an answer."""
        asked = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        body = json.dumps(asked).encode()
        request = urllib.request.Request(f"{self._url}api/sessions", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            kernel_id = str(json.loads(answer.read())["kernel"]["id"])
        file = self._machine.path(f"{RUNTIME}/kernel-{kernel_id}.json")
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return kernel_id, client


@pytest.fixture
def ends(machine: Machine) -> dict[str, Incident]:
    """Of an idle kernel, a busy one, and the server, settled."""
    machine.drop_in("InaccessiblePaths=/run/log/journal -/var/log/journal", name="no-journal")
    machine.path("/etc/kerneld/config.toml").write_text("[daemon]\nsettle_s = 2.0\n")
    machine.start()
    server = Server(machine)
    kernels = {name: server.open(f"{name}.ipynb") for name in ("idle", "busy")}

    def states() -> list[str | None]:
        told = {state.kernel_id: state.state for state in machine.living()}
        return [told.get(kernel_id) for kernel_id, _ in kernels.values()]

    def are_heard() -> bool:
        for _, client in kernels.values():
            client.kernel_info()  # a kernel at rest says nothing
        time.sleep(2.5)  # the living are told every 2 s, and a question makes one busy for a moment
        return states() == ["idle", "idle"]

    # who hears a kernel only after its cell began does not know that it works
    wait_for(are_heard, 40, "both kernels are watched and heard")
    kernels["busy"][1].execute(BUSY)
    wait_for(lambda: states() == ["idle", "busy"], 20, "one of them works")
    for _, client in kernels.values():
        client.stop_channels()
    assert not next(source for source in machine.sources() if source.name == "journal").up
    machine.systemctl("stop", "jupyter")

    def settled() -> list[Incident]:
        found = [end for end in machine.ends() if end.state is State.SETTLED]
        return found if len(found) == 3 else []

    found = wait_for(settled, 20, "three ends are settled")
    by_kernel = {end.kernel.id if end.kernel else "": end for end in found}
    names = {kernel_id: name for name, (kernel_id, _) in kernels.items()} | {"": "server"}
    return {names[kernel_id]: end for kernel_id, end in by_kernel.items()}


def test_without_a_journal_a_stopped_unit_is_no_incident(ends: dict[str, Incident]) -> None:
    """By the server's own end, by SIGTERM or by itself, with its kernels' a moment before or after."""
    told = {name: (end.cause, end.is_incident) for name, end in ends.items()}
    assert told == dict.fromkeys(("idle", "busy", "server"), (Cause.SERVER_STOPPED, False)), ends
