"""Logs of a real slurmd and rsyslogd into tests/captured: `python tests/capture/log_files.py`.

As root, with Debian's earlyoom, slurmd and rsyslogd. In a machine of its own ana's jobs outgrow their
memory, are preempted and cancelled; earlyoom kills; and ana has Slurm and syslog log what she likes.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDERS = (HERE.parent / "live", HERE, HERE.parent / "system", HERE.parent / "unit")
sys.path[:0] = map(str, FOLDERS)

from capture import write  # noqa: E402
from given import ANA  # noqa: E402
from guards import marked, start_earlyoom  # noqa: E402
from machine import PID_1, Machine, wait_for  # noqa: E402
from managed import SETTINGS, is_dead  # noqa: E402
from notebook import Notebook  # noqa: E402
from recorders import KEEPING  # noqa: E402
from slurm import LOG, job_of, preempt, start_slurm  # noqa: E402
from test_service import settled_end_of, watched  # noqa: E402

from kerneld.model.incident import Incident  # noqa: E402

TO = HERE.parent / "captured" / "log_files"
DATABASE = "/var/lib/kerneld/kerneld.db"
SOCKET = "/run/systemd/journal/syslog"
RSYSLOG = f"""module(load="imuxsock" SysSock.Name="{SOCKET}")
$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat
*.* /var/log/syslog
"""
ENDED = "*** JOB {job} ON laboratory CANCELLED AT 2026-11-27T13:55:44"
FORGED_JOB = (
    f"{ENDED} DUE TO TIME LIMIT ***\n"
    f"[2026-11-27T14:00:00.000] [99.batch] error: {ENDED.format(job=99)} ***"
)
FORGED_KILL = 'sending SIGKILL to process 4242 uid 0 "python": badness 999, VmRSS 9 MiB'


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="kerneld-") as folder,
        Machine(Path(folder) / "machine", PID_1) as machine,
    ):
        machine.run("hostname", "laboratory")
        _log_to_files(machine)
        start_slurm(machine, f"SlurmdLogFile={LOG}", "SlurmdSyslogDebug=info")
        _start_recorder(machine)
        end = _play(machine)
        words = ("export", end.uuid, "--case", "--redact", "--db", DATABASE)
        document = json.loads(machine.run(sys.executable, "-m", "kerneld", *words))
        slurmd, syslog = (machine.path(path).read_bytes() for path in (LOG, "/var/log/syslog"))
    TO.mkdir(exist_ok=True)
    (TO / "slurmd-22.05.log").write_bytes(slurmd)
    (TO / "syslog-8.2302.log").write_bytes(syslog)
    document["header"] |= {"command": "python tests/capture/log_files.py", "scenario": "syslog"}
    problem = write("oom_daemon/hit_syslog", document, {socket.gethostname(), folder, "/work", "/opt"})
    print(document["expect"], problem)
    return 1 if problem else 0


def _start_recorder(machine: Machine) -> None:
    """It sees no journal, as on a host that keeps none."""
    machine.trace_nothing()
    machine.path("/run/keeping.py").write_text(KEEPING)
    started = ("ExecStart=", f"ExecStart={sys.executable} /run/keeping.py")
    machine.drop_in("InaccessiblePaths=/run/log/journal", *started)
    machine.path("/etc/kerneld/config.toml").write_text(SETTINGS)
    machine.start()


def _log_to_files(machine: Machine) -> None:
    """journald hands on what it gets, as on Debian, where rsyslogd has this socket."""
    machine.path("/etc/rsyslog.conf").write_text(RSYSLOG)
    program = shutil.which("rsyslogd", path="/usr/sbin:/sbin")
    assert program is not None
    machine.run("systemd-run", "--unit=rsyslogd", program, "-n", "-f", "/etc/rsyslog.conf")
    wait_for(machine.path(SOCKET).exists, 10, "rsyslogd listens")


def _play(machine: Machine) -> Incident:
    """The end that earlyoom made."""
    jobs = [(f"job-name={name}", "mem=300M") for name in ("memory", "cancelled", "preempted")]
    with ExitStack() as at_end:
        notebooks = [Notebook(machine, job=job) for job in jobs]
        memory, cancelled, preempted = map(at_end.enter_context, notebooks)
        plain = at_end.enter_context(Notebook(machine))
        forged = FORGED_JOB.format(job=job_of(machine, "cancelled"))
        _by_ana(machine, "scontrol", "notify", job_of(machine, "cancelled"), forged)
        _by_ana(machine, "logger", "-t", "earlyoom", FORGED_KILL)
        memory.begin("held = bytearray(600 << 20)")
        _await_end(machine, memory)
        _by_ana(machine, "scancel", job_of(machine, "cancelled"))
        _await_end(machine, cancelled)
        preempt(machine)
        _await_end(machine, preempted)
        watched(machine, plain)
        marked(machine, plain.pid)
        start_earlyoom(machine)
        _await_end(machine, plain)
        return settled_end_of(machine, plain)


def _await_end(machine: Machine, notebook: Notebook) -> None:
    wait_for(partial(is_dead, machine, notebook), 20, f"the end of {notebook.pid}")


def _by_ana(machine: Machine, *argv: str) -> None:
    subprocess.run(machine.command(*argv, uid=ANA), check=True)


if __name__ == "__main__":
    sys.exit(main())
