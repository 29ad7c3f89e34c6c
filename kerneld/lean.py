"""What only libraries would import, and kerneld's own processes never use: left out of their memory."""

import sys
from importlib.util import find_spec

_UNUSED = ("numpy", "pandas")
"""sqlite-utils imports them where it finds them: 15 and 40 MiB"""
_OPENSSL = "_hashlib"
"""3.5 MiB; nothing is hashed here but by the hashes that Python brings itself"""


def leave_out() -> None:
    """Before anything else is imported: to an import of these they are not installed."""
    unused = (*_UNUSED, _OPENSSL) if find_spec("_md5") else _UNUSED
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]  # None: an import fails
