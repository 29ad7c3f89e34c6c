"""The units under a real systemd: started, hung, killed, stopped, and all that their sandbox allows."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from given import ANA, HOME
from machine import GONE, Machine, children, wait_for
from notebook import Notebook
from receivers import webhook

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Confidence, ExitHow, PeakHow, State
from kerneld.proc.capabilities import Capability

pytestmark = [pytest.mark.needs_systemd, pytest.mark.needs_root, pytest.mark.timeout(90)]
LIVE = "/run/kerneld/live.db"
SEGFAULT = "import ctypes, time\ntime.sleep(0.5)\nctypes.string_at(0)"
"""its pause lets iopub tell of the cell: what the kernel has not sent dies with it"""
GROW = "import os\nx = [os.urandom(20_000) for i in range(20_000)]\nos.kill(os.getpid(), 9)"


def end_of(machine: Machine, notebook: Notebook, **where: str) -> Incident:
    """Its row, as soon as there is one."""
    return wait_for(lambda: _ends(machine, notebook, where), 15, f"an end of {notebook.pid}")[0]


def settled_end_of(machine: Machine, notebook: Notebook) -> Incident:
    """Its row, once every source had its time to speak."""

    def settled() -> list[Incident]:
        return [end for end in _ends(machine, notebook, {}) if end.state is State.SETTLED]

    return wait_for(settled, 15, f"the last word on {notebook.pid}")[0]


def _ends(machine: Machine, notebook: Notebook, where: dict[str, str]) -> list[Incident]:
    return [end for end in machine.ends(**where) if end.process.pid == notebook.pid]


def watched(machine: Machine, notebook: Notebook, **where: str) -> None:
    """Until the daemon has samples of the kernel's memory and hears what it publishes."""
    told: set[str] = set()

    def seen() -> bool:
        for state in machine.living(**where):
            if state.key.pid != notebook.pid or not state.samples:
                continue
            if state.state == "unknown" and state.at.isoformat() not in told:
                told.add(state.at.isoformat())
                notebook.stir()
            return state.state in ("idle", "busy")
        return False

    wait_for(seen, 15, f"kernel {notebook.pid} is watched and heard")


def status(machine: Machine, pid: int) -> dict[str, str]:
    text = machine.path(f"/proc/{pid}/status").read_text()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in text.splitlines())}


def threads(machine: Machine, pid: int) -> Iterator[list[str]]:
    """The fields of each thread's stat from the state on; priority is [15], policy [38]."""
    for task in machine.path(f"/proc/{pid}/task").iterdir():
        yield (task / "stat").read_text().rpartition(") ")[2].split()


# ---------------------------------------------------------------- what it may do


