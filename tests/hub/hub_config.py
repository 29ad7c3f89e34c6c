"""README's lines, and what else the tests' JupyterHub needs: `jupyterhub -f` this."""

import json
import os
from pathlib import Path

given = json.loads(os.environ["HUB_GIVEN"])
c = get_config()  # noqa: F821 - JupyterHub's own
exec(compile(given["readme"], "README.md", "exec"))

c.JupyterHub.services.append({"name": "tests", "api_token": given["tests_token"]})
c.JupyterHub.load_roles.extend(
    [
        {
            "name": "tests",
            "scopes": ["admin:users", "admin:servers", "access:servers", "tokens"],
            "services": ["tests"],
        },
    ]
)
c.JupyterHub.bind_url = f"http://127.0.0.1:{given['port']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{given['hub_port']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['proxy_port']}"
c.ConfigurableHTTPProxy.command = [given["proxy"]]
c.JupyterHub.db_url = "sqlite:////srv/hub/hub.sqlite"
c.JupyterHub.cookie_secret_file = "/srv/hub/cookie_secret"
c.ConfigurableHTTPProxy.pid_file = "/srv/hub/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = given["password"]
c.Authenticator.allowed_users = {"ana", "ben", "ops"}
c.Authenticator.admin_users = {"boss"}
c.Spawner.cmd = [str(Path(given["scripts"]) / "jupyterhub-singleuser")]
c.Spawner.args = ["--ServerApp.jpserver_extensions={{}}"]  # it expands names in braces
c.Spawner.start_timeout = 60
