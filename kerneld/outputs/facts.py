"""An incident to its facts: pairs of a name and a value, the first ones in rows of two."""

import re
from collections.abc import Iterable

from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Scope
from kerneld.outputs.safe import safe_text
from kerneld.outputs.text import user_name
from kerneld.outputs.units import duration, signal_name, size, when_exactly
from kerneld.outputs.view import View

Pair = tuple[str, str]

_PSI = re.compile(r"some avg10=(\d{1,3}\.\d\d) full avg10=(\d{1,3}\.\d\d)")
_BY_LINUX = (Cause.OOM_HOST, Cause.OOM_CGROUP)


def fact_rows(incident: Incident, view: View) -> tuple[list[list[Pair]], list[Pair]]:
    """Rows of one or two pairs, then the rest; safe text, and nothing of what is not known."""
    notebook = incident.notebook.path if incident.notebook else ""
    rows = [
        [("died", _died(incident, view)), ("kernel", _kernel(incident))],
        [("user", _user(incident)), ("server", _server(incident))],
        [("notebook", notebook), _exit(incident)],
    ]
    more = [
        ("worker", _process(incident) if incident.scope is Scope.WORKER else ""),
        ("sender", _sender(incident)),
        ("restarts", _restarts(incident)),
        ("cgroup", incident.cgroup or ""),
        ("unit", (incident.server and incident.server.unit) or ""),
        ("container", _container(incident)),
        ("host", "; ".join(_host(incident))),
        ("kernels", ", ".join(incident.kernels)),
        ("follows", f"incident {incident.caused_by}" if incident.caused_by else ""),
    ]
    known = [pairs for pairs in (_known(row) for row in rows) if pairs]
    return known, _known(more)


def _known(pairs: list[Pair]) -> list[Pair]:
    return [(label, safe_text(text)) for label, text in pairs if text]


def _died(incident: Incident, view: View) -> str:
    text = when_exactly(incident.died_at, view)
    if not incident.died_at_uncertainty_s:
        return text
    return f"{text}, or up to {duration(incident.died_at_uncertainty_s)} before"


def _kernel(incident: Incident) -> str:
    kernel = incident.kernel
    if kernel is None:
        return ""
    up = duration(incident.died_at - kernel.started_at)
    name = kernel.name or kernel.language or incident.process.comm
    inside = f" ({kernel.ns_pid} inside)" if kernel.ns_pid is not None else ""
    return f"{name}, pid {kernel.pid}{inside}, up {up}"


def _user(incident: Incident) -> str:
    """The uid is the truth; account and Hub's name stand beside it where they differ."""
    user = incident.user
    shown = user_name(incident)
    if not (user.name or user.hub_name):
        return shown
    other = [name for name in (user.name, user.hub_name) if name and safe_text(name) != shown]
    return f"{shown} ({', '.join([*other, str(user.uid)])})"


def _server(incident: Incident) -> str:
    server = incident.server
    if server is None:
        return ""
    return f"{server.kind}, pid {server.pid}"


def _container(incident: Incident) -> str:
    container = incident.container
    return f"{container.id[:12]} ({container.how})" if container else ""


def _process(incident: Incident) -> str:
    process = incident.process
    return f"{process.comm}, pid {process.pid}, of pid {process.ppid}"


def _exit(incident: Incident) -> Pair:
    end = incident.exit
    if end.signal is None:
        return "exit", "status lost" if end.code is None else f"left with status {end.code}"
    by = ""
    if incident.cause in _BY_LINUX:
        by = ", by Linux"
    elif incident.cause is Cause.KILLED:
        by = ", sender unseen"
    core = ", core dumped" if end.core_dumped else ""
    return "signal", signal_name(end.signal) + by + core


def _sender(incident: Incident) -> str:
    killer = incident.killer
    if killer is None:
        return ""
    if killer.how == "self":
        return f"the process itself, pid {killer.pid}"
    owner = killer.user or (None if killer.uid is None else f"uid {killer.uid}")
    named = [killer.comm or "?", f"pid {killer.pid}", owner, killer.unit]
    return ", ".join(part for part in named if part) + f" (seen by: {killer.how})"


def _restarts(incident: Incident) -> str:
    restarts = incident.kernel.restarts if incident.kernel else 0
    lives = f"it had lived {restarts} times before" if restarts > 1 else ""
    if incident.loop is None:
        return lives or ("it had lived once before" if restarts else "")
    first = incident.loop.id[:8]
    return f"death {incident.loop.count} of this kernel in quick succession; the first: {first}"


def _host(incident: Incident) -> Iterable[str]:
    yield f"{incident.host.name}, Linux {incident.host.linux_release}"
    state = incident.host_state
    if state is None:
        return
    shm = state.shm_free_bytes if incident.cause in (Cause.SHM_FULL, Cause.BUS_ERROR) else None
    for value, name in (
        (state.swap_free_bytes, "swap"),
        (shm, "/dev/shm"),
        (state.disk_free_bytes, "disk"),
    ):
        if value is not None:
            yield f"{size(value)} {name} free"
    if pressure := _pressure(state.psi_memory or ""):
        yield f"memory pressure {pressure}"


def _pressure(told: str) -> str:
    """`41 %, 30 % for all` of Linux's own words; "" where nobody waited."""
    found = _PSI.fullmatch(told)
    if found is None:
        return told
    some, full = (round(float(share)) for share in found.groups())
    return f"{some} %" + (f", {full} % for all" if full else "") if some else ""
