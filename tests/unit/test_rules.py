"""Each theory of death: what it must say, what it must not, and who wins among rivals."""

import signal as s

import pytest
from cases import (
    GIB,
    GROUP,
    PID,
    SERVER_PID,
    TEXT,
    announced,
    at,
    cell,
    counters,
    death,
    ended,
    idle,
    limited,
    line,
    oom,
    process,
    removed,
    room,
    sent,
    server,
    server_end,
    shm,
    succeeded,
    unread,
)
from test_manager_rules import GUARDS, MANAGERS, SERVERS

from kerneld.diagnose import diagnose
from kerneld.model.case import Case
from kerneld.model.readings import ExitReading, MemoryAccount, PeakReading
from kerneld.model.verdict import Blind
from kerneld.model.vocabulary import Cause as C
from kerneld.model.vocabulary import Confidence, ExitHow, LimitKind, PeakHow, Scope, ServerKind
from kerneld.rules import RULES

TOP, LIMIT = 0x7FFC00000000, 8 << 20


def overflowed(
    address: int, *, sp: int | None = None, error: int = 6, tid: int = PID, limit: int | None = LIMIT
) -> Case:
    """A segfault with this line; the main thread's stack is [TOP - LIMIT, TOP)."""
    at_sp = address + 8 if sp is None else sp
    text = (
        f"python3[{tid}]: segfault at {address:x} ip 7f00 sp {at_sp:x} error {error:x} in x.so[1,2+3]"
    )
    who = process(stack_top=TOP, stack_limit_bytes=limit)
    return death(signal=11, process=who, log=(line("segfault", pid=tid, tgid=PID, line=text),))


def space(*, vm: float, data: float = 0, peak: float | None = None) -> MemoryAccount:
    """Address space and data at the last sample, and the most by Linux's own account, in GiB."""
    seen = {"vm_bytes": int(vm * GIB), "data_bytes": int(data * GIB)}
    if peak is None:
        return room().model_copy(update=seen)
    told = PeakReading(how=PeakHow.TASKSTATS, peak_bytes=GIB, vm_bytes=int(peak * GIB))
    return room().model_copy(update=seen | {"peaks": (told,)})


XID = line("xid", xid=31, seconds=-0.5)
NO_LOG = (Blind(source="kmsg", reason="dmesg_restrict is 1"),)
POSSIBLE, LIKELY, CERTAIN = Confidence.POSSIBLE, Confidence.LIKELY, Confidence.CERTAIN
NBCLIENT, PAPERMILL = server(ServerKind.NBCLIENT), server(ServerKind.PAPERMILL)
MASKED = (ExitReading(how=ExitHow.PROCFS, status_raw=0, proven=False, at=at(0)),)

