"""The cells that end a kernel at a limit that was set for it, or that it must survive."""

import platform

from cells import SENT

CPU_LIMIT = (
    SENT
    + """
import resource
used = int(time.process_time()) + 1
resource.setrlimit(resource.RLIMIT_CPU, (used, {hard}))
while True:
    pass
"""
)
GROW_A_FILE = """
import os, resource, signal, tempfile
{first}
file = tempfile.TemporaryFile()
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
try:
    for _ in range(3):
        os.write(file.fileno(), b"x" * 4096)
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""
# x86-64: a filter over mkdir (system call 83), set for this thread
FORBID_MKDIR = (
    SENT
    + """
import ctypes, os, struct, tempfile
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 83), (0x06, 0, 0, {action}), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
libc.prctl(22, 2, struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
os.mkdir(tempfile.mktemp())
"""
)
LIMIT_CELLS = {
    "cpu-limit": CPU_LIMIT.format(hard="resource.RLIM_INFINITY"),
    "file-size": SENT + GROW_A_FILE.format(first="signal.signal(signal.SIGXFSZ, signal.SIG_DFL)"),
}
if platform.machine() == "x86_64":
    LIMIT_CELLS["seccomp"] = FORBID_MKDIR.format(action="0x80000000")