def test_it_runs_as_its_user_with_four_rights_and_ahead_of_others(machine: Machine) -> None:
    machine.start()
    pid = machine.daemon_pid()
    told = status(machine, pid)
    uid = machine.run("id", "-u", "kerneld").strip()
    assert told["Uid"].split() == [uid] * 4
    granted = f"{sum(1 << capability for capability in Capability):016x}"
    assert {told[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {granted}
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    policies = {int(fields[38]) for fields in threads(machine, pid)}
    assert policies == {os.SCHED_RR}, "each thread, not the first alone"


def test_its_children_have_no_right_at_all_and_stand_behind(machine: Machine) -> None:
    """The reader, which gives its own up, and journalctl, which gets none (what it may still inherit
    counts for files with capabilities alone, and NoNewPrivileges forbids those)."""
    machine.start()
    found = wait_for(lambda: _reader_and_journalctl(machine), 10, "the reader and journalctl run")
    for child in found:
        wait_for(partial(_has_no_right, machine, child), 10, "the reader gave up its rights")
        told = status(machine, child)
        assert {told[name] for name in ("CapPrm", "CapEff", "CapAmb")} == {f"{0:016x}"}
        assert {int(fields[38]) for fields in threads(machine, child)} == {os.SCHED_OTHER}
        assert {int(fields[16]) for fields in threads(machine, child)} == {0}


def _reader_and_journalctl(machine: Machine) -> list[int]:
    """journalctl's first life only tries whether the journal can be read."""
    found = children(machine.path(f"/proc/{machine.daemon_pid()}"))
    wanted = (b"kerneld.reader", b"--follow")
    with suppress(*GONE):
        commands = [machine.path(f"/proc/{child}/cmdline").read_bytes() for child in found]
        if all(any(word in command for command in commands) for word in wanted):
            return found
    return []


def _has_no_right(machine: Machine, pid: int) -> bool:
    return status(machine, pid)["CapPrm"] == f"{0:016x}"


def test_others_see_that_it_runs_and_nothing_more(machine: Machine) -> None:
    machine.start()
    wait_for(machine.path(LIVE).exists, 10, "live.db is there")
    uid = int(machine.run("id", "-u", "kerneld"))
    for folder, mode in (("/var/lib/kerneld", 0o700), ("/run/kerneld", 0o755)):
        made = machine.path(folder)
        assert (stat.S_IMODE(made.stat().st_mode), made.stat().st_uid) == (mode, uid)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in made.iterdir()}
        assert modes
        assert set(modes.values()) == {0o600}, modes


def test_a_segfault_of_another_user_is_told_with_the_line_of_the_linux_log(sandbox: Machine) -> None:
    sandbox.start()
    with Notebook(sandbox) as notebook:
        watched(sandbox, notebook)
        notebook.begin(SEGFAULT)
        notebook.reap()
        end = settled_end_of(sandbox, notebook)
    assert (end.cause, end.confidence, end.user.uid) == (Cause.SEGFAULT, Confidence.CERTAIN, ANA)
    assert end.exit.signal == signal.SIGSEGV
    assert (end.memory.peak_how, end.cell.how if end.cell else None) == (PeakHow.TASKSTATS, "iopub")
    (line,) = [quote.text for quote in end.because if quote.source == "linux-log"]
    assert f"[{notebook.pid}]: segfault at 0" in line


def test_a_kernel_of_another_user_that_grows_has_its_line(sandbox: Machine) -> None:
    """py-spy runs in the sandbox, with one right more than none, and reads what is Ana's."""
    sandbox.start()
    with Notebook(sandbox) as notebook:
        watched(sandbox, notebook)
        notebook.begin(GROW)
        notebook.reap()
        end = settled_end_of(sandbox, notebook)
    assert [blind for blind in end.blind if blind.source == "stacks"] == []
    assert (end.growth_lines[0].line, end.cell and end.cell.line) == (2, 2), end.growth_lines


def test_the_zombies_of_others_show_their_true_status(sandbox: Machine) -> None:
    """Without CAP_SYS_PTRACE, or with PrivateUsers, a 0 may be Linux's mask: then it is not proven."""
    sandbox.start()
    with Notebook(sandbox) as notebook:
        watched(sandbox, notebook)
        notebook.begin("import os\nos._exit(0)")
        end = end_of(sandbox, notebook)
    assert (end.exit.code, end.exit.how) == (0, ExitHow.PROCFS)


# ---------------------------------------------------------------- what users may ask


def told_to(machine: Machine, uid: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """`kerneld` as a plain user of the machine types it."""
    command = machine.command(sys.executable, "-m", "kerneld", *words, uid=uid, environ=("HOME=/",))
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_plain_user_is_told_of_the_own_kernels_and_nobody_elses(machine: Machine) -> None:
    """By the socket's unit and a process without any right, also after the recorder was killed."""
    machine.drop_in("Restart=no")
    machine.start()
    machine.systemctl("start", "kerneld-query.socket")
    with Notebook(machine) as notebook:
        watched(machine, notebook)
        living = told_to(machine, ANA, "kernels", "--json")
        assert [each["key"]["pid"] for each in json.loads(living.stdout)] == [notebook.pid]
        assert json.loads(told_to(machine, ANA + 1, "kernels", "--json").stdout) == []
        notebook.begin(SEGFAULT)
        notebook.reap()
        end = end_of(machine, notebook)
    told = status(machine, int(machine.show("MainPID", "kerneld-query.service")))
    assert {told[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {f"{0:016x}"}
    machine.signal(signal.SIGKILL)
    wait_for(lambda: machine.show("ActiveState") == "failed", 10, "the recorder is gone")
    assert machine.path("/var/lib/kerneld/kerneld.db-wal").stat().st_size, "its log was left"
    machine.systemctl("stop", "kerneld-query.service")
    listed = told_to(machine, ANA, "incidents", "--json")
    assert ([each["uuid"] for each in json.loads(listed.stdout)], listed.stderr) == ([end.uuid], "")
    assert f"{end.process.pid}" in told_to(machine, ANA, "show", str(end.id)).stdout
    for words in (("incidents", "--all"), ("show", end.uuid), ("show", "latest")):
        others = told_to(machine, ANA + 1, *words)
        assert (others.returncode, others.stdout) == (1, ""), words


# ---------------------------------------------------------------- how it lives and ends


def test_a_hanging_daemon_is_ended_and_started_again(machine: Machine) -> None:
    machine.drop_in("WatchdogSec=4")
    machine.start()
    hung = machine.daemon_pid()
    machine.signal(signal.SIGSTOP)
    wait_for(lambda: machine.show("NRestarts") == "1", 15, "the watchdog bites")
    wait_for(lambda: machine.show("ActiveState") == "active", 10, "it is ready again")
    assert machine.daemon_pid() != hung
    assert "Watchdog timeout" in machine.told()


def test_a_stop_is_clean_and_takes_five_seconds_at_most(machine: Machine) -> None:
    machine.start()
    began = time.monotonic()
    machine.systemctl("stop", "kerneld")
    assert time.monotonic() - began <= 5
    assert (machine.show("Result"), machine.show("ExecMainStatus")) == ("success", "0")
    assert not machine.path("/run/kerneld").exists(), "a user's own daemon would stay away"
    assert "Traceback" not in machine.told()


def test_a_killed_daemon_is_back_in_five_seconds_and_has_lost_nothing(machine: Machine) -> None:
    """Its last samples of a kernel that dies meanwhile are in the folder that outlives the restart."""
    machine.start()
    with Notebook(machine) as before, Notebook(machine) as meanwhile:
        watched(machine, before)
        watched(machine, meanwhile)
        before.begin(SEGFAULT)
        before.reap()
        acknowledged = end_of(machine, before)
        killed, began = machine.daemon_pid(), time.monotonic()
        machine.signal(signal.SIGKILL)
        meanwhile.begin("import os\nos._exit(3)")
        wait_for(lambda: machine.daemon_pid() not in (0, killed), 5, "it is started again")
        wait_for(lambda: machine.show("ActiveState") == "active", 5, "it is ready again")
        assert time.monotonic() - began <= 5
        end = end_of(machine, meanwhile)
    assert (end.exit.code, end.died_at_uncertainty_s > 0) == (3, True)
    assert end.memory.samples
    assert sorted(e.process.pid for e in machine.ends()) == sorted([before.pid, meanwhile.pid])
    assert end_of(machine, before).uuid == acknowledged.uuid


def test_a_wrong_configuration_is_told_once_and_not_tried_for_ever(machine: Machine) -> None:
    machine.path("/etc/kerneld/config.toml").write_text("[daemon]\nsettle_s = 'soon'\n")
    assert machine.ask("systemctl", "start", "kerneld").returncode != 0
    assert (machine.show("ActiveState"), machine.show("ExecMainStatus")) == ("failed", "78")
    assert "daemon.settle_s" in machine.told()


# ---------------------------------------------------------------- what is told outside


def test_a_death_is_told_outside_by_a_process_without_rights(machine: Machine) -> None:
    """It reads the database, cannot write it, and goes on when the recorder is gone."""
    with webhook() as server:
        rules = f'[daemon]\nsettle_s = 0.5\n[notify.ops]\nwebhook = "{server.url}"\n'
        rules += '[notify.program]\ncommand = ["/bin/sh", "-c", "id -un > $STATE_DIRECTORY/told"]\n'
        machine.path("/etc/kerneld/config.toml").write_text(rules)
        machine.path("/etc/kerneld/config.toml").chmod(0o644)
        machine.start()
        machine.systemctl("start", "kerneld-notify")
        notifier = int(machine.show("MainPID", "kerneld-notify"))
        with Notebook(machine) as notebook:
            watched(machine, notebook)
            notebook.begin(SEGFAULT)
            notebook.reap()
            wait_for(lambda: server.got, 15, "the webhook hears of it")
        assert status(machine, notifier)["CapEff"] == "0" * 16
        told = machine.path("/var/lib/kerneld-notify/told")
        wait_for(told.exists, 5, "the program ran")
        assert told.read_text() == "kerneld\n"
        assert server.got[0].document["incident"]["process"]["pid"] == notebook.pid
        machine.systemctl("stop", "kerneld")
        time.sleep(1.1)  # a round
        log = machine.ask("journalctl", "--no-pager", "--output=cat", "--unit=kerneld-notify").stdout
        assert "chmod 640" in log
        assert "kerneld.db" not in log, "a stopped daemon's database is read, too"
        assert machine.show("ActiveState", "kerneld-notify") == "active"


HUB_ENV = """JUPYTERHUB_API_TOKEN=x
JUPYTERHUB_API_URL=http://127.0.0.1:9/hub/api
JUPYTERHUB_SERVICE_PREFIX=/services/kerneld/
JUPYTERHUB_SERVICE_URL=http://127.0.0.1:{}
"""
READERS = ("kerneld-web", "kerneld-query", "kerneld-notify")


def test_who_only_reads_may_be_killed_or_gone_and_the_recorder_does_not_notice(
    machine: Machine,
) -> None:
    """And after the recorder was killed, with its log left beside the database, each reads that."""
    with webhook() as server, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        rules = f'[daemon]\nsettle_s = 0.5\n[notify.ops]\nwebhook = "{server.url}"\n'
        machine.path("/etc/kerneld/config.toml").write_text(rules)
        machine.path("/etc/kerneld/hub.env").write_text(HUB_ENV.format(port))
        machine.drop_in("Restart=no")
        machine.start()
        machine.systemctl("start", "kerneld-query.socket", "kerneld-web", "kerneld-notify")
        told_to(machine, ANA, "incidents")
        # the proc connector is given 2 s to answer, and does not in a pid namespace
        wait_for(lambda: "proc-connector" in machine.told(), 15, "all sources have spoken")
        recorder, said = machine.daemon_pid(), machine.told()
        machine.systemctl("kill", "--signal=SIGKILL", *READERS)
        with Notebook(machine) as notebook:
            watched(machine, notebook)
            notebook.begin(SEGFAULT)
            notebook.reap()
            settled_end_of(machine, notebook)
            wait_for(lambda: server.got, 15, "the notifier is back, and tells")
        machine.systemctl("stop", *READERS)
        with Notebook(machine) as notebook:
            watched(machine, notebook)
            notebook.begin(SEGFAULT)
            notebook.reap()
            end = settled_end_of(machine, notebook)
        assert (machine.daemon_pid(), machine.told()) == (recorder, said)
        machine.signal(signal.SIGKILL)
        wait_for(lambda: machine.show("ActiveState") == "failed", 10, "the recorder is gone")
        assert machine.path("/var/lib/kerneld/kerneld.db-wal").stat().st_size, "its log was left"
        machine.systemctl("start", "kerneld-web", "kerneld-notify")
        wait_for(lambda: len(server.got) == 2, 15, "the notifier tells what it missed")
        assert server.got[1].document["incident"]["uuid"] == end.uuid
        assert end.uuid in told_to(machine, ANA, "incidents", "--json").stdout
        health = f"http://127.0.0.1:{port}/services/kerneld/healthz"
        wait_for(
            lambda: answer_of(health) == {"database": True, "recorder": False}, 15, "the page reads"
        )


def answer_of(url: str) -> object:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


# ---------------------------------------------------------------- the user unit


class UsersManager:
    """`systemctl --user` of a user in a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        runtime_dir = f"XDG_RUNTIME_DIR=/run/user/{ANA}"
        machine.run(
            *("systemd-run", "--unit=ana", f"--uid={ANA}", f"--setenv={runtime_dir}"),
            *("--property=Type=notify", "--property=Delegate=yes"),
            *("/lib/systemd/systemd", "--user", "--unit=basic.target"),
        )
        self._command = ("setpriv", f"--reuid={ANA}", f"--regid={ANA}", "--clear-groups")
        self._command += ("env", runtime_dir, "systemctl", "--user")

    def start(self) -> None:
        self._machine.run(*self._command, "start", "kerneld")

    def show(self, name: str) -> str:
        shown = self._machine.run(*self._command, "show", "kerneld", f"--property={name}", "--value")
        return shown.strip()


def test_a_users_own_unit_stays_away_from_the_systems_and_works_without_it(machine: Machine) -> None:
    machine.start()
    wait_for(machine.path(LIVE).exists, 10, "live.db is there")
    user = UsersManager(machine)
    user.start()
    assert (user.show("ConditionResult"), user.show("ActiveState")) == ("no", "inactive")
    machine.systemctl("stop", "kerneld")
    user.start()
    assert user.show("ActiveState") == "active"
    assert int(status(machine, int(user.show("MainPID")))["CapPrm"], 16) == 0
    with Notebook(machine) as notebook:
        watched(machine, notebook, live=f"/run/user/{ANA}/kerneld/live.db")
        notebook.begin(SEGFAULT)
        notebook.reap()
        end = end_of(machine, notebook, database=f"{HOME}/.local/state/kerneld/kerneld.db")
    assert (end.cause, end.exit.signal) == (Cause.SEGFAULT, signal.SIGSEGV)
    folder = machine.path(f"{HOME}/.local/state/kerneld")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