MEMORY = {
    "limit, named": (death(signal=9, log=(oom(),)), C.OOM_CGROUP, CERTAIN),
    "host, named": (death(signal=9, log=(oom("global"),)), C.OOM_HOST, CERTAIN),
    "cpuset": (
        death(signal=9, log=(oom("global", constraint="CONSTRAINT_CPUSET"),)), C.OOM_HOST, CERTAIN,
    ),
    "old line, no constraint": (
        death(signal=9, log=(line("oom_memcg", anon_rss_kb=1000),)), C.OOM_CGROUP, CERTAIN,
    ),
    "status lost, line names it": (death(log=(oom(),)), C.OOM_CGROUP, CERTAIN),
    "masked zero, line names it": (death(readings=MASKED, log=(oom(),)), C.OOM_CGROUP, CERTAIN),
    "text could be forged": (death(signal=9, log=(oom(trust=TEXT),)), C.OOM_CGROUP, LIKELY),
    "other name": (death(signal=9, log=(oom(comm="ruby"),)), C.OOM_CGROUP, LIKELY),
    "an hour earlier": (
        death(signal=9, process=process(age_s=7200), log=(oom(seconds=-3600),)), C.KILLED, LIKELY,
    ),
    "before its birth": (
        death(signal=9, process=process(age_s=10), log=(oom(seconds=-30),)), C.KILLED, LIKELY,
    ),
    "another's pid": (death(signal=9, log=(oom(pid=9),)), C.KILLED, LIKELY),
    "killed, but it had crashed": (death(signal=11, log=(oom(),)), C.SEGFAULT, CERTAIN),
    "file removed after an OOM": (
        death(signal=9, log=(oom(),), file_removed=removed()), C.OOM_CGROUP, CERTAIN,
    ),
    "OOM in mid-shutdown": (
        death(signal=9, log=(oom(),), session=(announced(),)), C.OOM_CGROUP, CERTAIN,
    ),
    "counters, no log": (death(signal=9, cgroup=counters(), blind=NO_LOG), C.OOM_CGROUP, LIKELY),
    "counters, and it was the small one": (
        death(
            signal=9, cgroup=counters(), blind=NO_LOG,
            memory=room().model_copy(update={"last_bytes": GIB // 8, "tree_peak_bytes": None}),
        ),
        C.OOM_CGROUP, POSSIBLE,
    ),
    "named, but it left with a code": (death(code=3, log=(oom(),)), C.HARD_EXIT, CERTAIN),
    "grew to the limit between two readings": (
        death(
            signal=9, cgroup=counters(kills=0, oom_rise=0),
            memory=room().model_copy(update={"growth_bytes_per_s": 2.0 * GIB}),
        ),
        C.KILLED, POSSIBLE,
    ),
    "counters before the line comes": (
        death(signal=9, cgroup=counters(), settled=False), C.OOM_CGROUP, LIKELY,
    ),
    "counters, a read log is silent": (death(signal=9, cgroup=counters()), C.OOM_CGROUP, POSSIBLE),
    "two kernels shot, one for memory": (
        death(signal=9, cgroup=counters(sigkilled=2), blind=NO_LOG), C.OOM_CGROUP, POSSIBLE,
    ),
    "two kernels shot, both for memory": (
        death(signal=9, cgroup=counters(kills=2, sigkilled=2), blind=NO_LOG), C.OOM_CGROUP, LIKELY,
    ),
    "the kill was a neighbour's": (
        death(signal=9, cgroup=counters(), neighbours=(oom(pid=9),)), C.KILLED, LIKELY,
    ),
    "counter had risen before": (
        death(signal=9, cgroup=counters(kills=0, oom_rise=0), blind=NO_LOG), C.KILLED, POSSIBLE,
    ),
    "counters, but no SIGKILL": (death(signal=11, cgroup=counters()), C.SEGFAULT, CERTAIN),
    "killed for memory, no limit reached": (
        death(signal=9, cgroup=counters(oom_rise=0), blind=NO_LOG), C.OOM_HOST, POSSIBLE,
    ),
    "v1, limit full": (
        death(signal=9, cgroup=counters(version=1, oom_rise=None, usage=0.95), blind=NO_LOG),
        C.OOM_CGROUP, LIKELY,
    ),
    "v1, limit half full to the end": (
        death(
            signal=9,
            cgroup=counters(version=1, oom_rise=None, usage=0.5, peaks=(0.5, 0.6)),
            blind=NO_LOG,
        ),
        C.OOM_HOST, POSSIBLE,
    ),
    "v1, limit reached since the last look": (
        death(
            signal=9,
            cgroup=counters(version=1, oom_rise=None, usage=0.1, peaks=(0.1, 1.0)),
            blind=NO_LOG,
        ),
        C.OOM_CGROUP, LIKELY,
    ),
    "v1, limit reached once, nobody knows when": (
        death(
            signal=9,
            cgroup=counters(version=1, oom_rise=None, usage=0.1, peaks=(1.0, 1.0)),
            blind=NO_LOG,
        ),
        C.KILLED, POSSIBLE,
    ),
    "v1, half full, peak unread": (
        death(signal=9, cgroup=counters(version=1, oom_rise=None, usage=0.5), blind=NO_LOG),
        C.KILLED, POSSIBLE,
    ),
    "cgroup gone": (death(signal=9, cgroup=counters(gone=True), blind=NO_LOG), C.KILLED, POSSIBLE),
}  # fmt: skip

KILLED = {
    "memory ruled out": (death(signal=9), C.KILLED, LIKELY),
    "SIGTERM": (death(signal=15), C.KILLED, LIKELY),
    "SIGINT": (death(signal=2), C.KILLED, LIKELY),
    "SIGQUIT": (death(signal=3), C.KILLED, LIKELY),
    "real-time signal": (death(signal=40), C.KILLED, LIKELY),
    "plain user, no log": (death(signal=9, blind=NO_LOG), C.KILLED, POSSIBLE),
    "limit nearly full": (
        death(signal=9, cgroup=counters(kills=0, oom_rise=0, usage=0.95)), C.KILLED, POSSIBLE,
    ),
    "host nearly full": (death(signal=9, memory=room(available_gib=0.5)), C.KILLED, POSSIBLE),
    "memory unseen": (
        death(signal=9, cgroup=None, memory=room().model_copy(update={"host_total_bytes": None})),
        C.KILLED, POSSIBLE,
    ),
    "stuck, restarted perhaps": (death(signal=9, succession=succeeded(0.1)), C.KILLED, POSSIBLE),
    "shot too early for a restart": (
        death(signal=9, last_cell=cell(ran_s=1.5), succession=succeeded(0.1)), C.KILLED, LIKELY,
    ),
    "restarted by the 3 s poll": (death(signal=9, succession=succeeded(1.7)), C.KILLED, LIKELY),
    "by its own cell": (
        death(signal=9, last_cell=cell(kills_itself=True)), C.KILLED_BY_PROCESS, LIKELY,
    ),
    "its own cell, done long since": (
        death(signal=9, busy=False, last_cell=cell(kills_itself=True)), C.KILLED, LIKELY,
    ),
    "its own cell, but Linux says OOM": (
        death(signal=9, last_cell=cell(kills_itself=True), log=(oom(),)), C.OOM_CGROUP, CERTAIN,
    ),
    "a worker": (death(signal=9, scope=Scope.WORKER), C.KILLED, LIKELY),
    "a pool's worker": (death(signal=15, scope=Scope.WORKER), C.SHUTDOWN, LIKELY),
    "nbclient removes the file always": (
        death(signal=9, server=NBCLIENT, file_removed=removed()), C.KILLED, LIKELY,
    ),
}  # fmt: skip

FAULTS = {
    "SIGSEGV, no log": (death(signal=11, blind=NO_LOG), C.SEGFAULT, CERTAIN),
    "SIGSEGV with core bit": (death(signal=11 | 0x80), C.SEGFAULT, CERTAIN),
    "general protection": (death(signal=11, log=(line("gpf"),)), C.SEGFAULT, CERTAIN),
    "a thread's line, status lost": (
        death(log=(line("segfault", pid=4250, tgid=PID, comm="pool-1"),)), C.SEGFAULT, CERTAIN,
    ),
    "forged text, status lost": (death(log=(line("segfault", trust=TEXT),)), C.SEGFAULT, LIKELY),
    "sent by its own cell": (
        death(signal=11, last_cell=cell(kills_itself=True)), C.SEGFAULT, LIKELY,
    ),
    "SIGBUS": (death(signal=7), C.BUS_ERROR, CERTAIN),
    "SIGILL": (death(signal=4, log=(line("invalid_opcode"),)), C.ILLEGAL_INSTRUCTION, CERTAIN),
    "SIGFPE": (death(signal=8, log=(line("divide_error"),)), C.ARITHMETIC_FAULT, CERTAIN),
    "SIGBUS, shared memory full": (death(signal=7, memory=shm(0.0)), C.SHM_FULL, LIKELY),
    "SIGBUS, shared memory nearly full": (death(signal=7, memory=shm(0.08)), C.BUS_ERROR, CERTAIN),
    "SIGBUS, shared memory empty": (death(signal=7, memory=shm(0.9)), C.BUS_ERROR, CERTAIN),
    "SIGSEGV, shared memory full": (death(signal=11, memory=shm(0.0)), C.SEGFAULT, CERTAIN),
    "SIGBUS by an alignment check": (
        death(signal=7, memory=shm(0.0), log=(line("bus_error"),)), C.BUS_ERROR, CERTAIN,
    ),
    "main thread's stack": (overflowed(TOP - LIMIT - 8), C.STACK_OVERFLOW, CERTAIN),
    "main thread's stack, a large frame": (
        overflowed(TOP - LIMIT - 4096, sp=TOP - LIMIT - 300_000), C.STACK_OVERFLOW, CERTAIN,
    ),
    "main thread's stack, no limit known": (
        overflowed(TOP - LIMIT - 8, limit=None), C.STACK_OVERFLOW, LIKELY,
    ),
    "main thread's stack pointer astray": (overflowed(TOP - 100 * LIMIT), C.SEGFAULT, CERTAIN),
    "a thread's stack": (overflowed(0x7F0000000FF8, tid=99), C.STACK_OVERFLOW, LIKELY),
    "NULL": (overflowed(0, sp=TOP - 5000), C.SEGFAULT, CERTAIN),
    "a write to what is read-only": (overflowed(TOP - LIMIT - 8, error=7), C.SEGFAULT, CERTAIN),
    "a jump into the stack": (overflowed(TOP - LIMIT - 8, error=0x14), C.SEGFAULT, CERTAIN),
    "a wild write": (overflowed(0x700000000000, sp=TOP - 5000), C.SEGFAULT, CERTAIN),
    "a GPU's error, then an abort": (death(signal=6, log=(XID,)), C.GPU_FAULT, LIKELY),
    "a GPU's error, then a status": (death(code=1, log=(XID,)), C.GPU_FAULT, LIKELY),
    "a GPU's error, then SIGKILL": (death(signal=9, log=(XID,)), C.KILLED, LIKELY),
    "a GPU's error, then left in peace": (
        death(code=0, busy=False, log=(XID,), session=(announced(),)), C.SHUTDOWN, CERTAIN,
    ),
    "a GPU cleared up after": (death(signal=6, log=(line("xid", xid=45),)), C.ABORT, CERTAIN),
    "a GPU's error a minute before": (
        death(signal=6, log=(line("xid", xid=31, seconds=-60),)), C.ABORT, CERTAIN,
    ),
    "broken memory": (death(signal=7, log=(line("mce"),)), C.HARDWARE_MEMORY_ERROR, CERTAIN),
    "broken memory, unmapped by force": (
        death(signal=9, log=(line("mce"),)), C.HARDWARE_MEMORY_ERROR, CERTAIN,
    ),
    "broken memory, status lost": (death(log=(line("mce"),)), C.HARDWARE_MEMORY_ERROR, CERTAIN),
    "broken memory, as text": (
        death(signal=7, log=(line("mce", trust=TEXT),)), C.HARDWARE_MEMORY_ERROR, LIKELY,
    ),
    "broken memory, /dev/shm full": (
        death(signal=7, memory=shm(0.0), log=(line("mce"),)), C.HARDWARE_MEMORY_ERROR, CERTAIN,
    ),
    "broken memory, told an hour before": (
        death(signal=7, process=process(age_s=7200), log=(line("mce", seconds=-3600),)),
        C.BUS_ERROR, CERTAIN,
    ),
    "broken memory, survived": (
        death(code=3, log=(line("mce"),)), C.HARD_EXIT, CERTAIN,
    ),
    "refused address space": (
        death(signal=6, process=limited(), memory=space(vm=3.9)), C.ALLOCATION_FAILURE, LIKELY,
    ),
    "refused address space, by Linux's account": (
        death(signal=6, process=limited(), memory=space(vm=1, peak=3.9)), C.ALLOCATION_FAILURE, LIKELY,
    ),
    "refused data": (
        death(signal=6, process=limited(LimitKind.RLIMIT_DATA), memory=space(vm=9, data=3.9)),
        C.ALLOCATION_FAILURE, LIKELY,
    ),
    "SIGABRT with room left": (
        death(signal=6, process=limited(), memory=space(vm=2)), C.ABORT, CERTAIN,
    ),
    "SIGABRT of much space, no limit": (death(signal=6, memory=space(vm=99)), C.ABORT, CERTAIN),
    "os.abort() of a full space": (
        death(signal=6, process=limited(), memory=space(vm=3.9), last_cell=cell(kills_itself=True)),
        C.ABORT, CERTAIN,
    ),
    "SIGSEGV in a full space": (
        death(signal=11, process=limited(), memory=space(vm=3.9)), C.SEGFAULT, CERTAIN,
    ),
    "left, in a full space": (
        death(code=41, process=limited(), memory=space(vm=3.9)), C.HARD_EXIT, CERTAIN,
    ),
    "SIGABRT": (death(signal=6), C.ABORT, CERTAIN),
    "SIGTRAP": (death(signal=5, log=(line("int3"),)), C.TRAP, CERTAIN),
    "SIGXCPU": (death(signal=24), C.CPU_LIMIT, CERTAIN),
    "SIGXFSZ": (death(signal=25), C.FILE_SIZE_LIMIT, CERTAIN),
    "SIGSYS": (death(signal=31, log=(line("seccomp"),)), C.SECCOMP, CERTAIN),
    "crash in mid-shutdown": (death(signal=11, session=(announced(),)), C.SEGFAULT, CERTAIN),
    "crash, then the file removed": (death(signal=11, file_removed=removed()), C.SEGFAULT, CERTAIN),
    "a segfault line, but exit 0": (
        death(code=0, busy=False, log=(line("segfault"),), session=(announced(),)), C.SHUTDOWN, CERTAIN,
    ),
    "a server's": (death(signal=11, scope=Scope.SERVER, server=None), C.SEGFAULT, CERTAIN),
}  # fmt: skip

EXITED = cell(ran_s=0.5, calls_exit=True)
YOUNG = process(age_s=1.2)
EXITS = {
    "exit()": (
        death(code=0, busy=False, last_cell=EXITED, session=(EXITED, idle())), C.EXIT_CALL, CERTAIN,
    ),
    "exit(), but asked": (
        death(code=0, busy=False, last_cell=EXITED, session=(idle(), announced())), C.SHUTDOWN, CERTAIN,
    ),
    "exit(), under nbclient": (
        death(code=0, busy=False, last_cell=EXITED, session=(idle(),), server=NBCLIENT),
        C.EXIT_CALL, CERTAIN,
    ),
    "exit() long ago": (
        death(code=0, busy=False, last_cell=EXITED, session=(idle(-400),)), C.EXIT_CALL, POSSIBLE,
    ),
    "exit() in the code, busy": (
        death(code=0, last_cell=cell(calls_exit=True)), C.HARD_EXIT, LIKELY,
    ),
    "os._exit(3)": (death(code=3), C.HARD_EXIT, CERTAIN),
    "os._exit(0)": (death(code=0, last_cell=cell(hard_exits=True)), C.HARD_EXIT, CERTAIN),
    "status 0 in mid-cell": (death(code=0), C.HARD_EXIT, LIKELY),
    "xeus's status 1": (death(code=1), C.HARD_EXIT, LIKELY),
    "status 0, idle, nothing asked": (death(code=0, busy=False), C.HARD_EXIT, POSSIBLE),
    "a worker's status": (death(code=3, scope=Scope.WORKER, busy=None), C.HARD_EXIT, LIKELY),
    "never came up": (
        death(code=1, answered=False, busy=None, last_cell=None, process=YOUNG, silent_at=at(-0.3)),
        C.STARTUP_FAILURE, LIKELY,
    ),
    "crashed, and nobody had looked at its ports for long": (
        death(
            signal=6, answered=False, busy=None, last_cell=None,
            process=process(age_s=6), silent_at=at(-2),
        ),
        C.ABORT, CERTAIN,
    ),
    "not heard, and nobody had looked at its ports": (
        death(code=1, answered=False, busy=None, last_cell=None, process=YOUNG), C.HARD_EXIT, LIKELY,
    ),
    "looked at long before": (
        death(
            code=1, answered=False, busy=None, last_cell=None,
            process=process(age_s=8), silent_at=at(-6),
        ),
        C.HARD_EXIT, LIKELY,
    ),
    "a quick run's end in good order, looked at half a second before": (
        death(
            code=0, answered=False, busy=None, last_cell=None, server=NBCLIENT,
            process=YOUNG, silent_at=at(-0.5),
        ),
        C.SHUTDOWN, POSSIBLE,
    ),
    "status 0 of a run's kernel: who ends in good order closes its ports first": (
        death(
            code=0, answered=False, busy=None, last_cell=None, server=NBCLIENT,
            process=YOUNG, silent_at=at(-0.2),
        ),
        C.SHUTDOWN, POSSIBLE,
    ),
    "gone before anything can listen": (
        death(code=1, answered=False, busy=None, last_cell=None, process=process(age_s=0.2)),
        C.STARTUP_FAILURE, LIKELY,
    ),
    "gone at once, its file unread": (
        unread(death(code=1, answered=False, busy=None, last_cell=None, process=process(age_s=0.8))),
        C.STARTUP_FAILURE, LIKELY,
    ),
    "lived on, its file unread": (
        unread(death(code=1, answered=False, busy=None, last_cell=None)), C.HARD_EXIT, LIKELY,
    ),
    "crashed on import": (
        death(
            signal=11, answered=False, busy=None, last_cell=None, process=YOUNG, silent_at=at(-0.3)
        ),
        C.STARTUP_FAILURE, LIKELY,
    ),
    "found late, unheard": (
        death(code=1, answered=False, busy=None, last_cell=None), C.HARD_EXIT, LIKELY,
    ),
    "killed while it came up": (
        death(signal=9, answered=False, busy=None, last_cell=None, process=YOUNG), C.KILLED, LIKELY,
    ),
    "masked zero": (death(readings=MASKED), C.UNKNOWN, POSSIBLE),
    "another boot": (death(boot_id_now="other"), C.HOST_RESTART, LIKELY),
    "another boot, but its end was seen": (death(signal=11, boot_id_now="other"), C.SEGFAULT, CERTAIN),
}  # fmt: skip

SHOT = server_end(-0.7, signal=9)
STOPPED = server_end(0.2, code=0)
REQUESTS = {
    "announced": (death(code=0, busy=False, session=(announced(),)), C.SHUTDOWN, CERTAIN),
    "announced long ago": (
        death(code=3, session=(announced(seconds=-60),)), C.HARD_EXIT, CERTAIN,
    ),
    "escalated to SIGTERM": (death(signal=15, session=(announced(seconds=-2.5),)), C.SHUTDOWN, CERTAIN),
    "escalated to SIGKILL": (death(signal=9, session=(announced(seconds=-5),)), C.SHUTDOWN, LIKELY),
    "stuck, shot, file removed": (death(signal=9, file_removed=removed()), C.SHUTDOWN, LIKELY),
    "file removed late": (death(signal=9, file_removed=removed(4)), C.KILLED, LIKELY),
    "file removed long before": (death(signal=9, file_removed=removed(-30)), C.KILLED, LIKELY),
    "hard exit, then the file removed": (
        death(code=3, file_removed=removed()), C.HARD_EXIT, CERTAIN,
    ),
    "server shot after it left": (
        death(code=1, server_end=server_end(8, signal=9)), C.HARD_EXIT, LIKELY,
    ),
    "idle, shot, lives again at once": (
        death(signal=9, busy=False, succession=succeeded(0.1)), C.KILLED, LIKELY,
    ),
    "file removed by a dead server": (
        death(signal=9, file_removed=removed(), server_end=SHOT), C.KILLED, LIKELY,
    ),
    "R says nothing": (
        death(code=0, busy=None, last_cell=None, file_removed=removed()), C.SHUTDOWN, LIKELY,
    ),
    "restart": (death(code=0, busy=False, session=(announced(restart=True),)), C.RESTART, CERTAIN),
    "restart, busy, SIGTERM": (
        death(signal=15, session=(announced(restart=True),)), C.RESTART, CERTAIN,
    ),
    "R restarted": (
        death(code=0, busy=None, last_cell=None, succession=succeeded(0.1)), C.RESTART, POSSIBLE,
    ),
    "papermill is done, heard": (
        death(code=0, busy=False, server=PAPERMILL, file_removed=removed()), C.SHUTDOWN, LIKELY,
    ),
    "papermill is done, not heard: as well os._exit(0)": (
        death(code=0, busy=None, last_cell=None, server=PAPERMILL, file_removed=removed()),
        C.SHUTDOWN, POSSIBLE,
    ),
    "papermill is done and gone": (
        death(code=0, busy=None, last_cell=None, server=PAPERMILL, server_end=STOPPED),
        C.SHUTDOWN, LIKELY,
    ),
    "papermill failed": (
        death(code=0, busy=None, last_cell=None, server=PAPERMILL, server_end=server_end(0.5, code=1)),
        C.SHUTDOWN, POSSIBLE,
    ),
    "nbclient, heard": (
        death(code=0, busy=False, server=NBCLIENT, session=(announced(),)), C.SHUTDOWN, CERTAIN,
    ),
    "os._exit(0) under nbclient": (death(code=0, server=NBCLIENT), C.HARD_EXIT, LIKELY),
    "the server shut it down, then left": (
        death(code=0, busy=False, session=(announced(),), server_end=STOPPED),
        C.SERVER_STOPPED, CERTAIN,
    ),
    "orphaned by a Hub's stop": (
        death(code=1, server_end=server_end(-0.65, code=0)), C.SERVER_STOPPED, LIKELY,
    ),
    "SIGTERM to the whole unit": (
        death(signal=15, server_end=server_end(0.3, signal=15)), C.SERVER_STOPPED, LIKELY,
    ),
    "hard exit, later the server stopped": (
        death(code=1, server_end=server_end(8, code=0)), C.HARD_EXIT, LIKELY,
    ),
    "killed, later the server stopped": (
        death(signal=9, server_end=server_end(8, code=0)), C.KILLED, LIKELY,
    ),
    "crash as the server stops": (death(signal=11, server_end=STOPPED), C.SEGFAULT, CERTAIN),
    "server shot": (death(code=1, server_end=SHOT), C.PARENT_DIED, CERTAIN),
    "server shot, kernel still starting": (
        death(code=1, answered=False, busy=None, process=YOUNG, server_end=SHOT),
        C.PARENT_DIED, CERTAIN,
    ),
    "server shot, unit ended": (death(signal=15, server_end=SHOT), C.PARENT_DIED, LIKELY),
    "server shot a minute ago": (
        death(code=1, server_end=server_end(-50, signal=9)), C.HARD_EXIT, LIKELY,
    ),
    "server shot, status 3": (death(code=3, server_end=SHOT), C.HARD_EXIT, CERTAIN),
    "server's status lost": (death(code=1, server_end=server_end(-0.7)), C.PARENT_DIED, POSSIBLE),
    "a server, stopped": (
        death(signal=15, scope=Scope.SERVER, server=None), C.SERVER_STOPPED, CERTAIN,
    ),
    "a server, left": (death(code=1, scope=Scope.SERVER, server=None), C.SERVER_STOPPED, CERTAIN),
    "a server, shot": (death(signal=9, scope=Scope.SERVER, server=None), C.KILLED, LIKELY),
    "a server, out of memory": (
        death(signal=9, scope=Scope.SERVER, server=None, log=(oom(),)), C.OOM_CGROUP, CERTAIN,
    ),
}  # fmt: skip

SENDERS = {
    "a person's kill": (death(signal=9, signals=(sent(9),)), C.KILLED_BY_PROCESS, CERTAIN),
    "itself": (death(signal=9, signals=(sent(9, by=PID),)), C.KILLED_BY_PROCESS, CERTAIN),
    "somebody's SIGSEGV": (death(signal=11, signals=(sent(11),)), C.KILLED_BY_PROCESS, CERTAIN),
    "abort() raises what it means": (
        death(signal=6, signals=(sent(6, by=PID, code=-6),)), C.ABORT, CERTAIN,
    ),
    "Linux, for memory": (
        death(signal=9, signals=(sent(9, code=128),), log=(oom(),)), C.OOM_CGROUP, CERTAIN,
    ),
    "Linux, for what it does not say": (
        death(signal=9, signals=(sent(9, code=128),)), C.KILLED, LIKELY,
    ),
    "a SIGINT that it outlived": (death(signal=9, signals=(sent(2, seconds=-5),)), C.KILLED, LIKELY),
    "its server, then the file went": (
        death(signal=9, signals=(sent(9, by=SERVER_PID),), file_removed=removed()), C.SHUTDOWN, LIKELY,
    ),
    "another, then the file went": (
        death(signal=9, signals=(sent(9),), file_removed=removed()), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "its server, then the next life": (
        death(signal=9, signals=(sent(9, by=SERVER_PID),), succession=succeeded(0.05)),
        C.RESTART, LIKELY,
    ),
    "its server, and nothing after": (
        death(signal=9, signals=(sent(9, by=SERVER_PID),)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "another, then a prompt next life": (
        death(signal=9, signals=(sent(9),), succession=succeeded(0.05)), C.KILLED_BY_PROCESS, CERTAIN,
    ),
    "the file of the next life went": (
        death(
            signal=9, signals=(sent(9, by=SERVER_PID),), succession=succeeded(0.05),
            file_removed=removed(1.5),
        ),
        C.RESTART, LIKELY,
    ),
}  # fmt: skip

TABLE = {
    f"{name}: {what}": row
    for name, table in {
        "memory": MEMORY, "killed": KILLED, "faults": FAULTS, "exits": EXITS, "requests": REQUESTS,
        "senders": SENDERS, "guards": GUARDS, "managers": MANAGERS, "servers": SERVERS,
    }.items()
    for what, row in table.items()
}  # fmt: skip


@pytest.mark.parametrize(("case", "cause", "confidence"), TABLE.values(), ids=TABLE)
def test_a_death_gets_the_verdict_that_its_evidence_carries(
    case: Case, cause: C, confidence: Confidence
) -> None:
    verdict = diagnose(case).verdict
    assert (verdict.cause, verdict.confidence) == (cause, confidence)


def alternatives(case: Case) -> set[C]:
    return {other.cause for other in diagnose(case).alternatives}


def test_a_sigkill_near_the_limit_names_the_oom_kill_as_a_rival() -> None:
    case = death(signal=9, cgroup=counters(kills=0, oom_rise=0, usage=0.95))
    assert alternatives(case) == {C.OOM_CGROUP}


def test_a_sigkill_on_a_full_host_names_the_oom_kill_as_a_rival() -> None:
    assert alternatives(death(signal=9, memory=room(available_gib=0.5))) == {C.OOM_HOST}


def test_a_stuck_kernel_that_lives_again_at_once_may_have_been_restarted() -> None:
    assert alternatives(death(signal=9, succession=succeeded(0.1))) == {C.RESTART}


def test_a_proven_oom_has_no_rivals() -> None:
    case = death(signal=9, log=(oom(),), cgroup=counters(usage=0.99), file_removed=removed())
    assert alternatives(case) == set()


def test_an_oom_kill_by_counters_leaves_the_unseen_sender_as_the_only_rival() -> None:
    assert alternatives(death(signal=9, cgroup=counters(), blind=NO_LOG)) == {C.KILLED}


def test_an_announced_shutdown_is_no_restart_whatever_comes_after() -> None:
    case = death(signal=15, session=(announced(),), succession=succeeded(0.1))
    assert alternatives(case) == set()


def test_no_rule_is_certain_where_the_status_is_lost_and_the_log_is_blind() -> None:
    """Nothing that names the process was seen, whatever else fits."""
    case = death(
        blind=NO_LOG, cgroup=counters(usage=1.0), file_removed=removed(), boot_id_now="other",
        session=(idle(),), server_end=SHOT,
    )  # fmt: skip
    sure = [rule.__name__ for rule in RULES if (v := rule.judge(case)) and v.confidence is CERTAIN]
    assert sure == []


def test_refinements_never_go_in_a_circle() -> None:
    """Two theories that beat one another would leave no winner."""
    told: dict[C, set[C]] = {}
    case_by_rule = {rule.__name__: rule for rule in RULES}
    causes = {
        rule.__name__: {v.cause for case, *_ in TABLE.values() if (v := rule.judge(case))}
        for rule in RULES
    }
    for name, rule in case_by_rule.items():
        for cause in causes[name]:
            told.setdefault(cause, set()).update(rule.REFINES)

    def reaches(start: C, seen: frozenset[C] = frozenset()) -> set[C]:
        found = told.get(start, set()) - seen
        return found.union(*(reaches(c, seen | found) for c in found)) if found else found

    assert [c for c in told if c in reaches(c)] == []


def test_every_rule_speaks_somewhere_in_the_table_and_keeps_silent_elsewhere() -> None:
    verdicts = {rule.__name__: [rule.judge(case) for case, *_ in TABLE.values()] for rule in RULES}
    dumb = [name for name, found in verdicts.items() if not any(found)]
    talkative = [n for n, f in verdicts.items() if all(f) and not n.endswith(".unknown")]
    assert (dumb, talkative) == ([], [])


def test_every_verdict_quotes_its_evidence() -> None:
    silent = [
        (rule.__name__, what)
        for rule in RULES
        for what, (case, *_) in TABLE.items()
        if (verdict := rule.judge(case)) and not (verdict.because and verdict.summary.endswith("."))
    ]
    assert silent == []


def test_every_rule_says_its_claim_and_its_source() -> None:
    for rule in RULES:
        doc = rule.__doc__ or ""
        assert doc.split("\n")[0].endswith("."), rule.__name__
        assert "Source: " in doc, rule.__name__


def test_the_summary_tells_the_cell_the_time_and_the_limit() -> None:
    summary = diagnose(death(signal=9, log=(oom(),))).verdict.summary
    assert summary == (
        f"Cell [7] had run for 42 s when the kernel reached the 4.0 GiB limit of {GROUP}, "
        "and Linux killed it."
    )


def test_a_small_victim_is_not_said_to_have_filled_the_limit() -> None:
    small = oom(anon_rss_kb=GIB // 1024)
    summary = diagnose(death(signal=9, log=(small,), busy=False)).verdict.summary
    assert summary == (
        f"The kernel was idle when all processes together reached the 4.0 GiB limit of {GROUP}, "
        "and Linux killed the kernel, which held 1.0 GiB of it."
    )


def test_a_kernel_that_shot_itself_is_its_own_killer() -> None:
    killer = diagnose(death(signal=s.SIGKILL, last_cell=cell(kills_itself=True))).verdict.killer
    assert killer is not None
    assert (killer.pid, killer.how) == (PID, "self")


def test_a_server_shot_by_a_signal_is_proven_only_by_a_proven_status() -> None:
    """A masked zero of the server's must not look like a server that left by itself."""
    end = server_end(-0.7).model_copy(update={"readings": MASKED})
    assert diagnose(death(code=1, server_end=end)).verdict.cause is C.PARENT_DIED
    assert ended() == ()
