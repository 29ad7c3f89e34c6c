"""`python -m kerneld.daemon`: the collector, without what only its libraries would import."""

import sys
from importlib.util import find_spec

_UNUSED = ["numpy", "pandas"]
"""sqlite-utils imports them where it finds them: 15 and 40 MiB"""
if find_spec("_md5"):
    _UNUSED.append("_hashlib")
    """OpenSSL, 3.5 MiB; nothing is hashed here but by the hashes that this Python brings itself"""

if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]  # None: as if not installed
    from kerneld.daemon.start import main

    sys.exit(main())
