"""Builds cases for the rules' tables. Generated input: captured deaths live under tests/cases."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from kerneld.model.case import Case
from kerneld.model.facts import FileRemoved, ServerEnd, Succession
from kerneld.model.host import Host
from kerneld.model.process import CgroupLocation, Connection, Kernel, Limit, Process, ProcessKey, Server
from kerneld.model.readings import CgroupDelta, CgroupReading, ExitReading, MemoryAccount, ShmReading
from kerneld.model.records import LogEvent, LogRecord, SignalSent, TaskRow
from kerneld.model.said import CellStarted, CodeFacts, KernelStatus, ShutdownAnnounced
from kerneld.model.verdict import Blind
from kerneld.model.vocabulary import ExitHow, LimitKind, ServerKind, Trust

BOOT = "11111111-2222-3333-4444-555555555555"
DIED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PID, SERVER_PID = 4242, 4000
GROUP = "/user.slice/alice"
GIB = 1 << 30


def at(seconds: float) -> datetime:
    """A moment, counted from the death."""
    return DIED + timedelta(seconds=seconds)


def process(pid: int = PID, *, age_s: float = 600.0, **fields: Any) -> Process:
    given: dict[str, Any] = {
        "key": ProcessKey(boot_id=BOOT, pid=pid, start_ticks=100, pidfd_inode=77),
        "comm": "python3",
        "ppid": SERVER_PID,
        "pgid": pid,
        "sid": pid,
        "uid": 1000,
        "user_name": "alice",
        "started_at": at(-age_s),
        "cgroup": CgroupLocation(version=2, path=GROUP),
        "limits": (Limit(kind=LimitKind.CGROUP, limit_bytes=4 * GIB, path=GROUP),),
    }
    return Process(**(given | fields))


def server(kind: ServerKind = ServerKind.JUPYTER_SERVER) -> Server:
    return Server(
        key=ProcessKey(boot_id=BOOT, pid=SERVER_PID, start_ticks=50),
        kind=kind,
        comm="jupyter-lab",
        uid=1000,
        started_at=at(-3600),
    )


def ended(*, signal: int | None = None, code: int | None = None) -> tuple[ExitReading, ...]:
    """One proven account by the pidfd; () for a lost status."""
    if signal is None and code is None:
        return ()
    raw = signal if signal is not None else (code or 0) << 8
    return (ExitReading(how=ExitHow.PIDFD, status_raw=raw, at=DIED),)


def cell(*, ran_s: float = 42.0, **code: bool) -> CellStarted:
    return CellStarted(at=at(-ran_s), handle=1, parent="m7", execution_count=7, code=CodeFacts(**code))


def idle(seconds: float = -0.3) -> KernelStatus:
    return KernelStatus(at=at(seconds), handle=1, state="idle", parent="m7")


def announced(*, restart: bool = False, seconds: float = -0.2) -> ShutdownAnnounced:
    return ShutdownAnnounced(at=at(seconds), handle=1, restart=restart)


def removed(seconds: float = 0.2) -> FileRemoved:
    return FileRemoved(at=at(seconds), handle=1)


def succeeded(seconds: float) -> Succession:
    return Succession(at=at(seconds), pid=PID + 1)


def server_end(seconds: float, *, signal: int | None = None, code: int | None = None) -> ServerEnd:
    return ServerEnd(at=at(seconds), pid=SERVER_PID, readings=ended(signal=signal, code=code))


def line(kind: str, *, seconds: float = -0.05, tgid: int | None = None, **fields: Any) -> LogRecord:
    """One event of the Linux log; the pid is the kernel's unless it is given."""
    given = {"kind": kind, "pid": PID, "comm": "python3", "line": f"{kind} line"} | fields
    return LogRecord(at=at(seconds), event=LogEvent(**given), tgid=tgid)


def sent(
    number: int, *, by: int = 777, code: int = 0, seconds: float = -0.01, comm: str = "bash"
) -> SignalSent:
    """A signal to the kernel, as the trace tells it; sent by user 1001's bash unless it is given."""
    who = {"sender_pid": by, "sender_comm": comm, "sender_uid": 1001, "sender_user": "bob"}
    return SignalSent(at=at(seconds), pid=PID, signal=number, code=code, **who)


