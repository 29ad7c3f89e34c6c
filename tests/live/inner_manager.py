"""Run inside a container: starts a kernel at each `start`, gives it the code of a line, ends it."""

import json
import sys

from jupyter_client.manager import KernelManager

print("ready", flush=True)
for line in sys.stdin:
    word, _, code = line.rstrip("\n").partition(" ")
    told = "done"
    if word == "start":
        manager = KernelManager()
        manager.start_kernel()
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        told = json.dumps({"pid": manager.provisioner.pid, "file": manager.connection_file})
    elif word == "run":
        client.execute_interactive(json.loads(code), output_hook=lambda _: None)
    elif word == "begin":
        client.execute(json.loads(code))
    elif word == "shutdown":
        manager.shutdown_kernel()
    print(told, flush=True)
