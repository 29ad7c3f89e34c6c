"""A case's facts into the words and quotes that verdicts share."""

import signal
from datetime import timedelta

from kerneld.model.case import Case
from kerneld.model.evidence import act_upon, by_service_manager, deadly_signal
from kerneld.model.exits import exit_of
from kerneld.model.facts import ServerEnd
from kerneld.model.fault_lines import fault_object, place_of
from kerneld.model.place import CrashTrace
from kerneld.model.records import LogRecord, ManagerAct, SignalSent
from kerneld.model.verdict import Evidence, Killer
from kerneld.model.vocabulary import ExitHow, Scope

_SUBJECT = {
    Scope.KERNEL: "the kernel",
    Scope.WORKER: "a worker process of the kernel",
    Scope.SERVER: "the Jupyter server",
}


def signal_name(number: int) -> str:
    """SIGKILL; a real-time signal has only its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def duration(delta: timedelta) -> str:
    """0.4 s, 42 s, 3 min 5 s, 2 h 10 min."""
    seconds = max(0.0, delta.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def subject(case: Case) -> str:
    return _SUBJECT[case.scope]


def cell_name(execution_count: int | None) -> str:
    return "A cell" if execution_count is None else f"Cell [{execution_count}]"


def story(case: Case, what: str) -> str:
    """`what` happened, set beside what the kernel was doing: a sentence, and that a kernel lives on."""
    told = _told(case, what)
    alive = case.scope is Scope.WORKER and case.caused_by is None
    return f"{told} The kernel itself lives on." if alive else told


def _told(case: Case, what: str) -> str:
    if case.scope is Scope.SERVER or case.busy is None:
        return f"{what[0].upper()}{what[1:]}."
    if not case.busy:
        return f"The kernel was idle when {what}."
    if case.last_cell is None:
        return f"The kernel was busy when {what}."
    ran = duration(case.died_at - case.last_cell.at)
    return f"{cell_name(case.last_cell.execution_count)} had run for {ran} when {what}."


def exit_words(case: Case) -> str:
    end = exit_of(case)
    if end.how is ExitHow.LOST:
        return "the exit status was lost"
    if end.signal is not None:
        core = ", core dumped" if end.core_dumped else ""
        return f"ended by {signal_name(end.signal)} (signal {end.signal}{core})"
    return f"exited with status {end.code}"


def exit_quote(case: Case) -> Evidence:
    """The believed exit status, and who told it: at the death, not when it was read."""
    end = exit_of(case)
    read_at = end.at_reading.at if end.at_reading else None
    at = case.died_at if case.observed else read_at
    told = "" if end.how is ExitHow.LOST else f", says {end.how}"
    return Evidence(source="exit", at=at, text=f"pid {case.process.pid} {exit_words(case)}{told}")


def log_quote(record: LogRecord) -> Evidence:
    return Evidence(source="linux-log", at=record.at, text=record.event.line)


def trace_quote(trace: CrashTrace) -> Evidence:
    text = f"Fatal Python error: {trace.said}, says {trace.file}"
    return Evidence(source="faulthandler", at=trace.at, text=text)


def server_quote(end: ServerEnd) -> Evidence:
    """How and when the server ended."""
    raw = next((r.status_raw for r in end.readings if r.proven and r.status_raw is not None), None)
    if raw is None:
        how = "ended, its exit status is lost"
    elif raw & 0x7F:
        how = f"was ended by {signal_name(raw & 0x7F)}"
    else:
        how = f"exited with status {raw >> 8 & 0xFF}"
    return Evidence(source="server", at=end.at, text=f"its server (pid {end.pid}) {how}")


def sender_name(sent: SignalSent) -> str:
    """`kill (pid 4242, alice)`."""
    owner = sent.sender_user or (None if sent.sender_uid is None else f"uid {sent.sender_uid}")
    known = ", ".join(part for part in (f"pid {sent.sender_pid}", owner, sent.sender_unit) if part)
    return f"{sent.sender_comm or 'a process'} ({known})"


def sender_quote(sent: SignalSent) -> Evidence:
    who = "Linux itself" if sent.by_linux else sender_name(sent)
    text = f"{who} sent {signal_name(sent.signal)} to pid {sent.pid}"
    return Evidence(source="signal-trace", at=sent.at, text=text)


def killer_of(sent: SignalSent, *, how: str) -> Killer:
    return Killer(
        pid=sent.sender_pid,
        comm=sent.sender_comm,
        uid=sent.sender_uid,
        user=sent.sender_user,
        unit=sent.sender_unit,
        how=how,
    )


def act_quote(act: ManagerAct) -> Evidence:
    """nohang names its victim in a line of its own, which comes before."""
    named = act.pid is None or str(act.pid) in act.line
    whom = "" if named else f" (pid {act.pid})"
    source = "server" if act.manager == "jupyter" else "journal" if act.is_vouched else "log"
    return Evidence(source=source, at=act.at, text=f"{act.manager}: {act.line.strip()}{whom}")


def cancelled_job(case: Case) -> tuple[Evidence, ...]:
    """Slurm's word that it cancelled the job: by scancel, or for a reason that it does not log."""
    act = act_upon(case, "cancelled")
    return () if act is None else (act_quote(act),)


def by_systemd(case: Case) -> tuple[Evidence, ...]:
    """What names this very process as the target of systemd's deadly signal: its line, or the trace."""
    act, sent, end = act_upon(case, "signalled"), deadly_signal(case), exit_of(case)
    told = [act_quote(act)] if act is not None and act.signal == end.signal else []
    if sent is not None and by_service_manager(sent):
        told.append(sender_quote(sent))
    return tuple(told)


MAX_SYMBOL_CHARS = 80
"""a mangled name of C++ may have thousands"""


def place(case: Case, record: LogRecord | None) -> str:
    """` in libfoo.so's function boom, of package foo 1.2`, as far as that is known."""
    name = fault_object(record.event)[0] if record else None
    if not name:
        return ""
    found = place_of(case, record)
    symbol, package = (found.symbol, found.package) if found else (None, None)
    function = f"'s function {shortened(symbol)}" if symbol else ""
    owner = f", of package {package} {found.version}" if found and package else ""
    return f" in {name}{function}{owner}"


def shortened(symbol: str) -> str:
    return symbol if len(symbol) <= MAX_SYMBOL_CHARS else f"{symbol[: MAX_SYMBOL_CHARS - 1]}…"
