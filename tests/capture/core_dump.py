"""A core dump in a machine of its own, captured: `python tests/capture/core_dump.py`.

Into tests/captured/journal and tests/cases. As root, with coredumpctl on PATH, where Linux writes cores
into files.
"""

import json
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(HERE.parent / "live"), str(HERE), str(HERE.parent / "system"), str(HERE.parent / "unit"),
]  # fmt: skip

from capture import write  # noqa: E402
from cores import crash, install, record  # noqa: E402
from machine import PID_1, Machine, wait_for  # noqa: E402
from managed import journal_is_read  # noqa: E402
from notebook import Notebook  # noqa: E402
from test_service import settled_end_of, watched  # noqa: E402

DATABASE = "/var/lib/kerneld/kerneld.db"
RECORD = HERE.parent / "captured/journal/coredump-252.json"
EXPECT = {"cause": "segfault", "confidence": "certain"}


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="kerneld-") as folder,
        Machine(Path(folder) / "machine", PID_1) as machine,
    ):
        machine.run("hostname", "laboratory")
        install(machine)
        machine.path("/etc/kerneld/config.toml").write_text("[daemon]\nsettle_s = 30.0\n")
        machine.start()
        with Notebook(machine) as notebook:
            wait_for(partial(journal_is_read, machine), 15, "the journal is read")
            watched(machine, notebook)
            crash(machine, notebook)
            end = settled_end_of(machine, notebook)
        RECORD.write_text(record(machine))
        words = ("export", end.uuid, "--case", "--redact", "--db", DATABASE)
        document = json.loads(machine.run(sys.executable, "-m", "kerneld", *words))
        problem = f"got {document['expect']}, and right is {EXPECT}"
        if document["expect"] == EXPECT:
            how = {"command": "python tests/capture/core_dump.py", "scenario": "core"}
            document["header"] |= how | {"seen_by": "service"}
            private = {socket.gethostname(), folder, "/work", "/opt", "/root"}
            problem = write("segfault/hit_core", document, private)
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
