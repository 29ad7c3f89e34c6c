"""The machines of the system's tests, for a JupyterHub in one of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "system"))
