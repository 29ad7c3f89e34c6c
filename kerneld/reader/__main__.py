"""`python -m kerneld.reader SOCKET_FD NOTE_FD BOOT_ID`: the collector starts it, its socket ends it."""

import sys

from kerneld.lean import leave_out

if __name__ == "__main__":
    leave_out()
    from kerneld.reader.start import main

    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
