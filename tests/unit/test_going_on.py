"""A reader that Linux grants no timer hears kernels all the same."""

import subprocess
import sys

import pytest

_TURNED = """
import os, resource, signal
from kerneld.reader.going_on import GoingOn, heed_continue
resource.setrlimit(resource.RLIMIT_SIGPENDING, ({most}, {most}))
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
heed_continue()
GoingOn().turn(on=True)
print(signal.sigtimedwait([signal.SIGCONT], 1) is not None)
"""


@pytest.mark.parametrize(("most", "comes"), [(0, False), (100, True)])
def test_no_timer_is_no_end(most: int, comes: bool) -> None:
    program = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])"
    command = [sys.executable, "-c", program + _TURNED.format(most=most)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert told.stdout == f"{comes}\n"
