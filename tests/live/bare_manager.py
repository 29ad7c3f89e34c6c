"""Starts one kernel with a bare KernelManager; `poll` on stdin reaps it, the end of stdin buries it."""

import json
import sys
import tempfile

from jupyter_client.manager import KernelManager

manager = KernelManager(transport=sys.argv[1])
if manager.transport == "ipc":
    # unnamed, its sockets would be `kernel-ipc-1` … in the working folder
    manager.connection_file = tempfile.mktemp(".json", "kernel-")
manager.start_kernel()
print(
    json.dumps({"pid": manager.provisioner.pid, "connection_file": manager.connection_file}), flush=True
)
for _ in sys.stdin:
    print(json.dumps({"alive": manager.is_alive()}), flush=True)
manager.shutdown_kernel()
