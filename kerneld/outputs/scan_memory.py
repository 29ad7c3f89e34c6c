"""One kill for memory to what the log says of it: what was held, of how much, and who held more."""

from kerneld.model.oom import oom_rss_bytes
from kerneld.model.records import LogEvent, TaskRow
from kerneld.model.sizes import gib
from kerneld.outputs.safe import UNBROKEN, safe_text
from kerneld.outputs.view import Role

LARGEST = 4
HOG_SHARE = 1.5
"""so much more than the victim a process held that is worth naming"""
CAUSE_SHARE = 0.25
"""of what was full a process held that was the cause"""

Detail = tuple[str, Role]


def resident_kb(event: LogEvent) -> int | None:
    """What the victim held, by its kill line, else by its row of the table."""
    printed_bytes = oom_rss_bytes(event)
    if printed_bytes is not None:
        return printed_bytes // 1024
    return next((row.rss_kb for row in event.top if row.pid == victim_pid(event)), None)


def victim_pid(event: LogEvent) -> int | None:
    """The victim's process: old Linux names a thread of it."""
    return event.pid if event.process_pid is None else event.process_pid


def memory(event: LogEvent) -> list[Detail]:
    found: list[Detail] = []
    held, totals = resident_kb(event), event.totals
    if held is not None:
        found.append((_held(event, held), ""))
    if totals is not None and totals.swap_total_kb:
        free = totals.swap_free_kb or 0
        if free * 50 < totals.swap_total_kb:
            found.append((f"swap was full ({_kb(totals.swap_total_kb)})", ""))
    if not event.is_asked_for:
        if held is not None:
            found += _hog(event, held)
        found += _asker(event)
    if event.top:
        found.append((f"largest then: {', '.join(map(_row, event.top[:LARGEST]))}", ""))
    return found


def _hog(event: LogEvent, held_kb: int) -> list[Detail]:
    """Who held more, and whether enough of what was full to be the cause."""
    hog = event.top[0] if event.top else None
    if hog is None or hog.pid == victim_pid(event) or hog.rss_kb <= HOG_SHARE * held_kb:
        return []
    whole = _whole_kb(event)
    name = f"{safe_text(hog.comm)} ({hog.pid})"
    if whole is not None and hog.rss_kb >= CAUSE_SHARE * whole:
        return [(f"it was the victim, not the cause: {name} held {_kb(hog.rss_kb)}", "warn")]
    return [(f"not the largest: {name} held {_kb(hog.rss_kb)}", "")]


def _whole_kb(event: LogEvent) -> int | None:
    """The size of what was full, as far as the log tells."""
    if event.totals is None:
        return None
    return event.totals.limit_kb if event.kind == "oom_memcg" else event.totals.ram_kb


def _asker(event: LogEvent) -> list[Detail]:
    name, pid = event.invoker_comm, event.invoker_pid
    is_victim = name == event.comm and pid in (None, event.pid, victim_pid(event))
    if name is None or is_victim:
        return []
    return [(f"asked for memory then: {safe_text(name)}{'' if pid is None else f' ({pid})'}", "")]


def _held(event: LogEvent, held_kb: int) -> str:
    """`held 3.9 GiB of the 4.0 GiB of /user.slice`, `… of the machine's 16 GiB`, `… in /user.slice`."""
    held, whole = f"held {_kb(held_kb)}", _whole_kb(event)
    group = event.oom_cgroup or event.cgroup
    name = safe_text(group) if group else "its cgroup"
    if event.kind != "oom_memcg":
        return held if whole is None else f"{held} of the machine's {_kb(whole)}"
    if whole is None:
        return f"{held} in {name}" if group else held
    if held_kb > whole:
        return f"{held}, shared file pages included; the limit of {name} is {_kb(whole)}"
    return f"{held} of the {_kb(whole)} of {name}"


def _row(row: TaskRow) -> str:
    return f"{safe_text(row.comm)}{UNBROKEN}({row.pid}){UNBROKEN}{_kb(row.rss_kb)}"


def _kb(size_kb: int) -> str:
    return gib(size_kb * 1024).replace(" ", UNBROKEN)
