"""What the README gives a JupyterHub, and whose account a user of it has."""

import re
from pathlib import Path

import pytest
from traitlets.config.loader import PyFileConfigLoader

from kerneld.web.hub import shortened

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_readmes_lines_stand_beside_what_the_hub_has(tmp_path: Path) -> None:
    """In a file of their own, too, which The Littlest JupyterHub loads behind its own lines."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (lines,) = [block for block in blocks if "THE-TOKEN-OF-HUB.ENV" in block]
    own = 'c.JupyterHub.services = [{"name": "cull"}]\nc.JupyterHub.load_roles = [{"name": "culls"}]\n'
    (tmp_path / "kerneld.py").write_text(lines)
    (tmp_path / "hub.py").write_text(f"{own}load_subconfig('kerneld.py')\n")
    (tmp_path / "one.py").write_text(own + lines)
    for name in ("hub.py", "one.py"):
        hub = PyFileConfigLoader(name, path=str(tmp_path)).load_config().JupyterHub
        assert [service["name"] for service in hub.services] == ["cull", "kerneld"]
        assert [role["name"] for role in hub.load_roles] == ["culls", "user", "kerneld-support"]


ACCOUNTS = [
    ("jupyter-ana", "jupyter-ana"),
    ("jupyter-" + "a" * 17, "jupyter-" + "a" * 17),
    ("jupyter-" + "a" * 18, "jupyter-aaaaaaaaaaaaaaaaaa-3f1e4"),
]


@pytest.mark.parametrize(("account", "expected"), ACCOUNTS)
def test_a_name_too_long_for_linux_is_shortened_as_the_littlest_hub_does(
    account: str, expected: str
) -> None:
    assert shortened(account) == expected
