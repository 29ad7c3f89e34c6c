"""A daemon of the demo's own, with its database in a folder of its own: started, asked, ended."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from kerneld.demo.leash import die_with_parent
from kerneld.errors import KerneldError
from kerneld.live import read_living
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Mode, State
from kerneld.places import paths
from kerneld.store import Store

READY = "kerneld ready"
_END_WITHIN_S = 5.0
# the kernel's life is short: it is looked at often; the cell is the demo's own, and shown whole
_SETTINGS = """\
[daemon]
settle_s = 2.0
[memory]
busy_hz = 100
[privacy]
code = "full"
"""


class Recorder:
    """`python -m kerneld.daemon` with its own configuration; ended by `close`."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._database = folder / "kerneld.db"
        self._said = folder / "kerneld.log"
        self._live = paths(Mode.USER, environ, folder, database=self._database).live
        settings = folder / "kerneld.toml"
        settings.write_text(_SETTINGS, encoding="utf-8")
        words = [sys.executable, "-m", "kerneld.daemon", "--config", str(settings)]
        with open(self._said, "wb") as log:
            self.process = subprocess.Popen(
                [*words, "--db", str(self._database), "--force"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def is_ready(self) -> bool | None:
        """True or not yet. Raises KerneldError with its last words when it has ended."""
        lines = self._said.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(line.startswith(READY) for line in lines):
            return True
        if self.process.poll() is not None:
            last = lines[-1] if lines else f"exit status {self.process.returncode}"
            raise KerneldError(f"the recorder did not start: {last}; `kerneld doctor` may say why")
        return None

    def hears(self, kernel_id: str) -> bool | None:
        """True once a message of this kernel has reached it: then the next cell will, too."""
        states = [one.state for one in read_living(self._live).states if one.kernel_id == kernel_id]
        return True if any(state in ("idle", "busy") for state in states) else None

    def settled(self, kernel_id: str) -> Incident | None:
        """This kernel's incident, once its verdict is final. Others' are not looked at."""
        with Store.read(self._database) as store:
            for end in store.ends():
                if end.kernel is not None and end.kernel.id == kernel_id and end.state is State.SETTLED:
                    return end
        return None

    def close(self) -> None:
        """Its reader goes with it."""
        self.process.terminate()
        try:
            self.process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
