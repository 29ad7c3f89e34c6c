"""The machine's one job: kerneld is started, kernels die, and what it made of them goes to ttyS1."""

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import traceback
import tty
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
KEEPING = HERE / "keeping.py"
sys.path += [str(HERE.parent / "live"), str(HERE.parent / "capture")]

import recorders  # noqa: E402
from people import ANA, HOME, as_ana, run  # noqa: E402
from plays import PLAYS, Stage  # noqa: E402
from rig import RigError, read_ends, wait_for  # noqa: E402
from tree import KEPT  # noqa: E402

import kerneld  # noqa: E402
from kerneld.model.vocabulary import State  # noqa: E402

DATABASES = {
    "service": Path("/var/lib/kerneld/kerneld.db"),
    "plain": HOME / ".local/state/kerneld/kerneld.db",
}
AT_ONCE = 2
JOURNALS = {
    "oomd.json": ("-u", "systemd-oomd", "-o", "json"),
    "oomd.export": ("-u", "systemd-oomd", "-o", "export"),
    "oomd.short": ("-u", "systemd-oomd", "-o", "short"),
    "manager.json": ("_PID=1", "-o", "json"),
    "journal.txt": ("-o", "short-precise"),
}


class Serial:
    """The second serial port: one JSON object a line."""

    def __init__(self) -> None:
        self._port = open("/dev/ttyS1", "w")  # noqa: SIM115 - for the machine's life
        tty.setraw(self._port.fileno())
        self._lock = threading.Lock()

    def tell(self, **what: object) -> None:
        with self._lock:
            print(json.dumps({"up_s": round(time.monotonic(), 1)} | what), file=self._port, flush=True)


def main(serial: Serial, captures: bool) -> None:
    serial.tell(said="systemd is up")
    run(sys.executable, "-m", "compileall", "-q", str(Path(kerneld.__file__).parent))
    if captures:
        _keep_all_evidence()
    _start_recorders(serial)
    stage = Stage()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        playing = {name: pool.submit(play, stage) for name, play in PLAYS.items()}
        for name, played in playing.items():
            error = played.exception()
            if error is None:
                serial.tell(said=f"played {name}")
            else:
                serial.tell(failed=name, why="".join(traceback.format_exception(error)))
    _await_settled(serial, {life.pid for life in stage.lives})
    for life in stage.lives:
        serial.tell(life=vars(life))
    for role, database in DATABASES.items():
        for end in read_ends(database):
            serial.tell(role=role, end=end.model_dump(mode="json"))
    if captures:
        serial.tell(captured=_captured())
    serial.tell(done=True)


def _keep_all_evidence() -> None:
    """A daemon forgets that of an end that was asked for."""
    for manager in ("system", "user"):
        folder = Path(f"/etc/systemd/{manager}/kerneld.service.d")
        folder.mkdir(exist_ok=True)
        start = f"{sys.executable} {KEEPING}"
        (folder / "keeping.conf").write_text(f"[Service]\nExecStart=\nExecStart={start}\n")
    KEEPING.write_text(recorders.KEEPING)
    run("systemctl", "daemon-reload")


def _start_recorders(serial: Serial) -> None:
    """Her own first: it stays away where the machine has one, and does not leave when that comes."""
    run("systemctl", "start", f"user@{ANA}.service")
    venv = HOME / ".local/share/kerneld/venv"
    run(*as_ana("mkdir", "-p", str(venv.parent)))
    run(*as_ana("ln", "-s", sys.prefix, str(venv)))
    run(*as_ana("systemctl", "--user", "start", "kerneld"))
    run("systemctl", "start", "kerneld")
    serial.tell(said="two recorders are ready")


def _await_settled(serial: Serial, pids: set[int]) -> None:
    def missing() -> list[tuple[str, int]]:
        settled = {
            role: {end.process.pid for end in read_ends(database) if end.state is State.SETTLED}
            for role, database in DATABASES.items()
        }
        return [(role, pid) for role, ends in settled.items() for pid in pids - ends]

    try:
        wait_for(lambda: not missing(), 30, "every end settled")
    except RigError as late:
        serial.tell(failed="settling", why=f"{late}: {missing()}\n{_recorders_said()}")


def _recorders_said() -> str:
    units = ("_SYSTEMD_UNIT=kerneld.service", "+", "_SYSTEMD_USER_UNIT=kerneld.service", "+")
    units += ("UNIT=kerneld.service", "+", "USER_UNIT=kerneld.service")
    return run("journalctl", "--no-pager", "--output=short-monotonic", *units)[-8000:]


def _captured() -> str:
    """A tar of what becomes fixtures: trees, the Linux log's records, journals, cases."""
    (KEPT / "kmsg.txt").write_bytes(_kmsg())
    for name, words in JOURNALS.items():
        said = subprocess.run(["journalctl", "--no-pager", *words], capture_output=True, check=True)
        (KEPT / name).write_bytes(said.stdout)
    for role, database in DATABASES.items():
        uuids = [end.uuid for end in read_ends(database)]
        kerneld = [sys.executable, "-m", "kerneld", "export", "--db", str(database)]
        (KEPT / f"cases-{role}.json").write_text(run(*kerneld, *uuids, "--case", "--redact"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        tar.add(KEPT, ".")
    return base64.b64encode(packed.getvalue()).decode()


def _kmsg() -> bytes:
    """Raw records, one read each."""
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    records: list[bytes] = []
    while True:
        try:
            records.append(os.read(fd, 8192))
        except BlockingIOError:
            return b"".join(records)


if __name__ == "__main__":
    port = Serial()
    try:
        main(port, "capture" in sys.argv[1:])
    except Exception:
        port.tell(failed="the machine", why=traceback.format_exc(), done=True)
