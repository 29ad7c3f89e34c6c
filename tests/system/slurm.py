"""Debian's Slurm into a machine: a cluster of one node that runs notebooks as jobs."""

import shutil
import subprocess
from pathlib import Path

from guards import WHERE
from machine import Machine, wait_for

LOG = "/var/log/slurm/slurmd.log"
NODE_MIB = 8000
_FILES = (
    "usr/sbin/slurm*", "usr/bin/s*", "usr/lib/*/slurm-wlm", "usr/lib/*/libhwloc.so*",
    "lib/systemd/system/slurm*",
)  # fmt: skip

# auth/none: whoever speaks is believed, on this loopback. What enforces --mem is slurmstepd's own look
# at its tasks (once a second), not a cgroup: so Slurm kills, and not Linux.
_SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=/run/slurm
SlurmdSpoolDir=/run/slurmd
MailProg=/bin/true
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
{settings}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=1000
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=cancel
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory={memory}
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=cancel
PartitionName=high Nodes=ALL PriorityTier=10
"""


def start_slurm(machine: Machine, *settings: str) -> None:
    """settings: further lines of slurm.conf, such as where slurmd logs; by itself it does nowhere."""
    _install(machine)
    host = machine.run("hostname", "-s").strip()
    for folder in ("/etc/slurm", "/run/slurm", "/run/slurmd", "/var/log/slurm"):
        machine.path(folder).mkdir(exist_ok=True)
    written = _SETTINGS.format(host=host, settings="\n".join(settings), memory=NODE_MIB)
    machine.path("/etc/slurm/slurm.conf").write_text(written)
    machine.path("/etc/slurm/plugstack.conf").write_text("")
    for unit in ("slurmctld", "slurmd"):
        folder = machine.path(f"/etc/systemd/system/{unit}.service.d")
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text("[Service]\nUser=root\nGroup=root\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "slurmctld", "slurmd")
    wait_for(lambda: "idle" in machine.ask("sinfo", "-h").stdout, 20, "Slurm is ready")


def _install(machine: Machine) -> None:
    """From where it was unpacked; what Debian installed is there already."""
    program = shutil.which("slurmd") or shutil.which("slurmd", path=WHERE)
    assert program is not None
    root = Path(program).parent.parent.parent
    if root != Path("/"):
        files = [str(file.relative_to(root)) for each in _FILES for file in root.glob(each)]
        copy = ["cp", "-a", "--parents", "--remove-destination", *files, str(machine.path("/"))]
        subprocess.run(copy, cwd=root, check=True)


def job_of(machine: Machine, name: str) -> str:
    return machine.run("squeue", "--noheader", "--format=%i", f"--name={name}").strip()


def preempt(machine: Machine) -> None:
    """A job of a partition above takes all of the memory that this one has not got already."""
    machine.run("sbatch", "--quiet", "--partition=high", f"--mem={NODE_MIB - 200}", "--wrap=sleep 600")