def oom(scope: Literal["memcg", "global"] = "memcg", **fields: Any) -> LogRecord:
    given: dict[str, Any] = {"anon_rss_kb": int(3.9 * GIB) // 1024, "file_rss_kb": 0}
    if scope == "memcg":
        given |= {"constraint": "CONSTRAINT_MEMCG", "cgroup": GROUP, "oom_cgroup": GROUP}
    else:
        given |= {"constraint": "CONSTRAINT_NONE", "cgroup": GROUP}
    return line(f"oom_{scope}", **(given | fields))


def task(pid: int, gib: float, comm: str = "python3") -> TaskRow:
    return TaskRow(pid=pid, comm=comm, uid=1000, rss_kb=int(gib * GIB) // 1024)


CONNECTION = Connection(
    transport="tcp", ip="127.0.0.1", shell_port=5001, iopub_port=5002, stdin_port=5003,
    control_port=5004, hb_port=5005, signature_scheme="hmac-sha256", kernel_name="python3",
    key_digest="d",
)  # fmt: skip


def counters(
    *,
    kills: int = 1,
    oom_rise: int | None = 1,
    usage: float = 0.5,
    version: int = 2,
    sigkilled: int = 1,
    gone: bool = False,
    peaks: tuple[float, float] | None = None,
) -> CgroupDelta:
    """The victim's own limited cgroup before and after; usage, peaks: their shares of the limit."""
    known = oom_rise is not None
    before = CgroupReading(
        version=version, path=GROUP, at=at(-0.5), oom=3 if known else None, oom_kill=5,
        usage_bytes=int(usage * 4 * GIB), limit_bytes=4 * GIB,
    )  # fmt: skip
    rise = {"at": at(0.5), "oom": 3 + oom_rise if oom_rise is not None else None, "oom_kill": 5 + kills}
    if peaks is not None:
        before = before.model_copy(update={"peak_bytes": int(peaks[0] * 4 * GIB)})
        rise["peak_bytes"] = int(peaks[1] * 4 * GIB)
    after = () if gone else (before.model_copy(update=rise),)
    return CgroupDelta(before=(before,), after=after, kills_in_window=sigkilled)


def shm(free: float, *, seconds: float = -0.05) -> MemoryAccount:
    """A /dev/shm of 64 MiB with this share of it free."""
    size = 64 << 20
    seen = ShmReading(size_bytes=size, free_bytes=int(free * size), at=at(seconds))
    return room().model_copy(update={"shm": seen})


def limited(kind: LimitKind = LimitKind.RLIMIT_AS) -> Process:
    """A process with a limit of 4 GiB on its own memory."""
    return process(limits=(Limit(kind=kind, limit_bytes=4 * GIB),))


def room(*, available_gib: float = 12.0) -> MemoryAccount:
    return MemoryAccount(
        samples=((1.0, GIB), (0.0, 2 * GIB)), last_bytes=2 * GIB, last_at=at(0),
        host_total_bytes=16 * GIB, host_available_bytes=int(available_gib * GIB),
    )  # fmt: skip


def death(*, signal: int | None = None, code: int | None = None, **fields: Any) -> Case:
    """A kernel of a living Jupyter server that died busy in cell [7], everything readable, settled."""
    who: Process = fields.pop("process", process())
    parent: Server | None = fields.pop("server", server())
    given: dict[str, Any] = {
        "uuid": "00000000-0000-4000-8000-000000000001",
        "host": Host(name="box", boot_id=BOOT, linux_release="6.18.0"),
        "boot_id_now": BOOT,
        "kernel": Kernel(
            id="k1", process=who, name="python3", server=parent, found_at=who.started_at,
            notebook_path="/home/alice/n.ipynb", notebook_how="connection-file",
            connection=CONNECTION,
        ),
        "process": who,
        "server": parent,
        "died_at": DIED,
        "detected_at": DIED,
        "watched_since": who.started_at,
        "readings": ended(signal=signal, code=code),
        "memory": room(),
        "cgroup": counters(kills=0, oom_rise=0),
        "answered": True,
        "busy": True,
        "last_cell": cell(),
        "settled": True,
    }  # fmt: skip
    return Case(**(given | fields))


TEXT = Trust.TEXT


def unread(case: Case) -> Case:
    """The same death of a kernel whose connection file could not be read."""
    assert case.kernel is not None
    kernel = case.kernel.model_copy(update={"connection": None})
    blind = (*case.blind, Blind(source="connection-file", reason="it may not be read"))
    return case.model_copy(update={"kernel": kernel, "blind": blind})
