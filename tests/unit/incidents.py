"""Builds incidents for the renderers and the command line. Generated: none was captured."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kerneld.model.cells import FinishedCell
from kerneld.model.growth import Frame, GrowthLine, StackPart
from kerneld.model.host import Host
from kerneld.model.incident import (
    Advice,
    Bystander,
    CellPart,
    ContainerPart,
    ExitPart,
    FaultPart,
    HostState,
    Incident,
    KernelPart,
    LoopPart,
    MemoryPart,
    NotebookPart,
    ProcessPart,
    ServerPart,
    TimelineEntry,
    UserPart,
)
from kerneld.model.verdict import Alternative, Blind, Evidence, Killer
from kerneld.model.vocabulary import Cause, Confidence, ExitHow, LimitKind, PeakHow, State

MIB, GIB = 1 << 20, 1 << 30
BOOT = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)
DIED = datetime(2026, 11, 21, 14, 3, 22, 118_000, tzinfo=UTC)

# escapes, C1, a title change, bidi override, a line break, DEL, tags, a formula
HOSTILE = '=cmd|"\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\r\nfake row\x7f\U000e0041\u2028漢字,"'


def incident(number: int = 43, **fields: Any) -> Incident:
    """A plain one: a notebook of alice that reached its cgroup's limit."""
    given: dict[str, Any] = {
        "uuid": f"00000000-0000-5000-8000-{number:012d}",
        "cause": Cause.OOM_CGROUP,
        "confidence": Confidence.CERTAIN,
        "state": State.SETTLED,
        "died_at": DIED,
        "host": Host(name="hub-3", boot_id=BOOT, linux_release="6.8.0-45"),
        "kernel": KernelPart(
            id="b2f1c6de-0000-4000-8000-000000000001",
            name="python3",
            language="python",
            pid=48213,
            start_ticks=100,
            started_at=DIED - timedelta(hours=2),
        ),
        "process": ProcessPart(pid=48213, comm="python3", start_ticks=100, ppid=47990),
        "user": UserPart(uid=1001, name="alice"),
        "notebook": NotebookPart(path="/home/alice/churn/train.ipynb", how="environ"),
        "exit": ExitPart(signal=9, status_raw=9, core_dumped=False, how=ExitHow.PIDFD),
        "memory": MemoryPart(
            peak_bytes=4 * GIB,
            peak_how=PeakHow.OOM_LINE,
            peak_is_lower_bound=False,
            last_bytes=4 * GIB - 3 * MIB,
            limit_bytes=4 * GIB,
            limit_kind=LimitKind.CGROUP,
            limit_path="/user.slice/user-1001.slice",
        ),
        "summary": "Cell [7] had run for 42 s when the kernel reached the 4.0 GiB limit of "
        "user-1001.slice, and Linux killed it.",
    } | fields
    died_at = given["died_at"]
    given.setdefault("category", given["cause"].category)
    given.setdefault("detected_at", died_at)
    given.setdefault("recorded_at", died_at)
    given.setdefault("settled_at", died_at + timedelta(seconds=5))
    return Incident(id=number, **given)


def segfault(number: int = 42, **fields: Any) -> Incident:
    given: dict[str, Any] = {
        "cause": Cause.SEGFAULT,
        "died_at": DIED - timedelta(minutes=23),
        "user": UserPart(uid=1002, name="bob"),
        "notebook": NotebookPart(path="/home/bob/eda.ipynb", how="environ"),
        "exit": ExitPart(signal=11, status_raw=139, core_dumped=True, how=ExitHow.PIDFD),
        "memory": MemoryPart(peak_bytes=312 * MIB, peak_how=PeakHow.SAMPLE, peak_is_lower_bound=True),
        "loop": LoopPart(id="loop-1", count=3),
        "fault": FaultPart(
            kind="segfault", address="0x10", object="libblas.so.3", offset="0x1f2", symbol="dgemm_"
        ),
        "summary": "Compiled code in libblas.so.3 read an address that is not its own.",
    }
    return incident(number, **(given | fields))


