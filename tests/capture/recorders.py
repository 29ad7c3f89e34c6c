"""A daemon that keeps the evidence of requested ends too, and what it exports."""

import json
import subprocess
import sys

from rig import Daemon, RigError

# the daemon forgets the evidence of an end that was asked for once it is settled
KEEPING = """
import runpy
from kerneld.store import rows
rows.keeps_evidence = lambda incident: True
runpy.run_module("kerneld.daemon", run_name="__main__")
"""


class KeepingDaemon(Daemon):
    def launch(self) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", KEEPING, "--db", str(self.db), "--force"]
        return self.person.popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.stop()

    def export(self, uuid: str) -> dict:  # type: ignore[type-arg]
        """As a user sends a wrong verdict."""
        return json.loads(self._kerneld("export", uuid, "--case", "--redact"))

    def story(self, uuid: str) -> str:
        """What it said instead, for who must find out why."""
        end = next(end for end in self.ends() if end.uuid == uuid)
        because = "; ".join(piece.text for piece in (*end.because, *end.against))
        return f"{because} | blind {[b.source for b in end.blind]} | {end.alternatives}"

    def _kerneld(self, *words: str) -> str:
        argv = [sys.executable, "-m", "kerneld", *words, "--db", str(self.db)]
        done = self.person.run(argv)
        if done.returncode:
            raise RigError(f"kerneld {words[0]}: {done.stderr.strip()}")
        return done.stdout
