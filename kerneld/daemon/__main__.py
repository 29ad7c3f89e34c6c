"""`python -m kerneld.daemon`: the collector, without what only its libraries would import."""

import sys

from kerneld.lean import leave_out

if __name__ == "__main__":
    leave_out()
    from kerneld.daemon.start import main

    sys.exit(main())
