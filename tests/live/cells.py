"""The cells that end a kernel, or that it must survive."""

import platform

MACHINE_CODE = """
import time; time.sleep(0.3)
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("{code}"))
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
IN_A_THREAD = MACHINE_CODE.replace(
    "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()",
    "import threading\n"
    "run = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\n"
    "thread = threading.Thread(target=run)\nthread.start()\nthread.join()",
)
BEYOND_THE_FILE = """
import time; time.sleep(0.3)
import mmap, tempfile
file = tempfile.TemporaryFile()
file.truncate(4096)
view = mmap.mmap(file.fileno(), 4096)
file.truncate(0)
view[0]
"""
# The kernel's own thread sends `execute_input` a moment after the cell began: a kernel that dies at
# once takes its last cell's start along, and nobody outside can know of it.
SENT = "import time\ntime.sleep(0.3)\n"
NULL_READ = SENT + "import ctypes\nctypes.string_at(0)"
# the file is looked for within 0.1 s
WITH_FAULTHANDLER = """import ctypes, faulthandler, time
faulthandler.enable(open("fault.log", "w"))
time.sleep(0.3)
def read(place):
    return ctypes.string_at(place)
read(0)"""
FATAL_CELLS = {
    "faulthandler": WITH_FAULTHANDLER,
    "segfault": NULL_READ,
    "thread-segfault": SENT
    + "import ctypes, threading\nthread = threading.Thread(target=ctypes.string_at, args=(0,))\n"
    + "thread.start()\nthread.join()",
    "abort": SENT + "import os\nos.abort()",
    "bus-error": BEYOND_THE_FILE,
    "exit-call": "exit()",
    "hard-exit-3": SENT + "import os\nos._exit(3)",
    "hard-exit-0": SENT + "import os\nos._exit(0)",
    "self-kill": SENT + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
}
if platform.machine() == "x86_64":
    FATAL_CELLS |= {
        "illegal-instruction": MACHINE_CODE.format(code="0f0b"),  # ud2
        "trap": MACHINE_CODE.format(code="cc"),  # int3
        "arithmetic-fault": MACHINE_CODE.format(code="31c031d231c9f7f1c3"),  # div by ecx = 0
        "stack-overflow": MACHINE_CODE.format(code="e8fbffffff"),  # calls itself
        "thread-stack-overflow": IN_A_THREAD.format(code="e8fbffffff"),
        "wild-write": MACHINE_CODE.format(code="48b8000000000070000048890000"),  # to 0x700000000000
    }
SHM_BYTES = 16 << 20
# without a name, as PyTorch's DataLoader has its own: the end of the process frees it
FILL_SHM = (
    SENT
    + f"""
import mmap, tempfile
file = tempfile.TemporaryFile(dir="/dev/shm")
file.truncate({2 * SHM_BYTES})
view = mmap.mmap(file.fileno(), {2 * SHM_BYTES})
for start in range(0, {2 * SHM_BYTES}, 4096):
    if start == {SHM_BYTES - 16384}:
        time.sleep(0.3)
    view[start] = 1
"""
)
GROW_SLOWLY = """
import time
print("growing", flush=True)
held = []
while True:
    held.append(b"x" * (8 << 20))
    time.sleep(0.05)
"""
HOLD_A_GIGABYTE = """
import time
held = b"x" * (1 << 30)
print("held", flush=True)
time.sleep(600)
"""
# the daemons look once a second whether a kernel was moved to another cgroup, and at its usage
HOLD_UNTIL_SEEN = """
import time
held = b"x" * {held_bytes}
time.sleep(2.5)
print("held", flush=True)
time.sleep(600)
"""
SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"
MEMORY_ERROR = """
import resource
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (256 << 20), resource.RLIM_INFINITY))
held = bytearray(1 << 30)
"""
LIMITED = (
    SENT
    + """
import ctypes, resource
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + ({room_mib} << 20), resource.RLIM_INFINITY))
"""
)
# C++'s operator new throws std::bad_alloc, which nobody catches
REFUSED_MEMORY = (
    LIMITED.format(room_mib=256)
    + """
new = ctypes.CDLL("libstdc++.so.6")._Znwm
new.argtypes, new.restype = [ctypes.c_size_t], ctypes.c_void_p
while True:
    ctypes.memset(new(1 << 20), 1, 1 << 20)
"""
)
ABORT_WITH_ROOM = LIMITED.format(room_mib=8192) + "ctypes.CDLL(None).abort()"
POOL = """
import multiprocessing
with multiprocessing.Pool(8) as terminated:
    terminated.map(abs, range(100))
closed = multiprocessing.Pool(8)
closed.map(abs, range(100))
closed.close()
closed.join()
import subprocess, sys
for end in ("sys.exit(3)", "os._exit(1)", "os.kill(os.getpid(), 15)"):
    subprocess.run([sys.executable, "-c", "import os, sys; " + end])
for end in ("terminate", "kill"):
    worker = multiprocessing.get_context("spawn").Process(target=abs, args=(1,))
    worker.start()
    getattr(worker, end)()
    worker.join()
"""
# A pool whose worker takes more than the cgroup has: Linux kills the worker, the kernel lives.
POOL_THAT_GROWS = """
import concurrent.futures, multiprocessing, os, time
def fill():
    with open({told!r}, "w") as told:
        print(os.getpid(), file=told)
    time.sleep(3)  # the daemons look at children, and for a kernel in another cgroup, each second
    held = []
    while True:
        held.append(b"x" * (8 << 20))
        time.sleep(0.03)
with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    pool.submit(fill).result()
"""
# spawned, forked by a server of its own, forked from the kernel itself
WORKERS_THAT_CRASH = """
import time
time.sleep(0.3)
import ctypes, multiprocessing, os
with open({told!r}, "w") as told:
    for how, end, given in (
        ("spawn", ctypes.string_at, (0,)),
        ("forkserver", os.abort, ()),
        ("fork", ctypes.string_at, (0,)),
    ):
        worker = multiprocessing.get_context(how).Process(target=end, args=given)
        worker.start()
        print(worker.pid, file=told, flush=True)
        worker.join()
"""
R_GROWS = """
held <- lapply(1:200, function(i) { Sys.sleep(0.005); runif(100000) })
cat("held"); flush(stdout()); Sys.sleep(600)"""
HOLD_THE_GIL = (
    "import itertools\nprint('held', flush=True)\n" + SENT + "sum(itertools.repeat(1, 10**11))"
)
