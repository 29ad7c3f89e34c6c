"""A JupyterHub with its proxy in a machine of its own, beside the recorder and the page."""

import json
import re
import socket
import sys
import sysconfig
import urllib.request
from pathlib import Path
from typing import Any, Self

from jupyter_client.blocking.client import BlockingKernelClient
from machine import PID_1, Machine, wait_for

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
TOKEN, TESTS_TOKEN, PASSWORD = "f" * 64, "e" * 64, "a-password"
LIMIT_MIB = 900
"""of a user's server, with all its kernels"""
PEOPLE = {"ana": 20421, "ben": 20422}


def readme_lines(page_port: int) -> str:
    """What the README says stands in jupyterhub_config.py, with this test's token and port."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    (block,) = [block for block in blocks if "THE-TOKEN-OF-HUB.ENV" in block]
    (spawner,) = [block for block in blocks if "SystemdSpawner" in block]
    block += spawner
    here_it_is = {
        "THE-TOKEN-OF-HUB.ENV": TOKEN,
        "127.0.0.1:9988": f"127.0.0.1:{page_port}",
        '"users": []': '"users": ["ops"]',
        '"4G"': f'"{LIMIT_MIB}M"',
    }
    for said, here in here_it_is.items():
        assert said in block
        block = block.replace(said, here)
    return block


def free_ports(count: int) -> list[int]:
    """The loopback is the host's, too."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Hub:
    """Everything runs as it is installed, but for ports, tokens and the interpreter."""

    def __init__(self, folder: Path, proxy: str) -> None:
        self.machine = Machine(folder / "machine", PID_1)
        self.port, hub_port, proxy_port, self.page_port = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        self._proxy = proxy
        self._ports = {"port": self.port, "hub_port": hub_port, "proxy_port": proxy_port}
        try:
            self._start()
        except BaseException as problem:
            problem.add_note(self.told())
            self.machine.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.close()

    def _start(self) -> None:
        machine = self.machine
        machine.run("mkdir", "-p", "/srv/hub", "/etc/kerneld")
        machine.path("/etc/kerneld/config.toml").write_text("[daemon]\nsettle_s = 0.5\n")
        environ = {
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{self._ports['hub_port']}/hub/api",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/kerneld/",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.page_port}",
        }
        lines = "".join(f"{name}={value}\n" for name, value in environ.items())
        machine.path("/etc/kerneld/hub.env").write_text(lines)
        machine.path("/etc/kerneld/hub.env").chmod(0o600)
        machine.trace_nothing()
        self._start_hub()
        machine.start()
        machine.systemctl("start", "kerneld-web")
        wait_for(lambda: self.get("/hub/api/").get("version"), 60, "the Hub answers")
        wait_for(self._page_answers, 30, "the page answers")

    def _start_hub(self) -> None:
        given = self._ports | {
            "readme": readme_lines(self.page_port), "tests_token": TESTS_TOKEN, "password": PASSWORD,
            "scripts": str(SCRIPTS), "proxy": self._proxy,
        }  # fmt: skip
        self.machine.run(
            *("systemd-run", "--unit=hub", "--working-directory=/srv/hub"),
            *(f"--setenv=HUB_GIVEN={json.dumps(given)}", "--setenv=HOME=/root"),
            f"--setenv=PATH={SCRIPTS}:/usr/local/bin:/usr/bin:/bin",
            *(str(SCRIPTS / "jupyterhub"), "-f", str(Path(__file__).with_name("hub_config.py"))),
        )

    def _page_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/services/kerneld/healthz"):
                return True
        except OSError:
            return False

    def get(self, path: str) -> dict[str, Any]:
        return self.ask("GET", path)

    def ask(self, method: str, path: str, data: object = None) -> dict[str, Any]:
        """As the tests' own service, which may start servers and enter them; {} where it fails."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Authorization": f"token {TESTS_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except OSError:
            return {}
        return dict(json.loads(text)) if text else {}

    def told(self) -> str:
        """What the Hub and the page wrote."""
        return self.machine.ask("journalctl", "--no-pager", "-u", "hub", "-u", "kerneld-web").stdout

    # ------------------------------------------------------------------ servers and kernels

    def start_servers(self) -> None:
        """Of everybody, side by side."""
        for name in PEOPLE:
            self.ask("POST", f"/hub/api/users/{name}/server")

        def are_ready() -> bool:
            servers = [self.get(f"/hub/api/users/{name}").get("servers") or {} for name in PEOPLE]
            return all(each.get("", {}).get("ready") for each in servers)

        wait_for(are_ready, 60, "the servers are ready")

    def add_kernelspec(self, user: str, name: str, **environ: str) -> None:
        """In the user's own home, as any user may."""
        folder = f"/home/{user}/.local/share/jupyter/kernels/{name}"
        self.machine.run("install", "-d", "-o", user, "-g", user, folder)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": name, "language": "python", "env": environ}
        self.machine.path(f"{folder}/kernel.json").write_text(json.dumps(spec))

    def notebook(self, user: str, name: str, *, kernel: str = "python3") -> "Notebook":
        session = wait_for(
            lambda: self.ask(
                "POST",
                f"/user/{user}/api/sessions",
                {"path": name, "name": name, "type": "notebook", "kernel": {"name": kernel}},
            ),
            30,
            f"a kernel of {user}",
        )
        return Notebook(self.machine, user, session["kernel"]["id"])

    def token_of(self, user: str, **asked: object) -> str:
        return str(self.ask("POST", f"/hub/api/users/{user}/tokens", asked)["token"])


class Notebook:
    """A kernel of a user's server, on the loopback that both machines share."""

    def __init__(self, machine: Machine, user: str, kernel_id: str) -> None:
        self.kernel_id = kernel_id
        inside = f"/home/{user}/.local/share/jupyter/runtime/kernel-{kernel_id}.json"
        self._client = BlockingKernelClient(connection_file=str(machine.path(inside)))
        self._client.load_connection_file()
        self._client.start_channels()
        wait_for(self._answers, 60, f"the kernel of {user} answers")

    def _answers(self) -> bool:
        try:
            self._client.wait_for_ready(timeout=10)
        except RuntimeError:
            return False
        return True

    def run(self, code: str) -> None:
        self._client.execute(code)