def hard_exit(number: int = 41, **fields: Any) -> Incident:
    given: dict[str, Any] = {
        "cause": Cause.HARD_EXIT,
        "confidence": Confidence.LIKELY,
        "died_at": datetime(2026, 11, 18, 9, 12, tzinfo=UTC),
        "user": UserPart(uid=1003, name="carol"),
        "notebook": NotebookPart(path="/home/carol/etl/load.ipynb", how="environ"),
        "exit": ExitPart(code=3, status_raw=768, core_dumped=False, how=ExitHow.PIDFD),
        "memory": MemoryPart(peak_bytes=410 * MIB, peak_how=PeakHow.VMHWM),
        "summary": "The kernel left with status 3, and nobody had asked it to.",
    }
    return incident(number, **(given | fields))


def asked_for(number: int = 40, **fields: Any) -> Incident:
    return incident(number, **({"cause": Cause.RESTART, "summary": "Its user restarted it."} | fields))


def full(number: int = 43, text: str | None = None, **fields: Any) -> Incident:
    """One with every field filled; `text` takes the place of every string that a user can choose."""

    def said(honest: str) -> str:
        return honest if text is None else text

    samples = tuple(
        (600.0 - 6 * step, round((0.4 + 3.6 * (step / 100) ** 3) * GIB)) for step in range(101)
    )
    given: dict[str, Any] = {
        "user": UserPart(uid=1001, name=said("alice"), hub_name=said("alice")),
        "notebook": NotebookPart(path=said("/home/alice/churn/train.ipynb"), how="environ"),
        "host": Host(name=said("hub-3"), boot_id=BOOT, linux_release=said("6.8.0-45")),
        "kernel": KernelPart(
            id=said("b2f1c6de-0000-4000-8000-000000000001"),
            name=said("python3"),
            language=said("python"),
            pid=48213,
            start_ticks=100,
            connection_file=said("/run/user/1001/jupyter/kernel-1.json"),
            started_at=DIED - timedelta(hours=2),
            restarts=2,
        ),
        "process": ProcessPart(pid=48213, comm=said("python3"), start_ticks=100, ppid=47990),
        "server": ServerPart(
            pid=47990, kind="jupyterhub", url=said("/user/alice"), unit=said("jupyter-alice.service")
        ),
        "container": ContainerPart(id=said("0123456789abcdef"), how="cgroup"),
        "cgroup": said("/user.slice/user-1001.slice"),
        "memory": MemoryPart(
            peak_bytes=4 * GIB,
            peak_how=PeakHow.OOM_LINE,
            peak_is_lower_bound=False,
            last_bytes=samples[-1][1],
            tree_peak_bytes=5 * GIB,
            swap_bytes=12 * MIB,
            limit_bytes=4 * GIB,
            limit_kind=LimitKind.CGROUP,
            limit_path=said("/user.slice/user-1001.slice"),
            host_total_bytes=64 * GIB,
            host_available_bytes=20 * GIB,
            growth_bytes_per_s=86.0 * MIB,
            samples=samples,
        ),
        "cell": CellPart(
            execution_count=7,
            source=said(
                "import numpy as np\nlarge_list = []\nfor i in range(1_000_000):\n"
                "    large_list.append(np.random.rand(1000))\n"
            ),
            started_at=DIED - timedelta(seconds=42),
            elapsed_s=42.0,
            line=4,
            code_policy="full",
            how="iopub",
        ),
        "cells": (
            FinishedCell(
                execution_count=5,
                code=said("df = load()"),
                started_at=DIED - timedelta(seconds=400),
                duration_s=44.0,
                before_bytes=MIB,
                change_bytes=GIB,
                peak_bytes=2 * GIB,
            ),
            FinishedCell(
                execution_count=6,
                code=said("y = np.zeros(10**12)"),
                started_at=DIED - timedelta(seconds=60),
                duration_s=0.2,
                failed=True,
                error=said("MemoryError"),
            ),
        ),
        "growth_lines": (
            GrowthLine(
                function=said("<module>"),
                line=4,
                code=said("large_list.append(…)"),
                execution_count=7,
                bytes=round(3.6 * GIB),
                share=0.97,
            ),
            GrowthLine(
                function=said("load"),
                file=said("/home/alice/churn/etl.py"),
                line=12,
                bytes=80 * MIB,
                share=0.02,
            ),
            GrowthLine(bytes=40 * MIB, share=0.01),
        ),
        "stack": StackPart(
            at=DIED - timedelta(seconds=0.4),
            frames=(
                Frame(
                    function=said("<module>"),
                    file=said("/tmp/ipykernel_48213/1.py"),
                    line=4,
                    code=said("    large_list.append(np.random.rand(1000))"),
                ),
                Frame(function=said("rand"), file=said("numpy/random/mtrand.pyx"), line=1219),
            ),
        ),
        "fault": FaultPart(
            kind="segfault",
            address=said("0x10"),
            object=said("libblas.so.3"),
            offset=said("1f2"),
            symbol=said("dgemm_"),
            package=said("numpy"),
            version=said("2.1.0"),
            native_stack=said("#0 dgemm_\n#1 cblas_dgemm\n#2 PyEval"),
        ),
        "killer": Killer(
            pid=4711,
            comm=said("pkill"),
            uid=0,
            user=said("root"),
            unit=said("cron.service"),
            how="signal-trace",
        ),
        "bystanders": (
            Bystander(
                pid=48213,
                comm=said("python3"),
                uid=1001,
                user=said("alice"),
                rss_bytes=4 * GIB,
                role="victim",
            ),
            Bystander(pid=48100, comm=said("chrome"), uid=1002, rss_bytes=210 * MIB, role="other"),
            Bystander(rss_bytes=20 * MIB, role="other"),
        ),
        "host_state": HostState(psi_memory=said("some 12 %"), swap_free_bytes=0, shm_free_bytes=GIB),
        "loop": LoopPart(id="loop-2", count=3),
        "summary": said(
            "Cell [7] had run for 42 s when the kernel reached the 4.0 GiB limit of "
            "user-1001.slice, and Linux killed it. Line 4 had grown it by 3.6 GiB."
        ),
        "advice": (
            Advice(
                id="memory-limit",
                title=said("Hold less at a time"),
                text=said(
                    "The finished list would hold 8.1 GB (1,000,000 × 1,000 × 8 B); the limit is "
                    "4.3 GB. It was 48 % done."
                ),
                code=said(
                    "total = np.zeros(1000)\nfor i in range(1_000_000):\n"
                    "    total += np.random.rand(1000)"
                ),
                sure=True,
            ),
        ),
        "because": (
            Evidence(
                source="linux-log",
                at=DIED,
                text=said(
                    "Memory cgroup out of memory: Killed process 48213 (python3) total-vm:9123456kB, "
                    "anon-rss:4194304kB, file-rss:0kB, shmem-rss:0kB, UID:1001 pgtables:8192kB "
                    "oom_score_adj:0"
                ),
            ),
            Evidence(
                source="exit", at=DIED, text=said("SIGKILL, read while the parent had not reaped it")
            ),
        ),
        "against": (Evidence(source="memory", text=said("the last sample was 3 MiB below the limit")),),
        "blind": (
            Blind(
                source="journal", reason=said("not readable for this user (kerneld doctor says how)")
            ),
        ),
        "alternatives": (
            Alternative(
                cause=Cause.KILLED,
                confidence=Confidence.POSSIBLE,
                because=said("SIGKILL came, and its sender was not seen"),
            ),
        ),
        "timeline": (
            TimelineEntry(
                at=DIED - timedelta(hours=2),
                source="process",
                text=said("the kernel started, pid 48213"),
            ),
            TimelineEntry(
                at=DIED - timedelta(seconds=400), source="iopub", text=said("Cell [5] started")
            ),
            TimelineEntry(
                at=DIED - timedelta(seconds=42), source="iopub", text=said("Cell [7] started")
            ),
            TimelineEntry(at=DIED, source="exit", text=said("killed by SIGKILL")),
        ),
        "evidence_dropped": said("the journal's lines: too long"),
    }
    return incident(number, **(given | fields))
